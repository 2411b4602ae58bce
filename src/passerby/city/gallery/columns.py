"""The columns of one day in memory: what a scope is answered from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery.segments import Segment

DTYPES: dict[str, Any] = {
    "time": np.int64,
    "cell": np.int32,
    "camera": np.int32,
    "labels": np.int32,
    "quality": np.float64,
    "alive": np.bool_,
}
STORED = ("time", "cell", "camera", "labels", "quality")  # as the index tells them


@dataclass(frozen=True, slots=True)
class Selection:
    """A scope in the numbers of one gallery; None sets no limit."""

    cells: NDArray[np.bool_] | None
    cameras: NDArray[np.bool_] | None
    start: int | None
    end: int | None
    labels: NDArray[np.bool_] | None = None
    quality: float | None = None


class Columns:
    """Growing arrays over the rows of one segment: time, cell, camera, attributes, alive."""

    def __init__(self, day: int, generation: int, segment: Segment) -> None:
        """Start empty."""
        self.day = day
        self.generation = generation
        self.segment = segment
        self.rows = 0
        self.living = 0
        self.uncached = 0  # rows that came from the index
        self.first = np.iinfo(np.int64).max
        self.last = np.iinfo(np.int64).min
        self._arrays = {name: np.zeros(0, dtype) for name, dtype in DTYPES.items()}

    def extend(self, rows: int, living: Sequence[tuple[Any, ...]]) -> None:
        """Grow to ``rows``; ``living`` holds (place, *STORED) of the new rows that live."""
        if rows > len(self._arrays["alive"]):
            size = max(rows, 2 * self.rows)
            for name, old in self._arrays.items():
                new = np.zeros(size, old.dtype)
                new[: self.rows] = old[: self.rows]
                self._arrays[name] = new
        self.uncached += rows - self.rows
        self.rows = rows
        if not living:
            return
        places, *values = (np.array(column) for column in zip(*living, strict=True))
        at = places & 0xFFFFFFFF
        for name, column in zip(STORED, values, strict=True):
            self._arrays[name][at] = column
        self._arrays["alive"][at] = True
        self.living += len(living)
        self.first = min(self.first, int(values[0].min()))
        self.last = max(self.last, int(values[0].max()))

    def restore(self, rows: int, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over whole arrays, one for each name of ``DTYPES``."""
        self.rows = rows
        self._arrays = arrays
        alive = arrays["alive"]
        self.living = int(alive.sum())
        if self.living:
            times = arrays["time"][alive]
            self.first, self.last = int(times.min()), int(times.max())

    def bury(self, row: int) -> None:
        """Take note that a row was removed."""
        if row < self.rows and self._arrays["alive"][row]:
            self._arrays["alive"][row] = False
            self.living -= 1

    def column(self, name: str) -> NDArray[Any]:
        """One column over all rows, dead ones included."""
        return self._arrays[name][: self.rows]

    def select(self, wanted: Selection) -> NDArray[np.int64] | None:
        """Row numbers in the selection, ascending; None means every row, all living."""
        if self.living == 0 or self._outside(wanted):
            return np.zeros(0, np.int64)
        masks = []
        if self.living < self.rows:
            masks.append(self.column("alive"))
        if wanted.start is not None and wanted.start > self.first:
            masks.append(self.column("time") >= wanted.start)
        if wanted.end is not None and wanted.end <= self.last:
            masks.append(self.column("time") < wanted.end)
        if wanted.cells is not None:
            masks.append(wanted.cells[self.column("cell")])
        if wanted.cameras is not None:
            masks.append(wanted.cameras[self.column("camera")])
        if wanted.labels is not None:
            masks.append(wanted.labels[self.column("labels")])
        if wanted.quality is not None:
            masks.append(self.column("quality") >= wanted.quality)
        if not masks:
            return None
        mask = masks[0]
        for other in masks[1:]:
            mask = mask & other
        return np.flatnonzero(mask)

    def _outside(self, wanted: Selection) -> bool:
        late = wanted.start is not None and wanted.start > self.last
        return late or (wanted.end is not None and wanted.end <= self.first)
