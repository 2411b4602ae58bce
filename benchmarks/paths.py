"""Paths of simulated people beside the lists they come from: precision, recall, F1 of tracklets.

The weights of the evidence (``--fit``), the tuned baselines and every threshold come from the
cities of ``TUNING``; what is reported comes from ``REPORTED``, which no choice has seen.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.common import ROOT, write_result
from benchmarks.pathing.cities import REPORTED, TUNING, VARIANTS, Person, Prepared, prepare
from benchmarks.pathing.methods import (
    PLAIN,
    Listed,
    Method,
    agreement,
    interval,
    reliability,
    tuned,
)
from passerby.city import Scope, Trajectory, trace
from passerby.city import evidence as ev
from passerby.city.paths import FloatArray64
from passerby.city.trajectory import PathSearch, TraceOptions
from passerby.runtime import Embedder
from passerby.simulate.options import SimulationOptions

FITTED = ((VARIANTS[0], False), (VARIANTS[1], False), (VARIANTS[3], False), (VARIANTS[0], True))
PATH, CONFIRMED = "path", "path, one sighting confirmed"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Trace people in simulated cities; compare with thresholds, top-k and a vote."""

    folder: Path = ROOT / "datasets" / "paths"
    """Where the simulated cities are kept."""
    people: int = 30
    """People who are looked for in each reported city."""
    variants: tuple[str, ...] = VARIANTS
    """What trackers and clocks do to the cities."""
    fit: bool = False
    """Fit the weights of `city/evidence.py` on the tuning cities, print them, and end."""
    seed: int = 0
    """Seed of the bootstrap, of broken tracklets and of clocks."""
    workers: int = 2
    """Processes that render the cities."""
    out: Path | None = None
    """Write the figures as JSON to this file."""


def examples(made: Prepared, variant: str, seed: int, *, absent: bool) -> Iterator[Any]:
    """(evidence, whether each track shows the person) of each person of a tuning city."""
    with made.opened(variant, seed) as (city, people, _):
        for person in people:
            away = person.sightings(city) if absent else []
            search = PathSearch.of(
                city,
                person.vector,
                Scope(),
                model=made.model,
                calibration=made.calibration,
                rejected=away,
            )
            if search.evidence is not None:
                yield (
                    search.evidence,
                    np.array([track.name[1] in person.mine for track in search.tracks]),
                )


def fit(options: Options, cities: list[Prepared]) -> None:
    """Fit rounds and presence on the tuning cities and print them for ``city/evidence.py``.

    The rounds are fitted to people who are there. Presence compares them with the same people when
    all their sightings are away.
    """
    found, labels, both, there = [], [], [], []
    for made in tqdm(cities, desc="tuning cities"):
        for variant, absent in FITTED:
            for evidence, same in examples(made, variant, options.seed, absent=absent):
                if not absent:
                    found.append(evidence)
                    labels.append(same)
                if variant == VARIANTS[0]:
                    both.append(evidence)
                    there.append(None if absent else same)
    groups, rounds = [ev.first_group(evidence) for evidence in found], list[ev.Model]()
    for number in range(len(ev.ROUNDS)):
        x = np.concatenate([ev.features(e, g) for e, g in zip(found, groups, strict=True)])
        rounds.append(logistic(x, np.concatenate(labels)))
        print(f"round {number + 1}: {rounds[-1]}")
        groups = [ev.chances(e, g, rounds[-1]) for e, g in zip(found, groups, strict=True)]
    fit_presence(both, [ev.log_odds(evidence, rounds) for evidence in both], there)


def fit_presence(
    both: list[ev.Evidence], odds: list[FloatArray64], there: list[NDArray[np.bool_] | None]
) -> None:
    """Fit presence, and print what its threshold costs.

    Args:
        both: Of each person once present and once away.
        odds: Log odds of the tracks of each.
        there: Which tracks show the person; None for one who is away.
    """
    x = np.stack([ev.presence_features(e, z) for e, z in zip(both, odds, strict=True)])
    is_there = np.array([same is not None for same in there])
    model = logistic(x, is_there)
    print(f"presence: {model}")
    print("least chance of presence: absent people empty, present people lost, recall lost")
    chance = 1 / (1 + np.exp(-(x @ np.array(model.weights) + model.intercept)))
    recall = np.array(
        [
            0.0 if same is None else (same & (z > 0)).sum() / max(same.sum(), 1)
            for same, z in zip(there, odds, strict=True)
        ]
    )
    for share in (0.5, 0.6, 0.7, 0.8, 0.9):
        gate = np.quantile(chance[~is_there], share)
        lost = chance[is_there] < gate
        cost = (recall[is_there] * lost).mean()
        print(f"{gate:.3f}: {share:.0%}, {lost.mean():.1%}, {cost:.1%}")


def logistic(x: FloatArray64, y: NDArray[np.bool_]) -> ev.Model:
    """A logistic regression of (N, F) features, weights rounded as they are written down."""
    from sklearn.linear_model import LogisticRegression

    scale = x.std(axis=0) + 1e-9
    line = LogisticRegression(C=3.0, max_iter=5000).fit(x / scale, y)
    weights = tuple(float(round(v, 4)) for v in line.coef_[0] / scale)
    return ev.Model(weights=weights, intercept=round(float(line.intercept_[0]), 4))


@dataclass(kw_only=True)
class Tally:
    """What one variant of the reported cities gave.

    Attributes:
        scores: method -> (precision, recall, F1) of each person, always in the same order.
        claims: confidence of each visit, and whether it is right.
        certain: the same as ``claims`` when the search is told that the person is there (prior 1).
        legs: whether each leg is known, and whether both its ends are right.
        absent: highest confidence in the answer for each person all of whose sightings are away.
        strangers: confidence of each visit in those answers, all of them wrong.
        list_empty: whether no tracklet in the list for such a person has a score of 0.5.
    """

    scores: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)
    claims: list[tuple[float, bool]] = field(default_factory=list)
    certain: list[tuple[float, bool]] = field(default_factory=list)
    legs: list[tuple[bool, bool]] = field(default_factory=list)
    absent: list[float] = field(default_factory=list)
    strangers: list[tuple[float, bool]] = field(default_factory=list)
    list_empty: list[bool] = field(default_factory=list)

    def add(self, method: str, found: set[str], person: Person) -> None:
        """Count one answer."""
        self.scores.setdefault(method, []).append(agreement(found, person.mine))

    def judge(self, path: Trajectory, person: Person) -> None:
        """Count visits and legs; see :func:`right_visits`."""
        right = right_visits(path, person)
        self.claims += zip((visit.confidence for visit in path.visits), right, strict=True)
        self.legs += [
            (leg.known, before and after)
            for leg, (before, after) in zip(path.legs, pairwise(right), strict=True)
        ]

    def figures(self, seed: int) -> dict[str, Any]:
        """Means, and the differences of the path to each method with their 95 % intervals."""
        out: dict[str, Any] = {"people": len(self.scores[PATH])}
        path = np.array(self.scores[PATH])
        for name, rows in self.scores.items():
            mean = np.mean(rows, axis=0)
            facts = dict(zip(("precision", "recall", "f1"), mean.round(4).tolist(), strict=True))
            if name != PATH:
                difference = (path - np.array(rows))[:, 2]
                facts["path_minus_this"] = round(float(difference.mean()), 4)
                facts["interval"] = [round(x, 4) for x in interval(difference.tolist(), seed)]
            out[name] = facts
        error, bins = reliability(*zip(*self.claims, strict=True))
        out["visits"] = {"ece": round(error, 4), "claimed_right_count": np.round(bins, 3).tolist()}
        for known, word in ((True, "known"), (False, "unknown")):
            own = [right for is_known, right in self.legs if is_known is known]
            share = round(float(np.mean(own)), 4) if own else None
            out[f"{word}_legs"] = {"count": len(own), "both_ends_right": share}
        if self.absent:
            absent = np.array(self.absent)
            out["absent"] = {
                "people": len(absent),
                "empty": round(float((absent == 0).mean()), 4),
                "claims_0.9": int((absent >= 0.9).sum()),
                "list_empty": round(float(np.mean(self.list_empty)), 4),
            }
            groups = {
                "visits_half_absent": [*self.claims, *self.strangers],
                "visits_prior_1": self.certain,
            }
            for name, claims in groups.items():
                error, bins = reliability(*zip(*claims, strict=True))
                rows = np.round(bins, 3).tolist()
                out[name] = {"ece": round(error, 4), "claimed_right_count": rows}
        return out


def right_visits(path: Trajectory, person: Person) -> list[bool]:
    """Whether most sightings of each visit show the person."""
    return [
        sum(one.tracklet in person.mine for one in visit.sightings) > len(visit.sightings) / 2
        for visit in path.visits
    ]


def measure(
    tally: Tally, made: Prepared, variant: str, methods: dict[str, Method], seed: int
) -> None:
    """Add a city's people to the tally."""
    rng = np.random.default_rng(seed)
    with made.opened(variant, seed) as (city, people, rows):
        listed = Listed.of(city, rows, made.calibration)
        how: dict[str, Any] = {"model": made.model, "calibration": made.calibration}
        for person in people:
            own = listed.scores(person)
            for name, method in methods.items():
                tally.add(name, set(listed.names[method(listed, own)].tolist()), person)
            path = trace(city, person.vector, Scope(), **how)
            tally.add(PATH, {one.tracklet for one in path.sightings}, person)
            tally.judge(path, person)
            if variant != VARIANTS[0]:
                continue
            sure = trace(city, person.vector, Scope(), options=TraceOptions(prior=1.0), **how)
            right = right_visits(sure, person)
            tally.certain += zip((visit.confidence for visit in sure.visits), right, strict=True)
            away = person.sightings(city)
            one = str(rng.choice(away))
            helped = trace(city, person.vector, Scope(), confirmed=[one], **how)
            tally.add(CONFIRMED, {one.tracklet for one in helped.sightings}, person)
            nobody = trace(city, person.vector, Scope(), rejected=away, **how)
            tally.strangers += [(visit.confidence, False) for visit in nobody.visits]
            left = own[~np.isin(listed.names, sorted(person.mine))]
            tally.list_empty.append(bool(left.max() < 0.0))
            tally.absent.append(max((visit.confidence for visit in nobody.visits), default=0.0))


def main(options: Options) -> None:
    """Fit, or compare."""
    embedder = Embedder.load("default")

    def cities(wanted: Sequence[SimulationOptions], people: int) -> list[Prepared]:
        return [
            prepare(options.folder, one, embedder, people=people, workers=options.workers)
            for one in wanted
        ]

    tuning = cities(TUNING, 1000)
    if options.fit:
        fit(options, tuning)
        return
    lists = []
    for made in tuning:
        with made.opened(VARIANTS[0], options.seed) as (city, people, rows):
            lists.append((Listed.of(city, rows, made.calibration), people))
    methods = {**PLAIN, **tuned(lists)}
    reported = cities(REPORTED, options.people)
    result: dict[str, Any] = {"seeds": [one.seed for one in REPORTED]}
    for variant in options.variants:
        tally = Tally()
        for made in tqdm(reported, desc=variant):
            measure(tally, made, variant, methods, options.seed)
        result[variant] = tally.figures(options.seed)
        print(json.dumps({variant: result[variant]}, indent=1))
    write_result(options.out, "paths", result)
