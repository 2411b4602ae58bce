"""A paper's ablation table, row by row: run, resume, and set beside the printed figures."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from passerby.data import CropTable
from passerby.errors import InputError
from passerby.metrics import Report, Reranking
from passerby.models import load
from passerby.recipes import run_folder
from passerby.recipes.options import RunOptions
from passerby.train.device import find_device
from passerby.train.evaluation import evaluate_network

FIGURES = ("rank-1", "mAP", "mINP")


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How a row's network is tested, where that is what the row varies.

    Attributes:
        feature: Behind or before the BNNeck; None for the run's own.
        metric: Cosine, or Euclidean on the features as they are.
        rerank: By k-reciprocal neighbours (k1 20, k2 6, lambda 0.3).
    """

    feature: Literal["after_bn", "before_bn"] | None = None
    metric: Literal["cosine", "squared_euclidean"] = "cosine"
    rerank: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table.

    Attributes:
        name: As the paper names it.
        changes: Options that differ from the grid's base.
        judgement: How it is tested.
        paper: Data set -> the paper's figures in percent, in the order of the grid's ``figures``;
            None where the print is lost.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    judgement: Judgement = Judgement()
    paper: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One table of a paper.

    Attributes:
        title: What it varies, and where it stands.
        rows: From top to bottom.
        base: The paper's options, which every row changes.
        small: The same for a small network on a CPU.
        run: Trains and tests by such options.
        figures: What the paper prints, of rank-1, mAP and mINP.
    """

    title: str
    rows: Sequence[Row]
    base: Callable[[], RunOptions]
    small: Callable[[], RunOptions]
    run: Callable[[Any, CropTable], Report | None]
    figures: tuple[str, ...] = ("rank-1", "mAP")


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What to run of a grid."""

    options: RunOptions
    """Options of every row, before its own changes; their seed and folder are set per run."""
    out: Path
    """Folder of the runs and of table.json and table.md; a killed ablation continues there."""
    seeds: tuple[int, ...] = (0, 1)
    """Each row is trained once with each."""
    rows: tuple[int, ...] = ()
    """Which rows, counted from 1; none: all."""
    also: tuple[str, ...] = ()
    """Other data sets on which every network is tested as well (cross-domain)."""


def ablate(
    name: str, grid: Grid, ablation: Ablation, resolve: Callable[[str], CropTable]
) -> dict[str, Any]:
    """Run what is missing of a grid and write its table after every run.

    Rows that differ in their test alone share a training. Seeds run in the outer loop, so that an
    ablation cut short has each row once.

    Args:
        name: The grid's name.
        grid: The grid.
        ablation: What to run of it.
        resolve: Name of a data set -> its table.

    Returns:
        The content of ``table.json``.

    Raises:
        InputError: No such row, no seed, or options at fault.
    """
    chosen = _rows(grid, ablation)
    tables = {data: resolve(data) for data in (ablation.options.data, *ablation.also)}
    found: dict[str, list[dict[str, Any]]] = {row.name: [] for row in chosen}
    table: dict[str, Any] = {}
    for seed in ablation.seeds:
        for row in chosen:
            found[row.name] += _results(grid, row, seed, ablation, tables)
            table = _table(name, grid, ablation, chosen, found)
            run_folder.write_json(ablation.out / "table.json", table)
            (ablation.out / "table.md").write_text(markdown(table), encoding="utf-8")
    return table


def _rows(grid: Grid, ablation: Ablation) -> list[Row]:
    wrong = [number for number in ablation.rows if not 1 <= number <= len(grid.rows)]
    if wrong:
        raise InputError(f"no row {wrong[0]}; the grid has rows 1 to {len(grid.rows)}")
    if not ablation.seeds or len(set(ablation.seeds)) < len(ablation.seeds):
        raise InputError("an ablation needs one seed or more, all different")
    wanted = ablation.rows or range(1, len(grid.rows) + 1)
    return [grid.rows[number - 1] for number in wanted]


def _results(
    grid: Grid, row: Row, seed: int, ablation: Ablation, tables: Mapping[str, CropTable]
) -> Iterator[dict[str, Any]]:
    """Train a row with one seed unless that is done, and test it on every data set."""
    config = replace(ablation.options, seed=seed, **row.changes)
    folder = ablation.out / "runs" / _key(config)
    config = replace(config, out=folder)
    if not (folder / run_folder.REPORT).exists():
        grid.run(config, tables[config.data])
    for data, table in tables.items():
        yield {"seed": seed, "data": data, **_judge(row.judgement, config, data, table)}


def _judge(judgement: Judgement, config: RunOptions, data: str, table: CropTable) -> dict[str, Any]:
    """Figures of a finished run: its own report, or a test of another kind, kept beside it."""
    if judgement == Judgement() and data == config.data:
        return _figures(run_folder.read_json(config.out / run_folder.REPORT))
    kept = config.out / f"test-{_digest({'data': data, **asdict(judgement)})}.json"
    if not kept.exists():
        network, card = load(config.out / run_folder.MODEL)
        if judgement.feature is not None:
            network.feature = judgement.feature
        device = find_device(config.device)
        report = evaluate_network(
            network.to(device),
            card,
            table,
            device=device,
            precision=config.precision,
            progress=config.progress,
            metric=judgement.metric,
            reranking=Reranking() if judgement.rerank else None,
        )
        run_folder.write_json(kept, {"data": data, **asdict(judgement), **report.summary()})
    return _figures(run_folder.read_json(kept))


def _figures(summary: Mapping[str, Any]) -> dict[str, float]:
    cmc = summary["cmc"]
    return {"rank-1": cmc["1"], "mAP": summary["mAP"], "mINP": summary["mINP"]}


def _key(config: RunOptions) -> str:
    """A name for a training: equal options but for the folder have equal names."""
    options = run_folder.as_json(asdict(replace(config, out=Path())))
    return f"{config.backbone.replace(':', '-').replace('/', '-')}-{_digest(options)}"


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def _table(
    name: str,
    grid: Grid,
    ablation: Ablation,
    rows: Sequence[Row],
    found: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    options = run_folder.as_json(asdict(ablation.options))
    return {
        "grid": name,
        "title": grid.title,
        "figures": list(grid.figures),
        "options": options,
        "commit": run_folder.commit(),
        "machine": run_folder.machine(find_device(ablation.options.device)),
        "data": [ablation.options.data, *ablation.also],
        "seeds": list(ablation.seeds),
        "rows": [
            {
                "name": row.name,
                "changes": run_folder.as_json(dict(row.changes)),
                "judgement": asdict(row.judgement),
                "paper": {key: list(values) for key, values in row.paper.items()},
                "ours": list(found[row.name]),
            }
            for row in rows
        ],
    }


def markdown(table: Mapping[str, Any]) -> str:
    """The table as Markdown: the paper's figures, ours as mean ± deviation over seeds."""
    papers = list(dict.fromkeys(key for row in table["rows"] for key in row["paper"]))
    printed = " / ".join(table["figures"])
    head = ["", *(f"paper, {key}: {printed}" for key in papers)]
    head += [f"ours, {data}: {' / '.join(FIGURES)}" for data in table["data"]]
    lines = [
        f"# {table['grid']}: {table['title']}",
        "",
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
    ]
    for row in table["rows"]:
        cells = [row["name"], *(_printed(row["paper"].get(key)) for key in papers)]
        cells += [_measured(row["ours"], data) for data in table["data"]]
        lines.append("| " + " | ".join(cells) + " |")
    seeds = ", ".join(str(seed) for seed in table["seeds"])
    options = table["options"]
    lines += [
        "",
        f"Percent; ours: mean ± standard deviation over the runs done, of seeds {seeds}. "
        f"{options['backbone']}, {options['epochs']} epochs, commit {table['commit']}, "
        f"{table['machine']}.",
    ]
    return "\n".join(lines) + "\n"


def _printed(values: Sequence[float | None] | None) -> str:
    if values is None:
        return ""
    return " / ".join("?" if value is None else f"{value:.1f}" for value in values)


def _measured(results: Sequence[Mapping[str, Any]], data: str) -> str:
    own = [result for result in results if result["data"] == data]
    if not own:
        return "not run"
    cells = []
    for figure in FIGURES:
        values = 100 * np.array([result[figure] for result in own])
        spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
        cells.append(f"{values.mean():.1f}{spread}")
    return " / ".join(cells)
