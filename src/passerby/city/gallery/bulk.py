"""Sightings with their vectors from a Parquet table, a batch at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from passerby.city.sightings import FloatArray, Pairs, Sighting
from passerby.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import pyarrow as pa

AT_ONCE = 20_000
WANTED = ("id", "camera", "time", "vector")
BOX = ("x0", "y0", "x1", "y1")


def rows_in(path: Path | str) -> int:
    """Number of rows of a table.

    Raises:
        InputError: no such table, or no Parquet.
    """
    return int(_open(Path(path)).metadata.num_rows)


def read_sightings(
    path: Path | str, *, model: str | None = None, at_once: int = AT_ONCE
) -> Iterator[list[Sighting]]:
    """Read a table of sightings in batches, to hand to ``add``; memory holds one batch.

    Columns: ``id``, ``camera``, ``time`` (int64 milliseconds or a timestamp with a zone) and
    ``vector`` (a list of floats); where known ``model``, ``unit``, ``tracklet``, ``x0`` ``y0``
    ``x1`` ``y1``, ``crop``, ``quality`` and ``attributes`` (a map of text to text).

    Args:
        path: the table.
        model: id of the network that made the vectors, for a table without that column.
        at_once: sightings in a batch.

    Raises:
        InputError: no such table, a column is missing or of another kind.
    """
    table = _open(Path(path))
    names = set(table.schema_arrow.names)
    missing = [name for name in WANTED if name not in names]
    if "model" not in names and model is None:
        missing.append("model")
    if missing:
        raise InputError(f"the table '{path}' lacks the columns {', '.join(missing)}")
    for batch in table.iter_batches(batch_size=at_once):
        yield _sightings(batch, model, path)


def _open(path: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "tables") from None
    if not path.is_file():
        raise InputError(f"there is no table '{path}'")
    try:
        return parquet.ParquetFile(path)
    except (ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"'{path}' cannot be read as Parquet: {reason}") from None


def _sightings(batch: "pa.RecordBatch", model: str | None, path: Path | str) -> list[Sighting]:
    columns = {
        name: batch.column(name).to_pylist() for name in batch.schema.names if name != "vector"
    }
    columns["time"] = _times(batch.column("time"), path)
    vectors = _vectors(batch.column("vector"), path)
    models = columns.get("model", [model] * len(batch))
    return [
        Sighting(
            id=str(columns["id"][row]),
            camera=str(columns["camera"][row]),
            time=columns["time"][row],
            vector=vectors[row],
            model=str(models[row]),
            unit=_text(columns, "unit", row),
            tracklet=_text(columns, "tracklet", row),
            box=_box(columns, row),
            crop=_text(columns, "crop", row),
            quality=_quality(columns, row),
            attributes=_attributes(columns, row),
        )
        for row in range(len(batch))
    ]


def _vectors(column: Any, path: Path | str) -> FloatArray:
    """(N, D) float32."""
    lengths = np.diff(np.asarray(column.offsets)) if hasattr(column, "offsets") else None
    if column.null_count or (lengths is not None and len(set(lengths.tolist())) > 1):
        raise InputError(f"the vectors of the table '{path}' must be there, all of one length")
    if not hasattr(column, "flatten"):
        raise InputError(f"the column vector of the table '{path}' must hold lists of numbers")
    values = np.asarray(column.flatten()).astype(np.float32)
    return values.reshape(len(column), -1)


def _times(column: Any, path: Path | str) -> list[int]:
    """Milliseconds since the epoch."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            raise InputError(f"the times of the table '{path}' have no zone; store them with one")
        column = column.cast(pa.timestamp("ms", column.type.tz)).cast(pa.int64())
    if column.null_count or not pa.types.is_integer(column.type):
        raise InputError(f"the times of the table '{path}' must be milliseconds, every one there")
    times: list[int] = column.to_pylist()
    return times


def _text(columns: dict[str, list[Any]], name: str, row: int) -> str:
    value = columns[name][row] if name in columns else None
    return "" if value is None else str(value)


def _box(columns: dict[str, list[Any]], row: int) -> tuple[float, float, float, float] | None:
    if not all(name in columns and columns[name][row] is not None for name in BOX):
        return None
    x0, y0, x1, y1 = (float(columns[name][row]) for name in BOX)
    return x0, y0, x1, y1


def _quality(columns: dict[str, list[Any]], row: int) -> float:
    value = columns["quality"][row] if "quality" in columns else None
    return 1.0 if value is None else float(value)


def _attributes(columns: dict[str, list[Any]], row: int) -> Pairs:
    value = columns["attributes"][row] if "attributes" in columns else None
    if not value:
        return ()
    pairs = value.items() if isinstance(value, dict) else value  # a struct, or a map
    return tuple((str(name), str(text)) for name, text in pairs if text is not None)
