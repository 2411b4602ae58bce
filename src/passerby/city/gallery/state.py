"""What an open gallery keeps in memory, and how it follows the index."""

from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery import cache
from passerby.city.gallery.columns import Columns, Selection
from passerby.city.gallery.index import Index
from passerby.city.gallery.packing import label_pairs
from passerby.city.gallery.segments import Segment, segment_path
from passerby.city.sightings import Scope, has

NAMES = ("cells", "cameras", "labels")


class State:
    """Columns by day, and the numbers of cells and cameras. The caller holds the lock."""

    def __init__(self, index: Index, folder: Path) -> None:
        """Start empty; :meth:`refresh` fills it."""
        self._index = index
        self._folder = folder
        self._version = -1
        self._removal = 0
        self.model: str | None = None
        self.dimension: int | None = None
        self.cells: list[str] = []
        self.cameras: list[str] = []
        self.labels: list[str] = []
        self.numbers: dict[str, dict[str, int]] = {name: {} for name in NAMES}
        """Of each table of names: name -> number, as in the lists."""
        self.days: dict[int, Columns] = {}
        self._cells_inside: dict[tuple[tuple[str, ...], int], NDArray[np.bool_]] = {}

    def refresh(self, *, force: bool = False) -> None:
        """Take in what this or another process has committed since the last call."""
        if not force and self._index.version() == self._version:
            return
        with self._index.reading():
            self._version = self._index.version()
            model, dimension = self._index.fact("model"), self._index.fact("dimension")
            self.model = None if model is None else str(model)
            self.dimension = None if dimension is None else int(dimension)
            for table in NAMES:
                known: list[str] = getattr(self, table)
                fresh = self._index.names(table, len(known))
                self.numbers[table].update(zip(fresh, count(len(known)), strict=False))
                known += fresh
            committed = self._index.buckets()
            for day in [day for day in self.days if day not in committed]:
                del self.days[day]
            for day, (generation, rows) in committed.items():
                self._follow(day, generation, rows)
            for number, place in self._index.removals(self._removal):
                self._removal = number
                if place >> 32 in self.days:
                    self.days[place >> 32].bury(place & 0xFFFFFFFF)

    def _follow(self, day: int, generation: int, rows: int) -> None:
        columns = self.days.get(day)
        if columns is None or columns.generation != generation:
            path = segment_path(self._folder, day, generation)
            columns = Columns(day, generation, Segment(path, self.dimension or 0))
            cache.load(columns)
            if columns.rows > rows:  # of an index that has been lost since
                columns = Columns(day, generation, columns.segment)
            self._removal = 0  # a cache may not know the last removals
            self.days[day] = columns
        if rows > columns.segment.rows:
            columns.segment.extend(self._index.blocks(day, columns.segment.rows))
        if rows > columns.rows:
            columns.extend(rows, self._index.columns(day, columns.rows))

    def _inside(self, units: tuple[str, ...]) -> NDArray[np.bool_]:
        """Which cells lie in the units; the last answers are kept."""
        key = (units, len(self.cells))
        if key not in self._cells_inside:
            if len(self._cells_inside) >= 64:
                self._cells_inside.clear()
            self._cells_inside[key] = np.array(
                [code.startswith(units) for code in self.cells], dtype=bool
            )
        return self._cells_inside[key]

    def select(self, scope: Scope) -> Selection:
        """The scope in numbers; units become the cells whose code starts with theirs."""
        cells: NDArray[np.bool_] | None = None
        cameras: NDArray[np.bool_] | None = None
        if scope.units:
            cells = self._inside(scope.units)
        if scope.cameras:
            cameras = np.isin(np.array(self.cameras, dtype=object), list(scope.cameras))
        labels: NDArray[np.bool_] | None = None
        if scope.attributes:
            values = scope.values
            labels = np.array([has(label_pairs(text), values) for text in self.labels], dtype=bool)
        return Selection(cells, cameras, scope.start, scope.end, labels, scope.quality)
