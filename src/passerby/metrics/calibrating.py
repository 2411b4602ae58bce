"""Fit a calibration on a table, and judge it on people whom it has not seen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from passerby.metrics.all_pairs import Survey
from passerby.metrics.calibration import Calibration
from passerby.metrics.pairs import Pairs, candidate_pairs, halves
from passerby.metrics.reliability_curve import Reliability, reliability

SUMS = ("pairs", "people")


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A curve with how it does on its own people and on others.

    Attributes:
        curve: Fitted on all people.
        fitted: On these.
        halves: Two other curves, each fitted on one half of the people.
        held_out: Each of these judged on the other half, of whom nobody had a part in its fit. The
            curve that is kept saw twice as many people and should do no worse.
        protocol: Which pairs took part.
        candidates: How many of each query's nearest gallery pictures.
        gallery: Size of the gallery.
    """

    curve: Calibration
    fitted: Reliability
    halves: tuple[Calibration, Calibration]
    held_out: tuple[Reliability, Reliability]
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
            "held_out": self.held_out_figures(),
        }

    def held_out_figures(self) -> dict[str, float]:
        """Means of the two held-out judgements, by people, and the sums of people and pairs.

        Not the figures of all pairs together: where one half errs upwards the other errs
        downwards, and their errors must not cancel.
        """
        people = [one.people for one in self.held_out]
        columns = {
            name: [getattr(one, name) for one in self.held_out] for name in self.fitted.figures()
        }
        return {
            name: sum(values) if name in SUMS else float(np.average(values, weights=people))
            for name, values in columns.items()
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
    parts = halves(found, query_ids, gallery_ids)
    curves = _fit(parts[0]), _fit(parts[1])
    everybody = candidate_pairs(found, query_ids)
    curve = _fit(everybody)
    return Calibrated(
        curve=curve,
        fitted=reliability(curve, everybody),
        halves=curves,
        held_out=(reliability(curves[0], parts[1]), reliability(curves[1], parts[0])),
        protocol=found.protocol,
        candidates=found.gallery.shape[1],
        gallery=found.gallery_count,
    )


def _fit(pairs: Pairs) -> Calibration:
    return Calibration.fit(pairs.similarity, pairs.same, pairs.weight)
