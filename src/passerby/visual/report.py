"""The report: one HTML file that needs nothing else."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from passerby.errors import InputError
from passerby.metrics import Calibration, candidate_pairs, open_set, reliability, survey
from passerby.models import ModelCard
from passerby.visual.cameras import camera_counts, camera_matrix
from passerby.visual.clusters import cluster_curves
from passerby.visual.curves import ap_histogram, cmc_curve
from passerby.visual.embedding import Projection, embedding_map, pick_people
from passerby.visual.failures import by_height, by_matches, confusions
from passerby.visual.findings import findings
from passerby.visual.looks import Look, looks
from passerby.visual.page import render
from passerby.visual.rank_lists import Pick, RankList, pick_queries, positions_of, rank_list
from passerby.visual.results import Results
from passerby.visual.similarities import reliability_diagram, similarity_histogram
from passerby.visual.svg import Figure
from passerby.visual.training import read_events, read_log, training_curves

Tick = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What a report shows.

    Attributes:
        top: Crops in each rank list.
        queries: Number of rank lists.
        pick: Which queries: by AP, at random, or a third of each.
        rows: These rows of the query table instead.
        seed: Of all random choices.
        people: Identities in the map of the features.
        projection: How the map is made.
        looks: Rank lists whose activation maps are drawn.

    Raises:
        InputError: A number is below 1 (``looks``: below 0).
    """

    top: int = 10
    queries: int = 12
    pick: Pick = "mixed"
    rows: tuple[int, ...] = ()
    seed: int = 0
    people: int = 12
    projection: Projection = "pca"
    looks: int = 6

    def __post_init__(self) -> None:
        """Check the numbers before any work is done for them."""
        for name, low in (("top", 1), ("queries", 1), ("people", 1), ("looks", 0)):
            if getattr(self, name) < low:
                raise InputError(f"a report with {name} {getattr(self, name)}; give {low} or more")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is judged, on what, where and when; printed in the report.

    Attributes:
        card: Of the network.
        model: Name or path of the network.
        model_id: Architecture and content hash.
        runtime: What ran it.
        data: The data set's name.
        commit: Of Passerby.
        date: ISO 8601 with its offset.
        machine: In words.
    """

    card: ModelCard
    model: str
    model_id: str
    runtime: str
    data: str
    commit: str
    date: str
    machine: str


@dataclass(frozen=True, kw_only=True)
class Written:
    """A report that was written.

    Attributes:
        path: The file.
        bytes: Its size.
        left_out: Sections without content, each with the reason.
    """

    path: Path
    bytes: int
    left_out: tuple[str, ...]


def write_report(
    out: Path,
    results: Results,
    subject: Subject,
    *,
    options: ReportOptions | None = None,
    network: nn.Module | None = None,
    log: Path | None = None,
    on_section: Tick | None = None,
) -> Written:
    """Write one self-contained HTML file: no script, no request to anywhere.

    Args:
        out: The file; it appears whole or not at all.
        results: Of :func:`passerby.visual.judge`.
        subject: What is judged.
        options: What to show.
        network: The PyTorch network, for activation maps; None leaves them out.
        log: ``log.jsonl`` of the training; None leaves the curves out.
        on_section: Called with the name of each section before it is made.

    Raises:
        InputError: An option out of range, a crop or the log that cannot be read, or a place that
            cannot be written.
    """
    made = _Sections(results, subject, options or ReportOptions(), on_section or (lambda _: None))
    content = made.all(network, log)
    text = render(content, results)
    return Written(path=out, bytes=_write(out, text), left_out=tuple(content["left_out"]))


class _Sections:
    """The content of each section, for the template."""

    def __init__(
        self, results: Results, subject: Subject, options: ReportOptions, tick: Tick
    ) -> None:
        self.results, self.subject, self.options, self.tick = results, subject, options, tick
        self.left_out: list[str] = []

    def all(self, network: nn.Module | None, log: Path | None) -> dict[str, Any]:
        results = self.results
        groups = self.groups()
        matrix = camera_matrix(results)
        heights, mixed_up = by_height(results), confusions(results)
        if not heights:
            self.left_out.append("results by box height: all boxes have the same height")
        content: dict[str, Any] = {
            "subject": self.subject,
            "options": self.options,
            "results": results,
            "findings": findings(results, matrix, heights, mixed_up),
            "groups": groups,
            "curves": self._made("curves", self._curves),
            "matrix": matrix,
            "cameras": camera_counts(results),
            "heights": heights,
            "by_matches": by_matches(results),
            "confusions": mixed_up,
            **self._made("similarities", self.similarities),
            "map": self._made("map of the features", self.map),
            "looks": self._made("activation maps", lambda: self.looks(groups, network)),
            "training": self._made("training", lambda: self.training(log)),
        }
        return {**content, "left_out": self.left_out}

    def _made(self, name: str, make: Callable[[], Any]) -> Any:
        self.tick(name)
        return make()

    def _curves(self) -> list[Figure]:
        return [
            cmc_curve(self.results.report, self.results.plain),
            ap_histogram(self.results.report),
        ]

    def groups(self) -> list[tuple[str, list[RankList]]]:
        options, results = self.options, self.results
        self.tick("rank lists")
        if options.rows:
            chosen = [("given", positions_of(results, options.rows))]
        else:
            picked = pick_queries(results, options.pick, options.queries, seed=options.seed)
            chosen = [(str(name), positions) for name, positions in picked]
        return [
            (name, [rank_list(results, int(p), top=options.top) for p in positions])
            for name, positions in chosen
        ]

    def similarities(self) -> dict[str, Any]:
        query, gallery = self.results.query, self.results.gallery
        found = survey(
            self.results.queries,
            self.results.features,
            query.identity,
            gallery.identity,
            query.camera,
            gallery.camera,
            protocol=self.results.protocol,
            candidates=min(100, len(gallery)),
        )
        curve = Calibration.from_card(self.subject.card.calibration)
        figures = [similarity_histogram(found, curve)]
        if curve.measured:
            judged = reliability(curve, candidate_pairs(found, query.identity))
            figures.append(reliability_diagram(judged))
        else:
            self.left_out.append("reliability diagram: the model card holds no calibration")
        return {"similarities": figures, "open_set": open_set(found, calibration=curve)}

    def map(self) -> Figure | None:
        options, results = self.options, self.results
        people = pick_people(results, options.people, seed=options.seed)
        try:
            return embedding_map(results, people, projection=options.projection, seed=options.seed)
        except InputError as error:
            self.left_out.append(f"map of the features: {error}")
            return None

    def looks(
        self, groups: list[tuple[str, list[RankList]]], network: nn.Module | None
    ) -> list[list[Look]]:
        if network is None:
            self.left_out.append(
                "activation maps: an ONNX or OpenVINO file shows no inner maps; give the network's "
                ".safetensors file"
            )
            return []
        share = -(-self.options.looks // max(len(groups), 1))
        lists = [item for _, items in groups for item in items[:share]][: self.options.looks]
        try:
            return looks(self.results, lists, network, self.subject.card)
        except InputError as error:
            self.left_out.append(f"activation maps: {error}")
            return []

    def training(self, log: Path | None) -> list[Figure]:
        if log is None:
            self.left_out.append("training curves: no run folder was given (--run)")
            return []
        return training_curves(read_log(log)) + cluster_curves(read_events(log))


def _write(out: Path, text: str) -> int:
    """Put the file in place whole; its size in bytes."""
    data = text.encode("utf-8")
    partial = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        os.replace(partial, out)
    except OSError as error:
        raise InputError(f"the report '{out}' cannot be written: {error.strerror}") from error
    finally:
        if partial.exists():
            partial.unlink()
    return len(data)
