"""Read sightings with their vectors from a Parquet table, a batch at a time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery.records import FIELDS, Batch, attributes_text, box_text
from passerby.city.sightings import ordered_attributes
from passerby.errors import InputError, one_line
from passerby.files import open_table, parquet_errors

if TYPE_CHECKING:
    import pyarrow as pa

AT_ONCE = 20_000
WANTED = ("id", "camera", "time", "vector")
BOX = ("x0", "y0", "x1", "y1")


def rows_in(path: Path | str) -> int:
    """Return the number of rows of a table.

    Raises:
        InputError: no such table, or no Parquet.
    """
    return int(open_table(Path(path)).metadata.num_rows)


def read_sightings(
    path: Path | str, *, model: str | None = None, at_once: int = AT_ONCE
) -> Iterator[Batch]:
    """Read a table of sightings in batches for ``add``.

    Memory holds two batches: the next one is read while the caller works on the last one.

    Columns: ``id``, ``camera``, ``time`` (int64 milliseconds or a timestamp with a zone) and
    ``vector`` (a list of floats); where known ``model``, ``unit``, ``tracklet``, ``x0`` ``y0``
    ``x1`` ``y1``, ``crop``, ``quality`` and ``attributes`` (a map of text to text).

    Args:
        path: the table.
        model: id of the network that made the vectors, for a table without that column.
        at_once: sightings in a batch.

    Raises:
        InputError: no such table; a column is missing or of another kind.
    """
    table = open_table(Path(path))
    names = set(table.schema_arrow.names)
    missing = [name for name in WANTED if name not in names]
    if "model" not in names and model is None:
        missing.append("model")
    if missing:
        raise InputError(f"the table '{path}' lacks the columns {', '.join(missing)}")
    batches = table.iter_batches(batch_size=at_once)
    with ThreadPoolExecutor(1) as pool:  # decodes without the lock of Python
        pending = pool.submit(next, batches, None)
        while True:
            with parquet_errors(Path(path)):
                batch = pending.result()
            if batch is None:
                return
            pending = pool.submit(next, batches, None)
            yield _checked_batch(batch, model, path)


def _checked_batch(rows: "pa.RecordBatch", model: str | None, path: Path | str) -> Batch:
    """As :func:`_batch`; a column of another kind than it must be is an InputError too."""
    from pyarrow import ArrowException

    try:
        return _batch(rows, model, path)
    except InputError:
        raise
    except (ArrowException, ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"a column of the table '{path}' holds values of another kind than it must: "
            f"{one_line(error)}"
        ) from None


def _batch(rows: "pa.RecordBatch", model: str | None, path: Path | str) -> Batch:
    """Return the rows of a table as columns; ``Batch.of`` checks their values."""
    given = {name: rows.column(name).to_pylist() for name in rows.schema.names if name != "vector"}
    N = len(rows)
    for name in ("id", "camera"):
        if None in given[name]:
            raise InputError(
                f"row {given[name].index(None) + 1} of a batch of the table '{path}' has no "
                f"{name}; every sighting needs one"
            )
    columns: dict[str, list[Any]] = {
        name: ["" if value is None else str(value) for value in given.get(name, [None] * N)]
        for name in ("id", "camera", "unit", "tracklet", "crop")
    }
    columns["time"] = times_of(rows.column("time"), path)
    columns["quality"] = [
        1.0 if value is None else float(value) for value in given.get("quality", [None] * N)
    ]
    columns["box"] = [""] * N
    if given.keys() >= {*BOX}:
        sides = zip(*(given[name] for name in BOX), strict=True)
        columns["box"] = [box_text(None if None in box else box) for box in sides]
    labels = zip(given.get("attributes", [None] * N), columns["id"], strict=True)
    columns["attributes"] = [_attributes(pairs, name) if pairs else "" for pairs, name in labels]
    models = {str(one) for one in given.get("model", [model])}
    if len(models) > 1:
        raise InputError(
            f"the table '{path}' holds vectors of the models {', '.join(sorted(models))}; add them "
            "to galleries of their own"
        )
    ordered = {name: columns[name] for name in FIELDS}
    return Batch(min(models, default=""), ordered, _vectors(rows.column("vector"), path))


def _attributes(value: Any, sighting: str) -> str:
    pairs = value.items() if isinstance(value, dict) else value  # a struct, or a map
    given = [(name, text) for name, text in pairs if text is not None]
    return attributes_text(ordered_attributes(given, sighting))


def _vectors(column: Any, path: Path | str) -> NDArray[Any]:
    """Return (N, D) float16 where they are stored as such, float32 otherwise."""
    lengths = np.diff(np.asarray(column.offsets)) if hasattr(column, "offsets") else None
    if column.null_count or (lengths is not None and len(set(lengths.tolist())) > 1):
        raise InputError(f"the vectors of the table '{path}' must be there, all of one length")
    if not hasattr(column, "flatten"):
        raise InputError(f"the column vector of the table '{path}' must hold lists of numbers")
    values = np.asarray(column.flatten())
    kind = values.dtype if values.dtype == np.float16 else np.float32
    return values.astype(kind, copy=False).reshape(len(column), -1)


def times_of(column: Any, path: Path | str) -> list[int]:
    """Return the times of a column, whole milliseconds or timestamps with a zone, in milliseconds.

    Raises:
        InputError: timestamps without a zone, other values, or a missing one.
    """
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            raise InputError(f"the times of the table '{path}' have no zone; store them with one")
        # finer than a millisecond is rounded down, as everywhere
        column = column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
    if column.null_count or not pa.types.is_integer(column.type):
        raise InputError(f"the times of the table '{path}' must be milliseconds, every one there")
    times: list[int] = column.to_pylist()
    return times
