"""Several networks on several data sets: the cross-domain table of ``passerby evaluate``."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from passerby.cli.common import aligned, resolve
from passerby.cli.evaluate import Options, evaluate, says
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.data import CropTable
    from passerby.metrics import Report
    from passerby.models import ModelCard

SPLIT = re.compile(r"@\d+:")  # which of several splits, in NAME@SPLIT:PATH
OWN = "*"  # marks the set that a network was trained on


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One network on one data set.

    Attributes:
        model: As given.
        data: As given.
        model_id: Of the network, empty where it could not be opened.
        own: Whether the network was trained on this set, by its card.
        report: The figures, or None.
        problem: Why there are none.
    """

    model: str
    data: str
    model_id: str = ""
    own: bool = False
    report: "Report | None" = None
    problem: str = ""

    def answer(self) -> dict[str, Any]:
        """Return the cell as JSON."""
        facts = {"model": self.model, "data": self.data, "model_id": self.model_id}
        if self.report is None:
            return {**facts, "problem": self.problem}
        return {**facts, "trained_on_it": self.own, **self.report.summary()}

    def text(self) -> str:
        """Return mAP and rank-1 in percent."""
        if self.report is None:
            return "-"
        mark = f" {OWN}" if self.own else ""
        return f"{100 * self.report.mAP:.1f} / {100 * self.report.cmc[1]:.1f}{mark}"


def run(options: Options) -> int:
    """Fill the table and print it; status 1 when a cell could not be filled.

    Raises:
        InputError: Options that do not go together; no model or no data set that can be opened.
    """
    if options.calibrate:
        raise InputError("calibrate one model on one data set; give one of each with --calibrate")
    tables, problems = _open_tables(options.data)
    _some_model(options.models)
    cells = [cell for model in options.models for cell in _row(model, tables, problems, options)]
    rows = [cells[i : i + len(options.data)] for i in range(0, len(cells), len(options.data))]
    splits = len({SPLIT.sub(":", name) for name in options.data}) == 1
    table = _table(options, rows, mean=splits and len(options.data) > 1)
    options.show(_answer(options, cells), table)
    failed = [cell for cell in cells if cell.report is None]
    for cell in failed:
        print(
            f"passerby evaluate: {cell.model} on {cell.data}: {' '.join(cell.problem.split())}",
            file=sys.stderr,
        )
    return 1 if failed else 0


def _open_tables(names: Sequence[str]) -> tuple[dict[str, "CropTable"], dict[str, str]]:
    """Read the data sets that can be read, and say why the others cannot."""
    tables, problems = {}, {}
    for name in names:
        try:
            tables[name] = resolve(name)
        except InputError as error:
            problems[name] = str(error)
    if not tables:
        raise InputError(f"no data set can be read: {next(iter(problems.values()))}")
    return tables, problems


def _some_model(names: Sequence[str]) -> None:
    """Refuse when no network file exists, before any set is embedded."""
    from passerby.models.identity import find_file

    problems = []
    for name in names:
        try:
            find_file(name)
        except InputError as error:
            problems.append(error)
    if len(problems) == len(names):
        raise problems[0]


def _row(
    model: str, tables: dict[str, "CropTable"], problems: dict[str, str], options: Options
) -> list[Cell]:
    """Evaluate one network on every set; each set is embedded once, its vectors are not kept."""
    try:
        embedder = options.load(model)
    except InputError as error:
        return [Cell(model=model, data=data, problem=str(error)) for data in options.data]
    cells: dict[str, Cell] = {}
    for data in dict.fromkeys(options.data):  # one given twice is evaluated once
        cell = Cell(
            model=model, data=data, model_id=embedder.model_id, problem=problems.get(data, "")
        )
        if (table := tables.get(data)) is not None:
            try:
                report = evaluate(embedder, table, options).report
                own = trained_on(embedder.card, table, data)
                cell = replace(cell, report=report, own=own)
            except InputError as error:
                cell = replace(cell, problem=str(error))
        cells[data] = cell
    return [cells[data] for data in options.data]


def trained_on(card: "ModelCard", table: "CropTable", data: str) -> bool:
    """Say whether the network was trained on this set's training pictures, by its card.

    The set's or its folder's name must be that of the card, and where the card and the set say how
    many pictures and people there are to train on, these too: any tree in Market-1501's layout has
    that set's name.
    """
    named = card.training.get("data", ())
    own = {Path(str(one)).name.lower() for one in ([named] if isinstance(named, str) else named)}
    if not own & {table.name.lower(), Path(data.rpartition(":")[2]).name.lower()}:
        return False
    train = table.train
    known = card.training.get("crops"), card.training.get("identities")
    here = len(train), len(np.unique(train.identity[train.identity > 0]))
    return not len(train) or not all(isinstance(one, int) for one in known) or known == here


def _answer(options: Options, cells: Sequence[Cell]) -> dict[str, Any]:
    return {
        "protocol": options.protocol,
        "protocol_says": says(options),
        "metric": options.metric,
        "reranked": options.rerank,
        "models": list(options.models),
        "data": list(options.data),
        "cells": [cell.answer() for cell in cells],
    }


def _table(options: Options, rows: Sequence[Sequence[Cell]], *, mean: bool) -> str:
    lines = [["", *options.data, *(["mean"] if mean else [])]]
    for row in rows:
        means = [_mean(row)] if mean else []
        lines.append([row[0].model, *(cell.text() for cell in row), *means])
    notes = [f"mAP / rank-1 in %; protocol {options.protocol}: {says(options)}"]
    if any(cell.own for row in rows for cell in row):
        notes.append(f"{OWN} the network was trained on this set's training pictures")
    if options.markdown:
        lines[0][0] = "model"
        lines.insert(1, ["---", *["---:"] * (len(lines[0]) - 1)])
        escaped = [
            [text.replace("|", r"\|").replace("*", r"\*") for text in line] for line in lines
        ]
        return "\n".join([*(f"| {' | '.join(line)} |" for line in escaped), "", *notes])
    return "\n".join([aligned(lines, right=True), *notes])


def _mean(row: Sequence[Cell]) -> str:
    """Return the mean over the splits of one set, where all are there."""
    reports = [cell.report for cell in row if cell.report is not None]
    if len(reports) < len(row):
        return "-"
    m_ap = sum(report.mAP for report in reports) / len(reports)
    rank1 = sum(report.cmc[1] for report in reports) / len(reports)
    return f"{100 * m_ap:.1f} / {100 * rank1:.1f}"
