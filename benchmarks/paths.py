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
from tqdm import tqdm

from benchmarks.common import ROOT, write_result
from benchmarks.pathing.cities import REPORTED, TUNING, VARIANTS, Person, Prepared, prepare
from benchmarks.pathing.methods import (
    PLAIN,
    Listed,
    Method,
    agreement,
    best_cut,
    interval,
    pairs_f1,
    plain_clusters,
    reliability,
    tuned,
)
from passerby.city import Scope, Trajectory, trace
from passerby.city import evidence as ev
from passerby.city.association import associate
from passerby.city.trajectory import PathSearch
from passerby.runtime import Embedder
from passerby.simulate.options import SimulationOptions

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
    """Fit the rounds on the tuning cities, with people who are there and people who are not."""
    from sklearn.linear_model import LogisticRegression

    found, labels, weight = [], [], []
    for made in tqdm(cities, desc="tuning cities"):
        for variant in VARIANTS[:3]:
            for absent in (False, True):
                if absent and variant != "as made":
                    continue
                for evidence, same in examples(made, variant, options.seed, absent=absent):
                    found.append(evidence)
                    labels.append(same)
                    weight.append(np.full(len(same), 0.25 if absent else 1.0))
    groups = [ev.first_group(evidence) for evidence in found]
    y, w = np.concatenate(labels), np.concatenate(weight)
    for number in range(2):
        x = np.concatenate([ev.features(e, g) for e, g in zip(found, groups, strict=True)])
        scale = x.std(axis=0) + 1e-9
        line = LogisticRegression(C=3.0, max_iter=5000).fit(x / scale, y, sample_weight=w)
        weights = tuple(float(round(v, 4)) for v in line.coef_[0] / scale)
        model = ev.Model(weights=weights, intercept=round(float(line.intercept_[0]), 4))
        print(f"round {number + 1}: {model}\n  {dict(zip(ev.FEATURES, weights, strict=True))}")
        groups = [
            ev._sigmoid(ev.features(e, g) @ np.array(weights) + model.intercept)
            for e, g in zip(found, groups, strict=True)
        ]


@dataclass(kw_only=True)
class Tally:
    """What one variant of the reported cities gave.

    Attributes:
        scores: method -> (precision, recall, F1) of each person, always in the same order.
        claims: confidence of each visit, and whether it is right.
        legs: whether each leg is known, and whether both its ends are right.
        absent: highest confidence in the answer for each person all of whose sightings are away.
    """

    scores: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)
    claims: list[tuple[float, bool]] = field(default_factory=list)
    legs: list[tuple[bool, bool]] = field(default_factory=list)
    absent: list[float] = field(default_factory=list)

    def add(self, method: str, found: set[str], person: Person) -> None:
        """Count one answer."""
        self.scores.setdefault(method, []).append(agreement(found, person.mine))

    def judge(self, path: Trajectory, person: Person) -> None:
        """Count visits and legs; a visit is right when most of its sightings are."""
        right = [
            sum(one.tracklet in person.mine for one in visit.sightings) > len(visit.sightings) / 2
            for visit in path.visits
        ]
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
            }
        return out


def measure(
    tally: Tally, made: Prepared, variant: str, methods: dict[str, Method], seed: int
) -> dict[str, Any]:
    """Add a city's people to the tally; with tracklets as made, also the grouping's figures."""
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
            away = person.sightings(city)
            one = str(rng.choice(away))
            helped = trace(city, person.vector, Scope(), confirmed=[one], **how)
            tally.add(CONFIRMED, {one.tracklet for one in helped.sightings}, person)
            nobody = trace(city, person.vector, Scope(), rejected=away, **how)
            tally.absent.append(max((visit.confidence for visit in nobody.visits), default=0.0))
        if variant != VARIANTS[0]:
            return {}
        groups = [[track.name[1] for track in group] for group in associate(city, Scope(), **how)]
        return {"ours": pairs_f1(groups, made.who), "listed": listed}


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
    cut = best_cut([(listed, made.who) for (listed, _), made in zip(lists, tuning, strict=True)])
    reported = cities(REPORTED, options.people)
    result: dict[str, Any] = {"seeds": [one.seed for one in REPORTED]}
    for variant in options.variants:
        tally, grouped = Tally(), []
        for made in tqdm(reported, desc=variant):
            found = measure(tally, made, variant, methods, options.seed)
            if found:
                plain = pairs_f1(plain_clusters(found["listed"], cut), made.who)
                grouped.append({"ours": found["ours"], "plain": plain})
        result[variant] = tally.figures(options.seed)
        if grouped:
            result["association"] = {
                name: np.mean([one[name] for one in grouped], axis=0).round(4).tolist()
                for name in ("ours", "plain")
            }
        print(json.dumps({variant: result[variant]}, indent=1))
    print(json.dumps(result["association"]))
    write_result(options.out, "paths", result)
