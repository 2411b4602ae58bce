"""The ablation tables of the papers (``grids/*.toml``): train each row, compare with the figures.

Every row of a grid is a recipe's options with some changes. ``docs/ablations.md`` describes the
TOML files.
"""

import hashlib
import json
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from passerby.data import CropTable
from passerby.errors import InputError
from passerby.metrics import Report, Reranking
from passerby.models import load
from passerby.recipes import RECIPES, run_folder
from passerby.retrieval.distances import Metric
from passerby.train.device import find_device
from passerby.train.evaluation import evaluate_network
from passerby.train.loop import LOG

FOLDER = Path(__file__).with_name("grids")
FIGURES = (
    "rank-1",
    "mAP",
    "mINP",
)  # in every table, besides what the paper prints
SMALL = "-small"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How the network of a row is tested, where that is what the row varies.

    Attributes:
        feature: Behind or before the BNNeck; None for the run's own.
        metric: Cosine, or Euclidean on the features as they are; None for the run's own.
        rerank: By k-reciprocal neighbours (k1 20, k2 6, lambda 0.3).
    """

    feature: Literal["after_bn", "before_bn"] | None = None
    metric: Literal["cosine", "squared_euclidean"] | None = None
    rerank: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table.

    Attributes:
        name: As the paper names it.
        changes: Options that differ from the grid's.
        evaluation: How it is tested.
        paper: Data set -> the paper's figures in percent, in the order of the grid's ``figures``;
            None for a figure that the paper does not have.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Evaluation = Evaluation()
    paper: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One table of a paper.

    Attributes:
        title: What it varies.
        rows: From top to bottom.
        options: The options that every row changes.
        run: Trains and tests by such options.
        figures: What the paper prints, of rank-1, rank-5, rank-10, mAP, mINP (percent) and the
            minutes of training.
    """

    title: str
    rows: Sequence[Row]
    options: Any
    run: Callable[[Any, CropTable], Report | None]
    figures: tuple[str, ...]


@cache
def grids() -> dict[str, Grid]:
    """Read the grids of all papers, by name; a name that ends in "-small" is for a CPU.

    Raises:
        InputError: If a grid names an option that its recipe does not have.
    """
    found = {}
    for path in FOLDER.glob("*.toml"):
        for name, values in tomllib.loads(path.read_text(encoding="utf-8")).items():
            found[name] = _grid(name, values, values["recipe"])
            if "small" in values:
                found[name + SMALL] = _grid(name, values, values["small"])
    return dict(sorted(found.items()))


def _grid(name: str, values: Mapping[str, Any], recipe: str) -> Grid:
    options = replace(RECIPES[recipe].options(), **values.get("options", {}))
    known = {each.name for each in fields(options)}
    changes = dict(values.get("changes", {}))
    rows = []
    for row in values["rows"]:
        # a restored option has its value in the options again
        own = {k: v for k, v in changes.items() if k not in row.get("restore", ())}
        own |= row.get("changes", {})
        if values.get("stacked"):
            changes = own
        if unknown := own.keys() - known:
            raise InputError(f"grid {name}, '{row['name']}': {recipe} has no '{min(unknown)}'")
        tested = {**values.get("evaluation", {}), **row.get("evaluation", {})}
        rows.append(
            Row(
                name=row["name"],
                changes={k: tuple(v) if isinstance(v, list) else v for k, v in own.items()},
                evaluation=Evaluation(**tested),
                paper={
                    data: tuple(None if figure == "?" else figure for figure in figures)
                    for data, figures in row.get("paper", {}).items()
                },
            )
        )
    return Grid(
        title=values["title"],
        rows=rows,
        options=options,
        run=RECIPES[recipe].run,
        figures=tuple(values.get("figures", ("rank-1", "mAP"))),
    )


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What to run of a grid.

    Attributes:
        options: Options of every row, before its own changes; their seed and folder are set per
            run.
        out: Folder of the runs and of table.json and table.md; a killed ablation continues there.
        seeds: Each row is trained once with each.
        rows: Which rows, counted from 1; none: all.
        also: Other data sets on which every network is tested as well (cross-domain).
    """

    options: Any
    out: Path
    seeds: tuple[int, ...] = (0, 1)
    rows: tuple[int, ...] = ()
    also: tuple[str, ...] = ()


def ablate(
    name: str, grid: Grid, ablation: Ablation, resolve: Callable[[str], CropTable]
) -> dict[str, Any]:
    """Run what is missing of a grid and write its table after every run.

    Rows that differ in their test alone share a training. Seeds run in the outer loop, so that an
    interrupted ablation has each row once. A row that the network or the data do not allow stays in
    the table as not run, with a message on standard error.

    Args:
        name: The grid's name.
        grid: The grid.
        ablation: What to run of it.
        resolve: Name of a data set -> its table.

    Returns:
        The content of ``table.json``.

    Raises:
        InputError: No such row, no seed, or options at fault in every row.
    """
    chosen = _rows(grid, ablation)
    tables = {data: resolve(data) for data in (ablation.options.data, *ablation.also)}
    found: dict[str, list[dict[str, Any]]] = {row.name: [] for row in chosen}
    table: dict[str, Any] = {}
    faults: list[tuple[str, InputError]] = []
    for seed in ablation.seeds:
        for row in chosen:
            try:
                found[row.name] += _results(grid, row, seed, ablation, tables)
            except InputError as error:
                faults.append((f"row '{row.name}', seed {seed}, is not run", error))
                continue
            table = _write_table(name, grid, ablation, chosen, found)
    if not table:
        raise faults[0][1]
    for what, fault in faults:
        print(f"{what}: {fault}", file=sys.stderr)
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
    minutes = _minutes(folder / LOG)
    for data, table in tables.items():
        figures = _evaluate(row.evaluation, config, data, table)
        yield {"seed": seed, "data": data, **figures, "minutes": minutes}


def _evaluate(evaluation: Evaluation, config: Any, data: str, table: CropTable) -> dict[str, Any]:
    """Figures of a finished run: of its own report, or of another test, which is made once."""
    if evaluation == Evaluation() and data == config.data:
        return _figures(run_folder.read_json(config.out / run_folder.REPORT))
    kept = config.out / f"test-{_digest({'data': data, **asdict(evaluation)})}.json"
    if not kept.exists():
        network, card = load(config.out / run_folder.MODEL)
        if evaluation.feature is not None:
            network.feature = evaluation.feature
        device = find_device(config.device)
        own: Metric = getattr(config, "metric", "cosine")
        report = evaluate_network(
            network.to(device),
            card,
            table,
            device=device,
            precision=config.precision,
            progress=config.progress,
            metric=evaluation.metric or own,
            reranking=Reranking() if evaluation.rerank else None,
        )
        run_folder.write_json(kept, {"data": data, **asdict(evaluation), **report.summary()})
    return _figures(run_folder.read_json(kept))


def _figures(summary: Mapping[str, Any]) -> dict[str, float]:
    cmc = summary["cmc"]
    ranks = {f"rank-{k}": cmc[str(k)] for k in (1, 5, 10)}
    return {**ranks, "mAP": summary["mAP"], "mINP": summary["mINP"]}


def _minutes(log: Path) -> float:
    """Minutes of a training, interruptions left out: the last time in its log."""
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    return round(max(float(line.get("seconds", 0)) for line in lines) / 60, 2)


def _key(config: Any) -> str:
    """Name of a training's folder: trainings that differ in the folder alone have one name."""
    options = run_folder.as_json(asdict(replace(config, out=Path())))
    return f"{_network(options).replace(':', '-').replace('/', '-')}-{_digest(options)}"


def _network(options: Mapping[str, Any]) -> str:
    """Name of the network in a table; the options of separate training name none."""
    return str(options.get("backbone", "attention"))


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def _write_table(
    name: str,
    grid: Grid,
    ablation: Ablation,
    rows: Sequence[Row],
    found: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """Write ``table.json`` and ``table.md`` of the rows; return the content of the former."""
    options = run_folder.as_json(asdict(ablation.options))
    table = {
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
                "evaluation": asdict(row.evaluation),
                "paper": {key: list(values) for key, values in row.paper.items()},
                "ours": list(found[row.name]),
            }
            for row in rows
        ],
    }
    run_folder.write_json(ablation.out / "table.json", table)
    (ablation.out / "table.md").write_text(markdown(table), encoding="utf-8")
    return table


def markdown(table: Mapping[str, Any]) -> str:
    """The table as Markdown: the paper's figures, ours as mean ± deviation over seeds."""
    papers = list(dict.fromkeys(key for row in table["rows"] for key in row["paper"]))
    printed = " / ".join(table["figures"])
    head = ["", *(f"paper, {key}: {printed}" for key in papers)]
    shown = list(dict.fromkeys([*FIGURES, *table["figures"]]))
    head += [f"ours, {data}: {' / '.join(shown)}" for data in table["data"]]
    lines = [
        f"# {table['grid']}: {table['title']}",
        "",
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
    ]
    for row in table["rows"]:
        cells = [row["name"], *(_printed(row["paper"].get(key)) for key in papers)]
        cells += [_measured(row["ours"], data, shown) for data in table["data"]]
        lines.append("| " + " | ".join(cells) + " |")
    seeds = ", ".join(str(seed) for seed in table["seeds"])
    options = table["options"]
    lines += [
        "",
        f"Percent; ours: mean ± standard deviation over the runs done, of seeds {seeds}. "
        f"{_network(options)}, {options['epochs']} epochs, commit {table['commit']}, "
        f"{table['machine']}.",
    ]
    return "\n".join(lines) + "\n"


def _printed(values: Sequence[float | None] | None) -> str:
    if values is None:
        return ""
    return " / ".join("?" if value is None else f"{value:.1f}" for value in values)


def _measured(results: Sequence[Mapping[str, Any]], data: str, shown: Sequence[str]) -> str:
    own = [result for result in results if result["data"] == data]
    if not own:
        return "not run"
    cells = []
    for figure in shown:
        scale = 1 if figure == "minutes" else 100
        values = scale * np.array([result[figure] for result in own])
        spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
        cells.append(f"{values.mean():.1f}{spread}")
    return " / ".join(cells)
