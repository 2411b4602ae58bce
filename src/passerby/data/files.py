"""Crop tables in CSV and Parquet files."""

import csv
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from passerby.data.table import COLUMNS, REQUIRED, CropTable
from passerby.errors import InputError, MissingExtraError
from passerby.times import parse_time

if TYPE_CHECKING:
    import pyarrow

# columns of two and four numbers are written as plain ones
SPREAD = {"box": ("x0", "y0", "x1", "y1"), "place": ("lon", "lat")}
ALIASES = {"pid": "identity", "person": "identity", "id": "identity", "camid": "camera"}
NAME_KEY = b"passerby.name"


def read_csv(path: Path, *, root: str | Path | None = None) -> CropTable:
    """Read a CSV (or .tsv) table with a header line.

    The columns are ``path, identity, camera, split``, and where known ``time``, ``tracklet``,
    ``x0, y0, x1, y1`` and ``lon, lat``. Others are ignored. Identities and cameras that are not
    whole numbers are numbered from 1 in alphabetical order. A time is milliseconds since the epoch,
    or ISO 8601 with its zone. Without ``split`` all rows are gallery.

    Args:
        path: The file.
        root: Folder to which the paths are relative; by default the file's own.

    Raises:
        InputError: The file cannot be read, a column is missing, or a value cannot be read; the
            message names its row.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
            header = [name.strip() for name in next(reader, [])]
            lines = [line for line in reader if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the table '{path}': {error}") from None
    ragged = next((i for i, line in enumerate(lines) if len(line) != len(header)), None)
    if ragged is not None:
        raise InputError(
            f"'{path}' line {ragged + 2} has {len(lines[ragged])} fields, the header {len(header)}"
        )
    values = zip(*lines, strict=True) if lines else [()] * len(header)
    columns = {name: list(column) for name, column in zip(header, values, strict=True)}
    return _from_columns(columns, path, root)


def read_parquet(path: Path, *, root: str | Path | None = None) -> CropTable:
    """Read a Parquet table with the columns of :func:`read_csv`.

    Raises:
        InputError: As :func:`read_csv`; MissingExtraError where pyarrow is not installed.
    """
    arrow = _pyarrow()
    path = Path(path)
    try:
        table = arrow.parquet.read_table(path)
    except (OSError, arrow.ArrowException) as error:
        raise InputError(f"cannot read the table '{path}': {error}") from None
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    name = (table.schema.metadata or {}).get(NAME_KEY)
    return _from_columns(columns, path, root, name.decode() if name else None)


def write_parquet(table: CropTable, path: Path) -> None:
    """Write ``table`` as Parquet: ``box`` as x0, y0, x1, y1 and ``place`` as lon, lat.

    Paths stay relative to the table's root, which is not written.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    arrow = _pyarrow()
    columns: dict[str, Any] = {}
    for name, column in table.columns().items():
        if name in SPREAD:
            columns |= {part: column[:, i] for i, part in enumerate(SPREAD[name])}
        else:
            columns[name] = column.tolist() if column.dtype.kind == "U" else column
    written = arrow.table(columns).replace_schema_metadata({NAME_KEY: table.name.encode()})
    arrow.parquet.write_table(written, path)


def _from_columns(
    given: dict[str, list[Any]], path: Path, root: str | Path | None, name: str | None = None
) -> CropTable:
    columns = {ALIASES.get(key, key): values for key, values in given.items()}
    if "split" not in columns and "path" in columns:
        columns["split"] = ["gallery"] * len(columns["path"])
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise InputError(
            f"'{path}' has no column '{missing[0]}'; a table needs {', '.join(REQUIRED)}"
        )
    made: dict[str, Any] = {}
    for column in COLUMNS:
        if column in SPREAD and all(part in columns for part in SPREAD[column]):
            parts = [_numbers(columns[part], part, path) for part in SPREAD[column]]
            made[column] = np.stack(parts, axis=1)
        elif column in columns:
            made[column] = _convert(column, columns[column], path)
    return CropTable(root=Path(root) if root else path.parent, name=name or path.stem, **made)


def _convert(column: str, values: list[Any], path: Path) -> NDArray[Any]:
    if column in ("path", "split"):
        return np.array([str(value) for value in values], dtype=np.str_)
    if column == "time":
        moments = [_milliseconds(v, i, path) for i, v in enumerate(values)]
        return np.array(moments, dtype=np.int64)
    if column in ("identity", "camera"):
        return _whole_or_numbered(values, column, path)
    return _numbers(values, column, path).astype(COLUMNS[column][0])


def _whole_or_numbered(values: list[Any], column: str, path: Path) -> NDArray[np.int64]:
    texts = [str(value).strip() for value in values]
    empty = next((i for i, v in enumerate(values) if v is None or not texts[i]), None)
    if empty is not None:
        raise InputError(f"'{path}' row {empty + 1} has no {column}; use -1 for unknown people")
    try:
        return np.array([int(text) for text in texts], dtype=np.int64)
    except (ValueError, OverflowError):
        return np.unique(texts, return_inverse=True)[1].astype(np.int64) + 1


def _numbers(values: list[Any], column: str, path: Path) -> NDArray[np.float64]:
    try:
        return np.array([float(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError):
        for row, value in enumerate(values):
            try:
                float(value)
            except (TypeError, ValueError):
                raise InputError(f"'{path}' row {row + 1}: {column} is {value!r}") from None
        raise


def _milliseconds(value: Any, row: int, path: Path) -> int:
    """Milliseconds since the epoch from a whole number, a moment or ISO 8601 text with zone."""
    if not isinstance(value, datetime):
        value = str(value).strip()
        if value.lstrip("-").isdigit():
            return int(value)
    return parse_time(value, f"'{path}' row {row + 1}: time")


def _pyarrow() -> "pyarrow":
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "tables") from None
    return pyarrow
