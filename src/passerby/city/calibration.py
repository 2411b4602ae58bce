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

    def probability(self, similarity: ArrayLike) -> NDArray[np.float64]:
        """Probabilities in 0..1 of cosine similarities in -1..1."""
        z = self.slope * np.asarray(similarity, dtype=np.float64) + self.intercept
        return 1 / (1 + np.exp(-np.clip(z, -60, 60)))

    def log_odds(self, similarity: ArrayLike) -> NDArray[np.float64]:
        """log(p / (1 - p)), linear in similarity."""
        return self.slope * np.asarray(similarity, dtype=np.float64) + self.intercept
