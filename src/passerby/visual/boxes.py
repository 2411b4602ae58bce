"""How high people stand in the cameras' pictures."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.data import CropTable

SIGHTINGS = "sightings.parquet"
COLUMNS = ("x0", "y0", "x1", "y1")


def with_boxes(table: CropTable) -> CropTable:
    """The table with the boxes of a simulated city, whose crops were all resized.

    A table that has boxes, or no ``sightings.parquet`` with all its crops beside it, is returned
    as it is; so it is where pyarrow is not installed.
    """
    file = table.root / SIGHTINGS
    if table.box is not None or not file.is_file():
        return table
    try:
        import pyarrow
        import pyarrow.parquet

        columns = pyarrow.parquet.read_table(file, columns=["path", *COLUMNS])
    except (ImportError, OSError, ValueError):  # ValueError: pyarrow's own for damaged files
        return table
    boxes = np.stack([columns[name].to_numpy() for name in COLUMNS], axis=1)
    row_of = {path: row for row, path in enumerate(columns["path"].to_pylist())}
    rows = [row_of.get(path, -1) for path in table.path.tolist()]
    if -1 in rows:
        return table
    return replace(table, box=boxes[rows].astype(np.float32))


def box_heights(table: CropTable) -> NDArray[np.float64]:
    """Heights (N,) in pixels: of the boxes where the table has them, else of the picture files."""
    if table.box is not None:
        return (table.box[:, 3] - table.box[:, 1]).astype(np.float64)
    heights = []
    for path in table.paths():
        with Image.open(path) as picture:  # reads the header alone
            heights.append(float(picture.height))
    return np.array(heights)
