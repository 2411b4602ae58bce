"""The columns of a table in a file, under whatever names they have, as a crop table."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.data.labels import BLANK, Place, number_cameras, number_people
from passerby.data.table import COLUMNS, REQUIRED, SPLITS, CropTable, Finding
from passerby.errors import InputError
from passerby.times import parse_time

# columns of two and four numbers are written as plain ones
SPREAD = {"box": ("x0", "y0", "x1", "y1"), "place": ("lon", "lat")}
# column -> other names it is known by, the surest first; case, spaces, _ and - do not matter
ALIASES: dict[str, tuple[str, ...]] = {
    "path": (
        *("image path", "img path", "file path", "image", "img", "file", "file name", "filename"),
        *("image name", "picture", "crop", "路径", "图片", "文件", "文件名", "图像"),
    ),
    "identity": (
        *("pid", "person id", "identity id", "person", "label", "target", "class", "subject", "id"),
        *("身份", "行人", "行人编号", "人员", "人员编号", "姓名"),
    ),
    "camera": (
        *(
            "camid",
            "cam id",
            "camera id",
            "cam",
            "cid",
            "view",
            "相机",
            "摄像头",
            "摄像机",
            "相机编号",
        ),
    ),
    "split": ("set", "subset", "partition", "fold", "划分", "集合"),
    "time": ("timestamp", "datetime", "date time", "时间"),
    "tracklet": ("tracklet id", "track", "track id", "轨迹"),
    "lon": ("longitude", "lng", "经度"),
    "lat": ("latitude", "纬度"),
}
SPLIT_NAMES = {"training": "train", "probe": "query", "queries": "query"}
SECONDS = range(10**8, 10**11)  # as milliseconds: a day to three years after 1970
TOO_LONG = 10**14  # as milliseconds: the year 5138


@dataclass(frozen=True)
class Source:
    """A table as it is read from a file.

    Attributes:
        path: The file.
        columns: Name, as written -> values (N).
        place: Names the place of a row.
        notes: What was recognised while it was read.
        decimal_comma: Whether a comma may be a decimal point.
    """

    path: Path
    columns: Mapping[str, Sequence[Any]]
    place: Place
    notes: tuple[str, ...] = ()
    decimal_comma: bool = False


def known_columns(header: Iterable[str]) -> int:
    """Count the names of a header that mean a column."""
    names = {_plain(name) for name in header}
    return sum(bool(names & set(_spellings(column))) for column in _all_columns())


def to_table(source: Source, *, root: str | Path | None, name: str | None) -> CropTable:
    """Make a crop table of the columns of a file.

    Raises:
        InputError: A column is missing or given twice, or a value cannot be read; the message names
            the file, the line and what to do.
    """
    columns, notes = _recognised(source)
    rows = len(next(iter(columns.values())))
    if "split" not in columns:
        columns["split"] = ["gallery"] * rows
        notes.append(f"it has no column split: all {rows} rows are gallery")
    folder = Path(root) if root else source.path.parent
    people = number_people(columns["identity"], source.place)
    cameras = number_cameras(columns["camera"], source.place)
    made: dict[str, Any] = {
        "path": _paths(columns["path"], source, folder, notes),
        "split": _splits(columns["split"], source),
    }
    if "time" in columns:
        made["time"] = _times(columns["time"], source)
    if "tracklet" in columns:
        made["tracklet"] = _numbers(columns["tracklet"], "tracklet", source)
    for column, parts in SPREAD.items():
        if all(part in columns for part in parts):
            numbers = [_numbers(columns[part], part, source) for part in parts]
            made[column] = np.stack(numbers, axis=1)
    return CropTable(
        root=folder,
        name=name or source.path.stem,
        identity=people.numbers,
        camera=cameras.numbers,
        people_names=people.names,
        camera_names=cameras.names,
        findings=(*_said(source, [*source.notes, *notes]), *people.findings, *cameras.findings),
        **made,
    )


def _said(source: Source, notes: list[str]) -> list[Finding]:
    if not notes:
        return []
    text = f"'{source.path.name}': {'; '.join(notes)}"
    return [Finding(level="note", code="as-read", text=text)]


def _all_columns() -> list[str]:
    return [c for column in COLUMNS for c in SPREAD.get(column, (column,))]


def _spellings(column: str) -> list[str]:
    return [column, *(_plain(alias) for alias in ALIASES.get(column, ()))]


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-.]+", "", str(name).lstrip("#")).casefold()


def _recognised(source: Source) -> tuple[dict[str, Sequence[Any]], list[str]]:
    """Find the columns by their names or aliases; say which were taken for which."""
    twice = [name for name, n in Counter(map(_plain, source.columns)).items() if n > 1 and name]
    given = {_plain(name): name for name in source.columns}
    found: dict[str, Sequence[Any]] = {}
    taken = {}
    for column in _all_columns():
        spelling = next((s for s in _spellings(column) if s in given), None)
        if spelling is None:
            continue
        if spelling in twice:
            raise InputError(f"'{source.path}' has the column '{given[spelling]}' twice; keep one")
        found[column] = source.columns[given[spelling]]
        if given[spelling] != column:
            taken[given[spelling]] = column
    missing = [column for column in REQUIRED if column not in found and column != "split"]
    if missing:
        names = ", ".join(source.columns) or "none"
        raise InputError(
            f"'{source.path}' has no column '{missing[0]}'; a table needs {', '.join(REQUIRED)} "
            f"(split may lack), and its first line gives the names; the columns found are: {names}"
        )
    notes = [f"column {name} is read as {column}" for name, column in taken.items()]
    used = {*taken, *found}
    ignored = [name for name in source.columns if name not in used and name]
    if ignored:
        notes.append(f"not used: the columns {', '.join(ignored)}")
    return found, notes


def _paths(values: Sequence[Any], source: Source, root: Path, notes: list[str]) -> NDArray[np.str_]:
    paths = ["" if value is None else str(value).strip() for value in values]
    windows = 0
    for row, path in enumerate(paths):
        if path in BLANK:
            raise InputError(f"{source.place(row)} has no path; give one, or remove the line")
        if re.match(r"[a-z]+://", path, re.IGNORECASE):
            raise InputError(
                f"{source.place(row)} has the address '{path}'; download it and give its path"
            )
        if "\\" in path and os.sep == "/" and not (root / path).exists():
            if re.match(r"[A-Za-z]:|\\\\", path):
                raise InputError(
                    f"{source.place(row)} has the path '{path}' of a Windows machine; write paths "
                    "relative to the table's folder"
                )
            paths[row] = path.replace("\\", "/")
            windows += 1
    if windows:
        notes.append(f"{windows} Windows paths are read with / instead of \\")
    return np.array(paths, dtype=np.str_)


def _splits(values: Sequence[Any], source: Source) -> NDArray[np.str_]:
    splits = []
    for row, value in enumerate(values):
        text = str(value).strip().lower()
        text = SPLIT_NAMES.get(text, text)
        if text not in SPLITS:
            raise InputError(
                f"{source.place(row)} has the split '{value}'; there are {', '.join(SPLITS)}; rows "
                "to test on are query or gallery ('passerby split' makes them)"
            )
        splits.append(text)
    return np.array(splits, dtype=np.str_)


def _times(values: Sequence[Any], source: Source) -> NDArray[np.int64]:
    return np.array([_milliseconds(v, row, source) for row, v in enumerate(values)], np.int64)


def _milliseconds(value: Any, row: int, source: Source) -> int:
    """Milliseconds since the epoch from a whole number, a moment or ISO 8601 text with zone."""
    what = f"{source.place(row)}: time"
    if isinstance(value, datetime):
        return parse_time(value, what)
    text = str(value).strip()
    if value is None or text in BLANK or text == "NaT":
        raise InputError(f"{what} is missing; fill it in, or leave the column out")
    if re.fullmatch(r"-?[0-9]+(\.0*)?", text):
        number = int(text.partition(".")[0])
        if abs(number) in SECONDS or abs(number) >= TOO_LONG:
            unit = "seconds" if abs(number) in SECONDS else "micro- or nanoseconds"
            raise InputError(
                f"{what} {text} seems to be in {unit}; give milliseconds since 1970, or ISO 8601"
            )
        return number
    return parse_time(text, what)


def _numbers(values: Sequence[Any], column: str, source: Source) -> NDArray[np.float64]:
    numbers = np.empty(len(values), dtype=np.float64)
    for row, value in enumerate(values):
        text = str(value).strip()
        if source.decimal_comma and re.fullmatch(r"-?[0-9]+,[0-9]+", text):
            text = text.replace(",", ".")
        try:
            numbers[row] = float(text)
        except ValueError:
            numbers[row] = np.nan
        if not np.isfinite(numbers[row]):
            raise InputError(
                f"{source.place(row)}: {column} is {value!r}; give a number, or leave the "
                "column out"
            )
    return numbers
