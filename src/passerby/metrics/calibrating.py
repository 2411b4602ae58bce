"""Fit a calibration on a table, and judge it on people whom it has not seen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from passerby.metrics.all_pairs import Survey
from passerby.metrics.calibration import Calibration
from passerby.metrics.pairs import Pairs, candidate_pairs, halves
from passerby.metrics.reliability_curve import Reliability, of_probabilities, reliability


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A curve with how it does on its own people and on others.

    Attributes:
        curve: Fitted on all people.
        fitted: On these.
        held_out: Of two other curves, each fitted on one half of the people and judged on the
            other half, of whom nobody had a part in its fit; both judgements together. The curve
            that is kept saw twice as many people and should do no worse.
        halves: These two curves.
        protocol: Which pairs took part.
        candidates: How many of each query's nearest gallery pictures.
        gallery: Size of the gallery.
    """

    curve: Calibration
    fitted: Reliability
    held_out: Reliability
    halves: tuple[Calibration, Calibration]
    protocol: str
    candidates: int
    gallery: int

    def as_card(self, data: str) -> dict[str, Any]:
        """The curve for a model card, with the name of the ``data`` and all it rests on."""
        return {
            **self.curve.as_card(),
            "data": data,
            "protocol": self.protocol,
            "candidates": self.candidates,
            "gallery": self.gallery,
            "fitted": self.fitted.figures(),
            "held_out": self.held_out.figures(),
        }


def calibrate(found: Survey, query_ids: ArrayLike, gallery_ids: ArrayLike) -> Calibrated:
    """Fit a curve on the pairs that a search meets, and judge such a fit on other people.

    The pairs are each query's nearest candidates in the gallery, such as take part under the
    protocol: the pictures that somebody who searches looks at. So the curve's prior is the share
    of true matches among these candidates; for a gallery in which the person is seen more or less
    often use :meth:`passerby.metrics.Calibration.with_prior`.

    Args:
        found: :func:`passerby.metrics.survey` of the table.
        query_ids: (Q,) of that table.
        gallery_ids: (G,) of that table.

    Raises:
        InputError: Too few people, or similarity does not tell them apart.
    """
    one, other = halves(found, query_ids, gallery_ids)
    curves = _fit(one), _fit(other)
    crossed = ((curves[0], other), (curves[1], one))
    probabilities = [curve.probability(pairs.similarity) for curve, pairs in crossed]
    everybody = candidate_pairs(found, query_ids)
    curve = _fit(everybody)
    return Calibrated(
        curve=curve,
        fitted=reliability(curve, everybody),
        held_out=of_probabilities(np.concatenate(probabilities), _together(other, one)),
        halves=curves,
        protocol=found.protocol,
        candidates=found.gallery.shape[1],
        gallery=found.gallery_count,
    )


def _fit(pairs: Pairs) -> Calibration:
    return Calibration.fit(pairs.similarity, pairs.same, pairs.weight)


def _together(one: Pairs, other: Pairs) -> Pairs:
    return Pairs(
        similarity=np.concatenate([one.similarity, other.similarity]),
        same=np.concatenate([one.same, other.same]),
        weight=np.concatenate([one.weight, other.weight]),
        people=one.people + other.people,
    )
