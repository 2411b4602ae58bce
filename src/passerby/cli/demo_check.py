"""``passerby demo --check``: an operator's steps over HTTP, and every answer against the truth."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from tqdm import tqdm

from passerby.city import City, Scope, Trajectory, find, trace
from passerby.cli.common import aligned
from passerby.data import CropTable, read
from passerby.metrics import Calibration, Report, evaluate_table
from passerby.runtime import Embedder
from passerby.service.app import OPERATOR, create_app, open_demo, served
from passerby.service.http import Service

WANTED = {"mAP": 0.60, "first": 0.80, "path": 0.60}  # below these the demo is broken
TRACED = 30  # people whose trajectories are reconstructed
SHOWN = 10  # of them are printed
TOP = 10
LISTED = 80  # tracklets of the plain list that stands beside the path


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
        list_f1: F1 of the plain list: every tracklet with a score of at least 0.5.
    """

    identity: int
    query: str
    hits: int
    possible: int
    first: bool
    precision: float
    recall: float
    list_f1: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


class Truth:
    """The tracklets of each simulated person; nothing of the service reads them.

    Attributes:
        tracklets: identity -> names of tracklets.
    """

    def __init__(self, tree: Path) -> None:
        """Read ``truth.parquet``: the passages that some detector saw."""
        from pyarrow import parquet

        passages = parquet.read_table(
            tree / "truth.parquet",
            columns=["identity", "tracklet"],
            filters=[("event", "==", "passage")],
        )
        self.tracklets: dict[int, set[str]] = {}
        for row in passages.to_pylist():
            if row["tracklet"] is not None:
                self.tracklets.setdefault(int(row["identity"]), set()).add(row["tracklet"])


def stored_tracklets(tree: Path) -> set[str]:
    """The names of tracklets with at least one crop in the gallery."""
    from pyarrow import parquet

    stored = parquet.read_table(
        tree / "sightings.parquet", columns=["tracklet"], filters=[("split", "!=", "query")]
    )
    return set(stored.column("tracklet").to_pylist())


def pictures(table: CropTable, count: int) -> list[tuple[int, Path]]:
    """Choose one query picture of each of ``count`` people, spread over all of them."""
    query = table.query
    first = {int(identity): row for row, identity in reversed(list(enumerate(query.identity)))}
    chosen = sorted(first.items())
    step = max(1, len(chosen) // count)
    paths = query.paths()
    return [(identity, paths[row]) for identity, row in chosen[::step][:count]]


def evaluate_case(
    city: City, embedder: Embedder, identity: int, path: Path, mine: set[str]
) -> Case:
    """Search one person in the whole city, reconstruct their path, and compare with the truth.

    ``mine`` are the tracklets that truly show them.
    """
    vectors = embedder.embed([path])
    calibration = Calibration.from_card(embedder.card.calibration)
    model = embedder.model_id
    found = find(
        city, vectors, Scope(), k=LISTED, per="tracklet", model=model, calibration=calibration
    )
    trajectory: Trajectory = trace(city, vectors, Scope(), model=model, calibration=calibration)
    answers = [match.sighting.tracklet in mine for match in found.matches[:TOP]]
    likely = {match.sighting.tracklet for match in found.matches if match.score >= 0.5}
    walked = {sighting.tracklet for sighting in trajectory.sightings}
    return Case(
        identity=identity,
        query=path.name,
        hits=sum(answers),
        possible=min(TOP, len(mine)),
        first=bool(answers and answers[0]),
        precision=len(walked & mine) / len(walked) if walked else 0.0,
        recall=len(walked & mine) / len(mine) if mine else 0.0,
        list_f1=2 * len(likely & mine) / max(len(likely) + len(mine), 1),
    )


def scope_is_exact(city: City, embedder: Embedder, path: Path) -> bool:
    """Say whether a district's answer is the city's answer filtered to that district."""
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


def operator_steps(city: City, embedder: Embedder, picture: Path) -> dict[str, bool]:
    """Do over HTTP what an operator does on the page, and say of each step whether it holds."""
    app = create_app(city, embedder)
    service: Service = app.state.service
    password = open_demo(service)[OPERATOR]
    district = next(unit.code for unit in city.units if unit.level == "district")
    with served(app) as address, httpx2.Client(base_url=address, timeout=60) as client:
        steps = {"nobody searches unsigned": _post(client, "/api/searches", {}).status_code == 401}
        session = _post(client, "/api/session", {"name": OPERATOR, "password": password}).json()
        client.headers["X-CSRF-Token"] = session["csrf"]
        with picture.open("rb") as file:
            uploaded = client.post("/api/pictures", files={"file": file}).json()
        query = {"pictures": [{"id": uploaded["id"]}]}
        without = _post(client, "/api/searches", {**query, "case": "NONE"})
        steps["no search without a case"] = without.status_code >= 400
        case = next(one for one in client.get("/api/cases").json() if one["is_open"])
        found = _post(
            client, "/api/searches", {**query, "case": case["id"], "scope": {"units": [district]}}
        ).json()
        units = [match["unit"] for match in found["matches"]]
        steps["results only from the chosen district"] = bool(units) and all(
            city.units.holds(district, unit) for unit in units
        )
        path = client.get(f"/api/searches/{found['id']}/trajectory")
        steps["the trajectory is served"] = path.status_code == 200
        steps["an export says who, why and when"] = _export_is_marked(client, found["id"], case)
    verdict = service.audit.verify()
    steps["the audit is whole"] = verdict.intact and verdict.entries > 0
    service.database.close()
    return steps


def _post(client: Any, path: str, content: object) -> Any:
    return client.post(path, json=content)


def _export_is_marked(client: Any, search: str, case: dict[str, Any]) -> bool:
    wish = {"format": "geojson", "trajectory": True}
    text = _post(client, f"/api/searches/{search}/exports", wish).text
    return OPERATOR in text and case["purpose"] in text and "vector" not in text


def check(
    city: City, tree: Path, embedder: Embedder, *, started: float
) -> tuple[dict[str, Any], str]:
    """Verify the demo; return the figures with the outcome of each check, and both in words."""
    table = read("simcity", tree)
    network = evaluate_table(table, lambda rows: embedder.embed(rows.paths())).report
    truth, stored = Truth(tree).tracklets, stored_tracklets(tree)
    chosen = pictures(table, TRACED)
    cases = [
        evaluate_case(city, embedder, identity, path, truth.get(identity, set()) & stored)
        for identity, path in tqdm(chosen, desc="tracing")
    ]
    steps = operator_steps(city, embedder, chosen[0][1])
    result = summary(city, network, cases)
    result["checks"] = {
        "network finds the person": network.mAP >= WANTED["mAP"],
        "first answer is the person": result["first"] >= WANTED["first"],
        "trajectory agrees with the truth": result["path_f1"] >= WANTED["path"],
        "scoped search equals the filtered full search": scope_is_exact(
            city, embedder, chosen[0][1]
        ),
        **steps,
    }
    result["seconds"] = round(time.perf_counter() - started, 1)
    return result, report(result, cases)


def summary(city: City, network: Report, cases: Sequence[Case]) -> dict[str, Any]:
    """Return the figures of a check as plain JSON."""
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
        "list_f1": round(float(np.mean([case.list_f1 for case in cases])), 4),
    }


def report(result: dict[str, Any], cases: Sequence[Case]) -> str:
    """Return the table that ``make demo CHECK=1`` prints."""
    rows = [("person", "query picture", "hits in top 10", "path: right", "found")]
    rows += [
        (
            str(case.identity),
            case.query,
            f"{case.hits} of {case.possible}",
            f"{case.precision:.0%}",
            f"{case.recall:.0%}",
        )
        for case in cases[:SHOWN]
    ]
    lines = [
        "",
        aligned(rows, right=True),
        "",
        f"sightings {result['sightings']}, cameras {result['cameras']}",
        f"network, Market-1501 protocol: mAP {result['mAP']:.1%}, rank-1 {result['rank1']:.1%}, "
        f"mINP {result['mINP']:.1%}",
        f"search, {result['queries']} people: first answer right {result['first']:.1%}",
        f"trajectory, tracklets of {result['queries']} people: precision "
        f"{result['path_precision']:.1%}, recall {result['path_recall']:.1%}, "
        f"F1 {result['path_f1']:.1%}; every tracklet with a score of 0.5 or more: "
        f"F1 {result['list_f1']:.1%}",
        "",
    ]
    lines += [f"{'ok  ' if holds else 'FAIL'}  {what}" for what, holds in result["checks"].items()]
    verdict = "all checks hold" if all(result["checks"].values()) else "a check failed"
    return "\n".join([*lines, "", f"{verdict} ({result['seconds']:.0f} s)"])
