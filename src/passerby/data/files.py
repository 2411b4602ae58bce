"""Crop tables in CSV and Parquet files."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from passerby.data.columns import SPREAD, Source, known_columns, to_table
from passerby.data.delimited import read_delimited
from passerby.data.table import CropTable
from passerby.errors import InputError, MissingExtraError, one_line
from passerby.files import replacing

if TYPE_CHECKING:
    import pyarrow

NAME_KEY = b"passerby.name"
PEOPLE_KEY = b"passerby.people"
CAMERAS_KEY = b"passerby.cameras"


def read_csv(path: Path, *, root: str | Path | None = None) -> CropTable:
    """Read a table of text with a header line.

    The columns are ``path, identity, camera, split``, and where known ``time``, ``tracklet``,
    ``x0, y0, x1, y1`` and ``lon, lat``, under these names or usual others (``image``, ``pid``,
    ``camid``). Others are not used. Delimiter and encoding are recognised. Identities and cameras
    that are not whole numbers are numbered from 1 in alphabetical order; -1 stays junk and 0 a
    distractor. A time is milliseconds since the epoch, or ISO 8601 with its zone. Without ``split``
    all rows are gallery. ``findings`` of the table say what was recognised.

    Args:
        path: The file.
        root: Folder to which the paths are relative; by default the file's own.

    Raises:
        InputError: The file cannot be read, a column is missing, or a value cannot be read; the
            message names its line as a spreadsheet counts.
    """
    path = Path(path)
    text = read_delimited(path, known_columns)
    columns: dict[str, list[str]] = {}
    for index, name in enumerate(text.header):
        if name in columns and known_columns([name]):
            raise InputError(f"'{path}' has the column '{name}' twice; keep one")
        columns[name] = [row[index] for row in text.rows]
    source = Source(
        path,
        columns,
        lambda row: f"'{path}' line {text.lines[row]}",
        text.notes,
        text.decimal_comma,
    )
    return to_table(source, root=root, name=None)


def read_parquet(path: Path, *, root: str | Path | None = None) -> CropTable:
    """Read a Parquet table with the columns of :func:`read_csv`.

    Raises:
        InputError: As :func:`read_csv`; MissingExtraError where pyarrow is not installed.
    """
    arrow = _pyarrow()
    path = Path(path)
    try:
        table = arrow.parquet.read_table(path)
        columns = {name: _values(table.column(name)) for name in table.column_names}
    except (OSError, ValueError, KeyError, arrow.ArrowException) as error:
        raise InputError(f"cannot read the table '{path}': {one_line(error)}") from None
    metadata = table.schema.metadata or {}
    try:
        names = {
            field: {int(number): str(text) for number, text in json.loads(metadata[key]).items()}
            for field, key in (("people_names", PEOPLE_KEY), ("camera_names", CAMERAS_KEY))
            if key in metadata
        }
        name = metadata.get(NAME_KEY, b"").decode() or None
    except (ValueError, AttributeError) as error:
        raise InputError(f"the names in the table '{path}' cannot be read: {error}") from None
    source = Source(path, columns, lambda row: f"'{path}' row {row + 1}")
    made = to_table(source, root=root, name=name)
    return replace(made, **names)  # type: ignore[arg-type]


def write_parquet(table: CropTable, path: Path) -> None:
    """Write ``table`` as Parquet: ``box`` as x0, y0, x1, y1 and ``place`` as lon, lat.

    Paths stay relative to the table's root, which is not written.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    arrow = _pyarrow()
    metadata = {NAME_KEY: table.name.encode()}
    for key, names in ((PEOPLE_KEY, table.people_names), (CAMERAS_KEY, table.camera_names)):
        if names:
            metadata[key] = json.dumps(dict(names)).encode()
    written = arrow.table(_flat(table)).replace_schema_metadata(metadata)
    arrow.parquet.write_table(written, path)


def write_csv(table: CropTable, path: Path) -> None:
    """Write ``table`` as CSV in UTF-8, with the names of people and cameras where there are any.

    Paths stay relative to the table's root, which is not written.

    Raises:
        OSError: The file cannot be written.
    """
    columns = _flat(table)
    for column, names in (("identity", table.people_names), ("camera", table.camera_names)):
        columns[column] = [names.get(int(number), int(number)) for number in columns[column]]
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _flat(table: CropTable) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, column in table.columns().items():
        if name in SPREAD:
            columns |= {part: column[:, i] for i, part in enumerate(SPREAD[name])}
        else:
            columns[name] = column.tolist() if column.dtype.kind == "U" else column
    return columns


def _values(column: Any) -> list[Any]:
    """Return the values of an Arrow column; moments in milliseconds, as nanoseconds fit no type."""
    arrow = _pyarrow()
    if arrow.types.is_timestamp(column.type):
        # moments with a zone are stored in UTC, whatever the zone
        zone = None if column.type.tz is None else "UTC"
        column = column.cast(arrow.int64(), safe=False).cast(
            arrow.timestamp(column.type.unit, zone)
        )
        column = column.cast(arrow.timestamp("ms", zone), safe=False)
    elif arrow.types.is_binary(column.type) or arrow.types.is_large_binary(column.type):
        column = column.cast(arrow.string())
    return column.to_pylist()  # type: ignore[no-any-return]


def _pyarrow() -> "pyarrow":
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "tables") from None
    return pyarrow
