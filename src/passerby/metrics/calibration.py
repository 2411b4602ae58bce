"""The probability that two pictures show the same person, from their cosine similarity."""

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

    >>> curve = Calibration(slope=20.0, intercept=-10.0, measured=True)
    >>> curve.probability([0.5, 0.7]).round(3).tolist()
    [0.5, 0.982]

    Attributes:
        slope: The steepness of the curve; positive.
        intercept: -slope times the similarity at which p is one half.
        measured: False for the default curve. Its values are no probabilities: they only order, and
            must be shown so.
        prior: The share of pairs of the same person among the pairs of the fit; None where it is
            not known. See :meth:`with_prior`.
    """

    slope: float = 12.0
    intercept: float = -6.0
    measured: bool = False
    prior: float | None = None

    @classmethod
    def from_card(cls, card: Mapping[str, Any] | None) -> "Calibration":
        """Read the curve of a model card's ``calibration``; the default curve when there is none.

        Raises:
            InputError: The card's curve is not a rising logistic one.
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
        """Fit the curve to measured pairs by logistic regression.

        The curve depends on the share of true pairs. Take pairs that a search returns: queries and
        their nearest candidates in a gallery, not random pairs.

        Args:
            similarities: (N,) cosine similarities of pairs.
            same: (N,) whether a pair shows the same person.
            weights: (N,) weights of the pairs; None for 1 each.

        Raises:
            InputError: There is only one kind of pair, or true pairs are not more similar.
        """
        from sklearn.linear_model import LogisticRegression

        x, y = np.asarray(similarities, dtype=np.float64), np.asarray(same, dtype=bool)
        if y.all() or not y.any():
            raise InputError("calibration needs pairs of the same and of different people")
        w = None if weights is None else np.asarray(weights, dtype=np.float64)
        # some networks give all pairs nearly the same similarity, which the solver cannot handle
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
        """Return the curve for candidates of which another share shows the person.

        By Bayes' rule a change of the prior shifts all log-odds by the difference of the priors'
        log-odds (Saerens, Latinne and Decaestecker, Neural Computation 2002). This is valid while
        the similarities of true and of false candidates keep their distributions. Among the nearest
        candidates of a larger gallery the false ones are more similar. Where there are labelled
        pairs, fit again.

        Args:
            prior: Share of true pairs among the new candidates, between 0 and 1.

        Raises:
            InputError: The prior is not between 0 and 1, or this curve's own prior is not known.
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
        """Return the curve in the form of a model card's ``calibration``."""
        card = {
            "curve": "logistic over cosine similarity",
            "slope": round(self.slope, 6),
            "intercept": round(self.intercept, 6),
        }
        return card if self.prior is None else {**card, "prior": round(self.prior, 6)}

    def probability(self, similarity: ArrayLike) -> NDArray[np.float64]:
        """Compute probabilities in 0..1 of cosine similarities in -1..1."""
        return 1 / (1 + np.exp(-np.clip(self.log_odds(similarity), -60, 60)))

    def similarity(self, probability: float) -> float:
        """Compute the cosine similarity of a probability, which lies between 0 and 1."""
        return (math.log(probability / (1 - probability)) - self.intercept) / self.slope

    def log_odds(self, similarity: ArrayLike) -> NDArray[np.float64]:
        """Compute log(p / (1 - p)) of similarities; it is linear in them."""
        return self.slope * np.asarray(similarity, dtype=np.float64) + self.intercept
