"""A calibration fitted on a table, and its evaluation on people that it has not seen."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import InputError
from passerby.metrics.all_pairs import Survey
from passerby.metrics.calibration import Calibration
from passerby.metrics.report import wilson

HALVES_SEED = 0  # of the split of people into halves, so that it is the same every time
LEAST = 1e-15  # the log loss keeps probabilities this far from 0 and 1
SUMS = ("pairs", "people")


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Labelled pairs of a query and one of its nearest gallery pictures.

    Attributes:
        similarity: (N,) cosine similarity.
        same: (N,) whether both show the same person.
        weight: (N,) how many pairs of the whole search each pair represents.
        people: Number of different people among the queries.
    """

    similarity: NDArray[np.float64]
    same: NDArray[np.bool_]
    weight: NDArray[np.float64]
    people: int

    def __len__(self) -> int:
        return len(self.similarity)

    @property
    def prior(self) -> float:
        """Share of pairs of the same person."""
        return float(np.average(self.same, weights=self.weight))


def candidate_pairs(found: Survey, query_ids: ArrayLike) -> Pairs:
    """Return the pairs of each query and its nearest candidates in the gallery.

    Queries of people who are not in the gallery are included.

    Args:
        found: The survey of a table.
        query_ids: (Q,) of that table.
    """
    people = np.asarray(query_ids)[found.queries]
    taken = found.gallery >= 0
    return Pairs(
        similarity=found.similarities[taken].astype(np.float64),
        same=found.same[taken],
        weight=np.ones(int(taken.sum())),
        people=len(np.unique(people)),
    )


def halves(
    found: Survey, query_ids: ArrayLike, gallery_ids: ArrayLike, *, seed: int = HALVES_SEED
) -> tuple[Pairs, Pairs]:
    """Split the pairs into two sets that have no person in common.

    The people are split into two halves at random. A pair belongs to a half when both its pictures
    show people of that half. Distractor pictures, whose people are unknown, are assigned one by
    one. About half of the false pairs belong to neither half and are dropped. The weight of the
    remaining false pairs is raised, so that the prior is that of the whole search.

    Args:
        found: The survey of a table.
        query_ids: (Q,) of that table.
        gallery_ids: (G,) of that table.
        seed: Seed of the random split.

    Raises:
        InputError: A half has no pair of the same person, or none of different people.
    """
    query_ids, gallery_ids = np.asarray(query_ids), np.asarray(gallery_ids)
    random = np.random.default_rng(seed)
    asked = np.unique(query_ids[found.queries])
    others = np.setdiff1d(gallery_ids[gallery_ids > 0], asked)
    half = dict(zip(random.permutation(asked).tolist(), np.arange(len(asked)) % 2, strict=True))
    half |= dict(zip(random.permutation(others).tolist(), np.arange(len(others)) % 2, strict=True))
    of_row = random.integers(0, 2, len(gallery_ids))
    known = gallery_ids > 0
    of_row[known] = [half[identity] for identity in gallery_ids[known].tolist()]
    of_query = np.array([half[identity] for identity in query_ids[found.queries].tolist()])
    made = []
    for number in (0, 1):
        asks = np.broadcast_to(of_query[:, None] == number, found.gallery.shape)
        taken = asks & (found.gallery >= 0)
        kept = taken & (found.same | (of_row[found.gallery] == number))
        made.append(_weighted(found, taken, kept, int(np.sum(np.arange(len(asked)) % 2 == number))))
    return made[0], made[1]


def _weighted(
    found: Survey, taken: NDArray[np.bool_], kept: NDArray[np.bool_], people: int
) -> Pairs:
    """Return the pairs ``kept`` of those ``taken``; the false ones represent all false ones."""
    same = found.same[kept]
    false = int((taken & ~found.same).sum())
    if not same.any() or same.all():
        raise InputError(
            "half of the people have no pairs of the same or none of different people; "
            "calibrate on a data set with more people"
        )
    return Pairs(
        similarity=found.similarities[kept].astype(np.float64),
        same=same,
        weight=np.where(same, 1.0, false / np.count_nonzero(~same)),
        people=people,
    )


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Pairs whose probability lies in ``low`` .. ``high``.

    Attributes:
        low: Lower end.
        high: Upper end, which belongs to the next bin.
        pairs: Number of pairs.
        predicted: Mean probability.
        observed: Share of pairs that show the same person.
        lowest: Lower end of the 95 % interval of ``observed`` (Wilson).
        highest: Upper end.
    """

    low: float
    high: float
    pairs: int
    predicted: float
    observed: float
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """The quality of a calibration on labelled pairs.

    Attributes:
        bins: The bins that have pairs, in order.
        ece: Expected calibration error: mean over pairs of the difference between predicted and
            observed share in their bin (Naeini, Cooper and Hauskrecht, AAAI 2015).
        brier: Mean squared difference of probability and truth (Brier, 1950).
        log_loss: Mean negative logarithm of the probability of the truth, in nats.
        pairs: N.
        people: Different people among the queries.
        prior: Share of pairs of the same person.
    """

    bins: tuple[Bin, ...]
    ece: float
    brier: float
    log_loss: float
    pairs: int
    people: int
    prior: float

    def summary(self) -> dict[str, Any]:
        """Return everything in a form for JSON."""
        return asdict(self)

    def figures(self) -> dict[str, float]:
        """Return the figures without the curve, for a card."""
        return {name: value for name, value in asdict(self).items() if name != "bins"}

    def table(self) -> str:
        """Write the curve as text."""
        lines = [f"{'probability':>13}  {'pairs':>9}  {'predicted':>9}  {'observed':>8}  95 %"]
        lines += [
            f"{b.low:>5.2f} - {b.high:>5.2f}  {b.pairs:>9}  {b.predicted:>9.3f}  "
            f"{b.observed:>8.3f}  {b.lowest:.3f} - {b.highest:.3f}"
            for b in self.bins
        ]
        return "\n".join(lines)


def reliability(curve: Calibration, pairs: Pairs, *, bins: int = 10) -> Reliability:
    """Compare the probabilities of ``curve`` with the truth, in bins of equal width.

    The intervals assume independent pairs. Pairs of one query are not quite independent, so that
    the intervals are slightly too narrow. Weighted pairs count as (sum w)^2 / sum w^2 pairs (Kish).

    Args:
        curve: The calibration.
        pairs: Labelled pairs.
        bins: Number of bins from 0 to 1.
    """
    p = curve.probability(pairs.similarity)
    y, w = pairs.same.astype(np.float64), pairs.weight
    total = w.sum()
    which = np.minimum((p * bins).astype(np.int64), bins - 1)
    made, gaps = [], 0.0
    for number in np.unique(which).tolist():
        inside = which == number
        one = _bin(p[inside], y[inside], w[inside], number, bins)
        made.append(one)
        gaps += float(w[inside].sum()) * abs(one.predicted - one.observed)
    sure = np.clip(np.where(pairs.same, p, 1 - p), LEAST, 1)
    return Reliability(
        bins=tuple(made),
        ece=gaps / float(total),
        brier=float((w * (p - y) ** 2).sum() / total),
        log_loss=float(-(w * np.log(sure)).sum() / total),
        pairs=len(pairs),
        people=pairs.people,
        prior=pairs.prior,
    )


def _bin(
    p: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64], number: int, bins: int
) -> Bin:
    observed = float(np.average(y, weights=w))
    effective = float(w.sum() ** 2 / (w**2).sum())
    low, high = wilson(observed * effective, effective)
    return Bin(
        low=number / bins,
        high=(number + 1) / bins,
        pairs=len(p),
        predicted=float(np.average(p, weights=w)),
        observed=observed,
        lowest=float(low),
        highest=float(high),
    )


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A curve and its quality on its own people and on others.

    Attributes:
        curve: The curve fitted on all people.
        fitted: Its quality on these.
        halves: Two other curves, each fitted on one half of the people.
        held_out: The quality of each of these on the other half, whose people had no part in the
            fit. ``curve`` was fitted on twice as many people and should be no worse.
        protocol: The protocol that says which pairs take part.
        candidates: Number of nearest gallery pictures of each query.
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
        """Return the curve for a model card, with the name of the ``data`` and the figures."""
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
        """Return the means over the two halves, weighted by people, and sums of people and pairs.

        The pairs of both halves are not joined first. If one half errs upwards the other errs
        downwards, and these errors must not cancel.
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
    """Fit a curve on the pairs that a search returns, and evaluate such a fit on other people.

    The pairs are each query's nearest candidates among the gallery pictures that take part under
    the protocol. An operator looks at these. The curve's prior is therefore the share of true
    matches among these candidates. For a gallery in which people appear more or less often, use
    :meth:`passerby.metrics.Calibration.with_prior`.

    Args:
        found: :func:`passerby.metrics.survey` of the table.
        query_ids: (Q,) of that table.
        gallery_ids: (G,) of that table.

    Raises:
        InputError: There are too few people, or true pairs are not more similar than false ones.
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
