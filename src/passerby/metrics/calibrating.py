"""Fit a calibration on one half of a table's people and judge it on the other."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from passerby.metrics.all_pairs import Survey
from passerby.metrics.calibration import Calibration
from passerby.metrics.pairs import halves
from passerby.metrics.reliability_curve import Reliability, reliability


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A curve with how it does on its own people and on others.

    Attributes:
        curve: Fitted on one half of the people.
        fitted: On that half.
        held_out: On the other half, of which nobody had a part in the fit.
        protocol: Which pairs took part.
        candidates: How many of each query's nearest gallery pictures.
        gallery: Size of the gallery.
    """

    curve: Calibration
    fitted: Reliability
    held_out: Reliability
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
    """Fit a curve on the pairs that a search meets, with identity-disjoint halves.

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
    ours, theirs = halves(found, query_ids, gallery_ids)
    curve = Calibration.fit(ours.similarity, ours.same, ours.weight)
    return Calibrated(
        curve=curve,
        fitted=reliability(curve, ours),
        held_out=reliability(curve, theirs),
        protocol=found.protocol,
        candidates=found.gallery.shape[1],
        gallery=found.gallery_count,
    )
