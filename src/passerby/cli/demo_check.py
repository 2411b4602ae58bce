"""The demo, headless: the operator's path over HTTP, and every answer against the truth."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from passerby.city import City, Scope, Trajectory, find, trace
from passerby.data import CropTable, read
from passerby.metrics import Calibration, Report, evaluate_table
from passerby.runtime import Embedder

WANTED = {"mAP": 0.60, "first": 0.80, "path": 0.60}  # below these the demo is broken
TRACED = 30  # people whose trajectories are reconstructed
SHOWN = 10  # of them are printed
TOP = 10


@dataclass(frozen=True, kw_only=True)
class Case:
    """One person looked for, and how well the answer agrees with the truth.

    Attributes:
        identity: number of the simulated person.
        query: the picture's file name.
        hits: how many of the first ten tracklets show the person.
        possible: how many tracklets of the person there are, at most ten.
        first: whether the first answer shows the person.
        precision: share of the trajectory's tracklets that are the person's.
        recall: share of the person's tracklets that are on the trajectory.
    """

    identity: int
    query: str
    hits: int
    possible: int
    first: bool
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


class Truth:
    """Who was seen where, from ``truth.parquet``; nothing of the service reads it."""

    def __init__(self, tree: Path) -> None:
        """Read the passages that some detector saw."""
        from pyarrow import parquet

        table = parquet.read_table(tree / "truth.parquet")
        rows = zip(
            table.column("event").to_pylist(),
            table.column("identity").to_pylist(),
            table.column("tracklet").to_pylist(),
            strict=True,
        )
        self.tracklets: dict[int, set[str]] = {}
        for event, identity, tracklet in rows:
            if event == "passage" and tracklet is not None:
                self.tracklets.setdefault(int(identity), set()).add(tracklet)


def pictures(table: CropTable, count: int) -> list[tuple[int, Path]]:
    """One query picture of each of ``count`` people, spread over all of them."""
    query = table.query
    first = {int(identity): row for row, identity in reversed(list(enumerate(query.identity)))}
    chosen = sorted(first.items())
    step = max(1, len(chosen) // count)
    paths = query.paths()
    return [(identity, paths[row]) for identity, row in chosen[::step][:count]]


def judge(
    city: City, embedder: Embedder, truth: Truth, stored: set[str], one: tuple[int, Path]
) -> Case:
    """Look for one person in the whole city and reconstruct their path."""
    identity, path = one
    vectors = embedder.embed([path])
    calibration = Calibration.from_card(embedder.card.calibration)
    model = embedder.model_id
    found = find(
        city, vectors, Scope(), k=TOP, per="tracklet", model=model, calibration=calibration
    )
    trajectory: Trajectory = trace(city, vectors, Scope(), model=model, calibration=calibration)
    mine = truth.tracklets.get(identity, set()) & stored
    answers = [match.sighting.tracklet in mine for match in found.matches]
    walked = {sighting.tracklet for sighting in trajectory.sightings}
    return Case(
        identity=identity,
        query=path.name,
        hits=sum(answers),
        possible=min(TOP, len(mine)),
        first=bool(answers and answers[0]),
        precision=len(walked & mine) / len(walked) if walked else 0.0,
        recall=len(walked & mine) / len(mine) if mine else 0.0,
    )


def stored_tracklets(tree: Path) -> set[str]:
    """Tracklets with at least one crop in the gallery."""
    from pyarrow import parquet

    table = parquet.read_table(tree / "sightings.parquet", columns=["tracklet", "split"])
    pairs = zip(
        table.column("tracklet").to_pylist(), table.column("split").to_pylist(), strict=True
    )
    return {tracklet for tracklet, split in pairs if split != "query"}


def scope_is_exact(city: City, embedder: Embedder, path: Path) -> bool:
    """Whether a district's answer is the city's answer filtered to that district."""
    vectors = embedder.embed([path])
    district = next(unit.code for unit in city.units if unit.level == "district")
    everything = city.count()
    whole = find(city, vectors, Scope(), k=everything, rerank=False)
    part = find(city, vectors, Scope(units=(district,)), k=everything, rerank=False)
    filtered = [
        match.sighting.id
        for match in whole.matches
        if city.units.holds(district, match.sighting.unit)
    ]
    return filtered == [match.sighting.id for match in part.matches]


def check(
    city: City, tree: Path, embedder: Embedder, *, started: float, as_json: bool = False
) -> int:
    """Verify the demo; returns 0 when every line holds, else 1."""
    from passerby.cli.demo_desk import walk_through

    table = read("simcity", tree)
    network = evaluate_table(table, lambda rows: embedder.embed(rows.paths())).report
    truth, stored = Truth(tree), stored_tracklets(tree)
    chosen = pictures(table, TRACED)
    cases = [judge(city, embedder, truth, stored, one) for one in tqdm(chosen, desc="tracing")]
    desk = walk_through(city, embedder, chosen[0][1])
    result = summary(city, network, cases)
    result["checks"] = {
        "network finds the person": network.mAP >= WANTED["mAP"],
        "first answer is the person": result["first"] >= WANTED["first"],
        "trajectory agrees with the truth": result["path_f1"] >= WANTED["path"],
        "scoped search equals the filtered full search": scope_is_exact(
            city, embedder, chosen[0][1]
        ),
        **desk,
    }
    result["seconds"] = round(time.perf_counter() - started, 1)
    print(json.dumps(result, indent=2) if as_json else report(result, cases))
    return 0 if all(result["checks"].values()) else 1


def summary(city: City, network: Report, cases: Sequence[Case]) -> dict[str, Any]:
    """The figures of a check as plain JSON."""
    return {
        "sightings": city.count(),
        "cameras": len(city.cameras),
        "mAP": round(network.mAP, 4),
        "mINP": round(network.mINP, 4),
        "rank1": round(network.cmc[1], 4),
        "queries": len(cases),
        "first": round(float(np.mean([case.first for case in cases])), 4),
        "path_precision": round(float(np.mean([case.precision for case in cases])), 4),
        "path_recall": round(float(np.mean([case.recall for case in cases])), 4),
        "path_f1": round(float(np.mean([case.f1 for case in cases])), 4),
    }


def report(result: dict[str, Any], cases: Sequence[Case]) -> str:
    """The table that ``make demo CHECK=1`` prints."""
    lines = [
        "",
        f"{'person':>6}  {'query picture':24}  {'hits in top 10':>14}  {'path: right':>11}  "
        f"{'found':>6}",
    ]
    for case in cases[:SHOWN]:
        hits = f"{case.hits} of {case.possible}"
        lines.append(
            f"{case.identity:>6}  {case.query:24}  {hits:>14}  {case.precision:>10.0%}  "
            f"{case.recall:>6.0%}"
        )
    lines += [
        "",
        f"sightings {result['sightings']}, cameras {result['cameras']}",
        f"network, Market-1501 protocol: mAP {result['mAP']:.1%}, rank-1 {result['rank1']:.1%}, "
        f"mINP {result['mINP']:.1%}",
        f"search, {result['queries']} people: first answer right {result['first']:.1%}",
        f"trajectory, tracklets of {result['queries']} people: precision "
        f"{result['path_precision']:.1%}, recall {result['path_recall']:.1%}, "
        f"F1 {result['path_f1']:.1%}",
        "",
    ]
    lines += [f"{'ok  ' if holds else 'FAIL'}  {what}" for what, holds in result["checks"].items()]
    verdict = "all checks hold" if all(result["checks"].values()) else "a check failed"
    return "\n".join([*lines, "", f"{verdict} ({result['seconds']:.0f} s)"])
