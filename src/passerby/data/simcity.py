"""The crops of a simulated city: Market-1501's layout, and the tracker's output in a table."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from passerby.data.market1501 import read_market_tree
from passerby.data.table import CropTable
from passerby.errors import InputError

SIGHTINGS = "sightings.parquet"


def read_simcity(root: Path) -> CropTable:
    """Read a simulated city's crops, with any number of cameras.

    Times and tracklets come from ``sightings.parquet``, which has no identities. Without that
    file, or without pyarrow, the table has neither.

    Raises:
        InputError: As :func:`~passerby.data.market1501.read_market1501`; a damaged table of
            sightings, or one that lacks a picture.
    """
    table = read_market_tree(root, name=Path(root).name or "simcity")
    file = table.root / SIGHTINGS
    return _with_sightings(table, file) if file.exists() else table


def _with_sightings(table: CropTable, file: Path) -> CropTable:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        return table
    try:
        columns = parquet.read_table(file, columns=["path", "time", "tracklet"]).to_pydict()
    except (OSError, ArrowException) as error:
        raise InputError(f"cannot read the sightings '{file}': {error}") from None
    row = {path: number for number, path in enumerate(columns["path"])}
    missing = next((path for path in table.path.tolist() if path not in row), None)
    if missing is not None:
        raise InputError(f"'{file}' lacks the picture '{missing}'; simulate the city again")
    rows = [row[path] for path in table.path.tolist()]
    tracklet = np.unique(columns["tracklet"], return_inverse=True)[1]
    return replace(table, time=np.array(columns["time"])[rows], tracklet=tracklet[rows])
