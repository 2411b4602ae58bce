"""A data set is a table of crops."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import InputError

SPLITS = ("train", "query", "gallery")
JUNK = -1
DISTRACTOR = 0

# column -> (element type, shape of one row)
COLUMNS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "path": (np.str_, ()),
    "identity": (np.int64, ()),
    "camera": (np.int64, ()),
    "split": (np.str_, ()),
    "time": (np.int64, ()),
    "tracklet": (np.int64, ()),
    "box": (np.float32, (4,)),
    "place": (np.float64, (2,)),
}
REQUIRED = ("path", "identity", "camera", "split")

Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class CropTable:
    """Rows of crops: where the picture is, who it shows, which camera took it.

    Attributes:
        path: (N,) str, relative to ``root`` (an absolute path is taken as it is).
        identity: (N,) int64; -1 is junk (never counted), 0 a distractor (a negative in every
            ranking, nobody's true match). Real people have positive numbers.
        camera: (N,) int64.
        split: (N,) str: ``"train"``, ``"query"`` or ``"gallery"``.
        root: Folder the paths stand under.
        name: What the set is called in reports.
        time: (N,) int64 milliseconds since the epoch, UTC; or None.
        tracklet: (N,) int64; or None.
        box: (N, 4) float32 pixels x0, y0, x1, y1 in the full picture; or None.
        place: (N, 2) float64 longitude, latitude in degrees (WGS 84); or None.
    """

    path: NDArray[np.str_]
    identity: NDArray[np.int64]
    camera: NDArray[np.int64]
    split: NDArray[np.str_]
    root: Path = Path()
    name: str = "table"
    time: NDArray[np.int64] | None = None
    tracklet: NDArray[np.int64] | None = None
    box: NDArray[np.float32] | None = None
    place: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Bring the columns to their types and check their shapes and splits."""
        object.__setattr__(self, "root", Path(self.root))
        count = len(self.path)
        for name, (kind, shape) in COLUMNS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _column(name, value, kind, (count, *shape)))
            elif name in REQUIRED:
                raise InputError(f"table '{self.name}' has no column '{name}'; give one")
        wrong = np.setdiff1d(self.split, SPLITS)
        if len(wrong):
            known = ", ".join(SPLITS)
            raise InputError(f"table '{self.name}' has a split '{wrong[0]}'; there are: {known}")
        if count and self.identity.min() < JUNK:
            row = int(self.identity.argmin())
            raise InputError(
                f"table '{self.name}' row {row} has identity {self.identity[row]}; "
                "use -1 for junk, 0 for distractors, positive numbers for people"
            )

    def __len__(self) -> int:
        return len(self.path)

    def __repr__(self) -> str:
        counts = ", ".join(f"{(self.split == s).sum()} {s}" for s in SPLITS)
        return f"CropTable({self.name!r}, {counts}, root={str(self.root)!r})"

    @property
    def train(self) -> "CropTable":
        """The training rows."""
        return self.select(self.split == "train")

    @property
    def query(self) -> "CropTable":
        """The query rows."""
        return self.select(self.split == "query")

    @property
    def gallery(self) -> "CropTable":
        """The gallery rows, junk and distractors included."""
        return self.select(self.split == "gallery")

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns that are present, by name."""
        present = {name: getattr(self, name) for name in COLUMNS}
        return {name: value for name, value in present.items() if value is not None}

    def select(self, rows: ArrayLike | Sequence[int] | slice) -> "CropTable":
        """The table of some rows, by mask (N,), indices or slice."""
        index = rows if isinstance(rows, slice) else np.asarray(rows)
        if isinstance(index, np.ndarray) and index.size == 0:
            index = index.astype(np.int64)
        chosen: dict[str, Any] = {name: c[index] for name, c in self.columns().items()}
        return replace(self, **chosen)

    def paths(self) -> list[Path]:
        """Full paths of the pictures."""
        return [self.root / path for path in self.path.tolist()]

    def labels(self) -> NDArray[np.int64]:
        """Class labels 0..C-1 (N,) of the identities present, in ascending order of identity."""
        return np.unique(self.identity, return_inverse=True)[1].astype(np.int64)

    def match_labels(self) -> tuple[Labels, Labels, Labels, Labels]:
        """Identities of queries (Q,) and gallery (G,), then their cameras, as metrics take them."""
        query, gallery = self.query, self.gallery
        return query.identity, gallery.identity, query.camera, gallery.camera

    def to_parquet(self, path: str | Path) -> None:
        """Write as Parquet: one column each, ``box`` as x0..y1 and ``place`` as lon, lat."""
        from passerby.data.files import write_parquet

        write_parquet(self, Path(path))

    @classmethod
    def from_parquet(cls, path: str | Path, *, root: str | Path | None = None) -> "CropTable":
        """Read a Parquet table; see :func:`passerby.data.files.read_parquet`."""
        from passerby.data.files import read_parquet

        return read_parquet(Path(path), root=root)

    @classmethod
    def from_csv(cls, path: str | Path, *, root: str | Path | None = None) -> "CropTable":
        """Read a CSV table; see :func:`passerby.data.files.read_csv`."""
        from passerby.data.files import read_csv

        return read_csv(Path(path), root=root)

    @classmethod
    def from_folder(cls, root: str | Path) -> "CropTable":
        """Read a folder of own pictures; see :func:`passerby.data.folder.read_folder`."""
        from passerby.data.folder import read_folder

        return read_folder(Path(root))


def concatenate(tables: Sequence[CropTable], *, name: str, root: str | Path) -> CropTable:
    """One table of several with the same root; optional columns stay where all have them."""
    if not tables:
        raise InputError(f"table '{name}' has no parts; give at least one")
    parts = [table.columns() for table in tables]
    shared = [column for column in COLUMNS if all(column in part for part in parts)]
    joined = {column: np.concatenate([part[column] for part in parts]) for column in shared}
    return CropTable(name=name, root=Path(root), **joined)


def optional_columns() -> list[str]:
    """Names of the columns that a table may lack."""
    return [f.name for f in fields(CropTable) if f.name in COLUMNS and f.name not in REQUIRED]


def _column(name: str, value: ArrayLike, kind: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        array = np.asarray(value)
        if kind is np.int64 and array.dtype.kind == "f" and not np.array_equal(array, array // 1):
            raise ValueError
        array = array.astype(kind) if array.size else np.empty(array.shape, dtype=kind)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"column '{name}' is not {np.dtype(kind).name}; convert it") from None
    if array.size == 0 and shape[0] == 0:
        array = array.reshape(shape)
    if array.shape != shape:
        raise InputError(f"column '{name}' has the shape {array.shape}; it must be {shape}")
    return array
