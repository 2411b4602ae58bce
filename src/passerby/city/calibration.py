"""From cosine similarity to the probability that two sightings show the same person."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """A logistic curve: p = 1 / (1 + exp(-(slope * similarity + intercept))).

    Attributes:
        slope: how steep; positive.
        intercept: where; -slope * the similarity at which p is one half.
        measured: False for the default curve, which only orders and must be shown as such.
    """

    slope: float = 12.0
    intercept: float = -6.0
    measured: bool = False

    @classmethod
    def from_card(cls, card: Mapping[str, Any] | None) -> "Calibration":
        """The curve of a model card's ``calibration``; the uncalibrated one when there is none.

        Raises:
            InputError: the card's curve is not a rising logistic one.
        """
        if not card:
            return cls()
        try:
            curve = cls(
                slope=float(card["slope"]), intercept=float(card["intercept"]), measured=True
            )
        except (KeyError, TypeError, ValueError):
            raise InputError(
                "the model card's calibration needs the numbers 'slope' and 'intercept' of a "
                "logistic curve over cosine similarity; calibrate the model again"
            ) from None
        if not curve.slope > 0:
            raise InputError("the model card's calibration falls with similarity; calibrate again")
        return curve

    @classmethod
    def fit(cls, similarities: ArrayLike, same: ArrayLike) -> "Calibration":
        """The curve that fits measured pairs best (logistic regression, no weights).

        The share of true pairs goes into the curve, so take pairs as a search meets them: queries
        and their nearest candidates in a gallery, not random pairs.

        Args:
            similarities: (N,) cosine similarities of pairs.
            same: (N,) whether a pair shows the same person.

        Raises:
            InputError: only one kind of pair, or similarity does not tell the two apart.
        """
        from sklearn.linear_model import LogisticRegression

        x, y = np.asarray(similarities, dtype=np.float64), np.asarray(same, dtype=bool)
        if y.all() or not y.any():
            raise InputError("calibration needs pairs of the same and of different people")
        fitted = LogisticRegression(C=1e6).fit(x.reshape(-1, 1), y)
        slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
        return cls.from_card({"slope": slope, "intercept": intercept})

    def as_card(self) -> dict[str, Any]:
        """The curve as a model card's ``calibration``."""
        return {
            "curve": "logistic over cosine similarity",
            "slope": round(self.slope, 6),
            "intercept": round(self.intercept, 6),
        }

    def probability(self, similarity: ArrayLike) -> NDArray[np.float64]:
        """Probabilities in 0..1 of cosine similarities in -1..1."""
        z = self.slope * np.asarray(similarity, dtype=np.float64) + self.intercept
        return 1 / (1 + np.exp(-np.clip(z, -60, 60)))

    def log_odds(self, similarity: ArrayLike) -> NDArray[np.float64]:
        """log(p / (1 - p)), linear in similarity."""
        return self.slope * np.asarray(similarity, dtype=np.float64) + self.intercept
