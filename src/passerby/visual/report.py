"""The report: one self-contained HTML file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from passerby.errors import InputError
from passerby.files import write_text
from passerby.metrics import Calibration, candidate_pairs, open_set, reliability, survey
from passerby.models import ModelCard
from passerby.visual.activation import ActivationMap, draw_activation_maps
from passerby.visual.breakdown import (
    by_height,
    by_matches,
    camera_counts,
    camera_matrix,
    confusions,
)
from passerby.visual.curves import (
    ap_histogram,
    cmc_curve,
    reliability_diagram,
    similarity_histogram,
)
from passerby.visual.embedding import Projection, embedding_map, pick_people
from passerby.visual.findings import findings
from passerby.visual.page import render
from passerby.visual.rank_lists import Pick, RankList, pick_queries, positions_of, rank_list
from passerby.visual.results import Results
from passerby.visual.svg import Figure
from passerby.visual.training import cluster_curves, read_log, training_curves

Groups = list[tuple[str, list[RankList]]]  # the lists with the way their queries were picked


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Options of a report.

    Attributes:
        top: Crops in each rank list.
        queries: Number of rank lists.
        pick: Queries of the rank lists: by AP, at random, or a third of each.
        rows: These rows of the query table instead.
        seed: Of all random choices.
        people: Identities in the map of the features.
        projection: Method of that map.
        activation_maps: Rank lists whose activation maps are drawn.

    Raises:
        InputError: A number is below 1 (``activation_maps``: below 0).
    """

    top: int = 10
    queries: int = 12
    pick: Pick = "mixed"
    rows: tuple[int, ...] = ()
    seed: int = 0
    people: int = 12
    projection: Projection = "pca"
    activation_maps: int = 6

    def __post_init__(self) -> None:
        """Check the numbers before any work is done."""
        for name, low in (("top", 1), ("queries", 1), ("people", 1), ("activation_maps", 0)):
            if getattr(self, name) < low:
                raise InputError(f"a report with {name} {getattr(self, name)}; give {low} or more")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The evaluated network, the data, the place and the time, as printed in the report.

    Attributes:
        card: Of the network.
        model: Name or path of the network.
        model_id: Architecture and content hash.
        runtime: The runtime that embedded.
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


def write_report(
    out: Path,
    results: Results,
    subject: Subject,
    *,
    options: ReportOptions | None = None,
    network: nn.Module | None = None,
    log: Path | None = None,
    on_section: Callable[[str], None] | None = None,
) -> tuple[str, ...]:
    """Write one HTML file that contains everything: no script, no request to other files.

    Args:
        out: The file, written atomically.
        results: Of :func:`passerby.visual.collect_results`.
        subject: The evaluated network.
        options: Options of the sections.
        network: The PyTorch network, for activation maps; None leaves them out.
        log: ``log.jsonl`` of the training; None leaves the curves out.
        on_section: Called with the name of each section before it is made.

    Returns:
        The sections without content, each with the reason.

    Raises:
        InputError: An option is out of range, a crop or the log cannot be read, or the file cannot
            be written.
    """
    options, begin = options or ReportOptions(), on_section or (lambda _: None)
    begin("rank lists")
    groups = _rank_lists(results, options)
    begin("breakdown")
    content, left_out = _breakdown(results)
    begin("similarities")
    content |= _similarities(results, subject.card, left_out)
    content |= {"map": None, "activation_maps": [], "training": []}
    begin("map of the features")
    try:
        content["map"] = _feature_map(results, options)
    except InputError as error:
        left_out.append(f"map of the features: {error}")
    begin("activation maps")
    try:
        content["activation_maps"] = _activation_maps(results, options, groups, network, subject)
    except InputError as error:
        left_out.append(f"activation maps: {error}")
    if log is None:
        left_out.append("training curves: no run folder was given (--run)")
    else:
        begin("training")
        events = read_log(log)
        content["training"] = training_curves(events) + cluster_curves(events)
    content |= {"subject": subject, "results": results, "groups": groups}
    _write(out, render({**content, "left_out": left_out}, results))
    return tuple(left_out)


def _rank_lists(results: Results, options: ReportOptions) -> Groups:
    """Make the rank lists, grouped by the way their queries were picked."""
    picked: Sequence[tuple[str, NDArray[np.int64]]]
    if options.rows:
        picked = [("given", positions_of(results, options.rows))]
    else:
        picked = pick_queries(results, options.pick, options.queries, seed=options.seed)
    return [
        (name, [rank_list(results, int(p), top=options.top) for p in positions])
        for name, positions in picked
    ]


def _breakdown(results: Results) -> tuple[dict[str, Any], list[str]]:
    """Break the scores down; also return the parts without content, with the reason."""
    matrix, heights, mixed_up = camera_matrix(results), by_height(results), confusions(results)
    content = {
        "findings": findings(results, matrix, heights, mixed_up),
        "curves": [cmc_curve(results.report, results.plain), ap_histogram(results.report)],
        "matrix": matrix,
        "cameras": camera_counts(results),
        "heights": heights,
        "by_matches": by_matches(results),
        "confusions": mixed_up,
    }
    same = ["results by box height: all boxes have the same height"]
    return content, [] if heights else same


def _similarities(results: Results, card: ModelCard, left_out: list[str]) -> dict[str, Any]:
    """Draw the similarities of pairs and the calibration; make the table of open-set searches."""
    query, gallery = results.query, results.gallery
    found = survey(
        results.queries,
        results.features,
        query.identity,
        gallery.identity,
        query.camera,
        gallery.camera,
        protocol=results.protocol,
        candidates=min(100, len(gallery)),
    )
    curve = Calibration.from_card(card.calibration)
    figures = [similarity_histogram(found, curve)]
    if curve.measured:
        measured = reliability(curve, candidate_pairs(found, query.identity))
        figures.append(reliability_diagram(measured))
    else:
        left_out.append("reliability diagram: the model card holds no calibration")
    return {"similarities": figures, "open_set": open_set(found, calibration=curve)}


def _feature_map(results: Results, options: ReportOptions) -> Figure:
    """Draw the features of some people on a plane."""
    people = pick_people(results, options.people, seed=options.seed)
    return embedding_map(results, people, projection=options.projection, seed=options.seed)


def _activation_maps(
    results: Results,
    options: ReportOptions,
    groups: Groups,
    network: nn.Module | None,
    subject: Subject,
) -> list[list[ActivationMap]]:
    """Draw the maps of the first rank lists of each group."""
    if network is None:
        raise InputError(
            "an ONNX or OpenVINO file shows no inner maps; give the network's .safetensors file"
        )
    share = -(-options.activation_maps // max(len(groups), 1))
    lists = [item for _, items in groups for item in items[:share]][: options.activation_maps]
    return [draw_activation_maps(results, item, network, subject.card) for item in lists]


def _write(out: Path, text: str) -> None:
    """Write the file atomically."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, text)
    except OSError as error:
        raise InputError(f"the report '{out}' cannot be written: {error.strerror}") from error
