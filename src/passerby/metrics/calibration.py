"""From cosine similarity to the probability that two pictures show the same person."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """A logistic curve: p = 1 / (1 + exp(-(slope * similarity + intercept))).

    It is Platt scaling (Platt, Advances in Large Margin Classifiers, 1999) of one network.

    Attributes:
        slope: how steep; positive.
        intercept: where; -slope * the similarity at which p is one half.
        measured: False for the default curve, which only orders and must be shown as such.
        prior: the share of pairs of the same person among those the curve was fitted on, or None
            where nobody wrote it down; see :meth:`with_prior`.
    """

    slope: float = 12.0
    intercept: float = -6.0
    measured: bool = False
    prior: float | None = None

    @classmethod
    def from_card(cls, card: Mapping[str, Any] | None) -> "Calibration":
        """The curve of a model card's ``calibration``; the uncalibrated one when there is none.

        Raises:
            InputError: the card's curve is not a rising logistic one.
        """
        if not card:
            return cls()
        try:
            prior = card.get("prior")
            curve = cls(
                slope=float(card["slope"]),
                intercept=float(card["intercept"]),
                measured=True,
                prior=None if prior is None else float(prior),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InputError(
                "the model card's calibration needs the numbers 'slope' and 'intercept' of a "
                "logistic curve over cosine similarity; calibrate the model again"
            ) from None
        if not (0 < curve.slope < math.inf and math.isfinite(curve.intercept)):
            raise InputError("the model card's calibration falls with similarity; calibrate again")
        if curve.prior is not None and not 0 < curve.prior < 1:
            raise InputError(f"the model card's calibration has a prior of {curve.prior}, not 0..1")
        return curve

    @classmethod
    def fit(
        cls, similarities: ArrayLike, same: ArrayLike, weights: ArrayLike | None = None
    ) -> "Calibration":
        """The curve that fits measured pairs best (logistic regression).

        The share of true pairs goes into the curve, so take pairs as a search meets them: queries
        and their nearest candidates in a gallery, not random pairs.

        Args:
            similarities: (N,) cosine similarities of pairs.
            same: (N,) whether a pair shows the same person.
            weights: (N,) how often each pair counts; once where None.

        Raises:
            InputError: only one kind of pair, or similarity does not tell the two apart.
        """
        from sklearn.linear_model import LogisticRegression

        x, y = np.asarray(similarities, dtype=np.float64), np.asarray(same, dtype=bool)
        if y.all() or not y.any():
            raise InputError("calibration needs pairs of the same and of different people")
        w = None if weights is None else np.asarray(weights, dtype=np.float64)
        # some networks give all pairs nearly the same similarity: the solver wants it spread out
        middle, spread = float(x.mean()), max(float(x.std()), 1e-12)
        fitted = LogisticRegression(C=1e6, tol=1e-8, max_iter=1000).fit(
            (x.reshape(-1, 1) - middle) / spread, y, sample_weight=w
        )
        slope = float(fitted.coef_[0, 0]) / spread
        if not slope > 0:
            raise InputError(
                "true pairs are not more similar than false ones; this network cannot be calibrated"
            )
        return cls(
            slope=slope,
            intercept=float(fitted.intercept_[0]) - slope * middle,
            measured=True,
            prior=float(np.average(y, weights=w)),
        )

    def with_prior(self, prior: float) -> "Calibration":
        """The same evidence, where another share of the candidates shows the person.

        By Bayes' rule a change of the prior moves all log-odds by the difference of the priors'
        log-odds (Saerens, Latinne and Decaestecker, Neural Computation 2002). That holds as long as
        the similarities of true and of false candidates are distributed as before; among the
        nearest candidates of a larger gallery the false ones are more similar, so fit anew where
        there are labelled pairs.

        Args:
            prior: share of true pairs among the candidates to come, between 0 and 1.

        Raises:
            InputError: not between 0 and 1, or this curve's own prior is not known.
        """
        if not 0 < prior < 1:
            raise InputError(
                f"a prior of {prior} is not between 0 and 1; give a share such as 0.01"
            )
        if self.prior is None:
            raise InputError("this calibration does not say for which prior it holds; fit it again")
        shift = math.log(prior / (1 - prior)) - math.log(self.prior / (1 - self.prior))
        return replace(self, intercept=self.intercept + shift, prior=prior)

    def as_card(self) -> dict[str, Any]:
        """The curve as a model card's ``calibration``."""
        card = {
            "curve": "logistic over cosine similarity",
            "slope": round(self.slope, 6),
            "intercept": round(self.intercept, 6),
        }
        return card if self.prior is None else {**card, "prior": round(self.prior, 6)}

    def probability(self, similarity: ArrayLike) -> NDArray[np.float64]:
        """Probabilities in 0..1 of cosine similarities in -1..1."""
        z = self.slope * np.asarray(similarity, dtype=np.float64) + self.intercept
        return 1 / (1 + np.exp(-np.clip(z, -60, 60)))

    def similarity(self, probability: float) -> float:
        """The cosine similarity that has this probability (0..1, both ends left out)."""
        return (math.log(probability / (1 - probability)) - self.intercept) / self.slope

    def log_odds(self, similarity: ArrayLike) -> NDArray[np.float64]:
        """log(p / (1 - p)), linear in similarity."""
        return self.slope * np.asarray(similarity, dtype=np.float64) + self.intercept
