"""The table of crops that represents a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

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


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A problem of a data set, or a fact about it.

    Attributes:
        level: ``"error"``: training or evaluation fails or its figures mislead. ``"warning"``: the
            data are probably not as intended. ``"note"``: a fact worth knowing.
        code: A short name that does not change.
        text: What was found and what to do.
        items: All files concerned.
    """

    level: Literal["error", "warning", "note"]
    code: str
    text: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class CropTable:
    """Rows of crops: the picture's path, the person on it, the camera that took it.

    Attributes:
        path: (N,) str, relative to ``root`` (an absolute path is taken as it is).
        identity: (N,) int64. People have positive numbers. -1 is junk, which never counts. 0 is a
            distractor: a negative in every ranking and nobody's true match.
        camera: (N,) int64.
        split: (N,) str: ``"train"``, ``"query"`` or ``"gallery"``.
        root: Folder to which the paths are relative.
        name: The name of the set in reports.
        time: (N,) int64 milliseconds since the epoch, UTC; or None.
        tracklet: (N,) int64; or None.
        box: (N, 4) float32 pixels x0, y0, x1, y1 in the full picture; or None.
        place: (N, 2) float64 longitude, latitude in degrees (WGS 84); or None.
        people_names: Identity -> name, where the source names people.
        camera_names: Camera -> name, where the source names cameras.
        findings: What the reader did that the source does not say: files left out, columns
            recognised by another name, labels numbered.

    Example:
        >>> table = CropTable(
        ...     path=["a.jpg", "b.jpg"], identity=[7, 7], camera=[1, 2], split=["query", "gallery"]
        ... )
        >>> table
        CropTable('table', 0 train, 1 query, 1 gallery, root='.')
        >>> table.query.identity
        array([7])
    """

    path: NDArray[Any]
    identity: NDArray[np.int64]
    camera: NDArray[np.int64]
    split: NDArray[Any]
    root: Path = Path()
    name: str = "table"
    time: NDArray[np.int64] | None = None
    tracklet: NDArray[np.int64] | None = None
    box: NDArray[np.float32] | None = None
    place: NDArray[np.float64] | None = None
    people_names: Mapping[int, str] = field(default_factory=dict)
    camera_names: Mapping[int, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        """Convert the columns to their types; check shapes and splits."""
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
        """Return the columns that are present, by name."""
        present = {name: getattr(self, name) for name in COLUMNS}
        return {name: value for name, value in present.items() if value is not None}

    def select(self, rows: ArrayLike | Sequence[int] | slice) -> "CropTable":
        """Select rows by a mask (N,), indices or a slice."""
        index = rows if isinstance(rows, slice) else np.asarray(rows)
        if isinstance(index, np.ndarray) and index.size == 0:
            index = index.astype(np.int64)
        chosen: dict[str, Any] = {name: c[index] for name, c in self.columns().items()}
        return replace(self, **chosen)

    def paths(self) -> list[Path]:
        """Return the full paths of the pictures."""
        return [self.root / path for path in self.path.tolist()]

    def labels(self) -> NDArray[np.int64]:
        """Number the identities that are present 0..C-1, in ascending order; return them (N,)."""
        return np.unique(self.identity, return_inverse=True)[1].astype(np.int64)

    def match_labels(self) -> tuple[Labels, Labels, Labels, Labels]:
        """Return the identities of queries (Q,) and gallery (G,), then their cameras.

        A query that shows a distractor is junk: it has no true match.
        """
        query, gallery = self.query, self.gallery
        people = np.where(query.identity == 0, JUNK, query.identity)
        return people, gallery.identity, query.camera, gallery.camera


def concatenate(tables: Sequence[CropTable], *, name: str, root: str | Path) -> CropTable:
    """Join tables with the same root and no names; an optional column stays if all have it."""
    if not tables:
        raise InputError(f"table '{name}' has no parts; give at least one")
    parts = [table.columns() for table in tables]
    shared = [column for column in COLUMNS if all(column in part for part in parts)]
    joined: dict[str, Any] = {
        column: np.concatenate([part[column] for part in parts]) for column in shared
    }
    findings = tuple(finding for table in tables for finding in table.findings)
    return CropTable(name=name, root=Path(root), findings=findings, **joined)


def merge(tables: Sequence[CropTable]) -> CropTable:
    """Join data sets of which nobody and no camera is in two: numbers follow on from set to set.

    Junk stays -1 and distractors 0. An optional column stays if all sets have it.

    Raises:
        InputError: No table, or one set twice.
    """
    roots = [(table.root.resolve(), table.name) for table in tables]
    if len(set(roots)) < len(roots):
        raise InputError("one data set is given twice; give each once")
    parts: list[CropTable] = []
    people: dict[int, str] = {}
    cameras: dict[int, str] = {}
    identity = camera = tracklet = 0
    for table in tables:
        known = table.identity > DISTRACTOR
        columns: dict[str, Any] = {
            "path": np.array([str(path.absolute()) for path in table.paths()], dtype=np.str_),
            "identity": np.where(known, table.identity + identity, table.identity),
            "camera": table.camera + camera,
        }
        if table.tracklet is not None:
            columns["tracklet"] = table.tracklet + tracklet
            tracklet += int(table.tracklet.max(initial=0)) + 1
        people |= {n + identity: f"{table.name}/{name}" for n, name in table.people_names.items()}
        cameras |= {n + camera: f"{table.name}/{name}" for n, name in table.camera_names.items()}
        identity += int(table.identity.max(initial=0))
        camera += int(table.camera.max(initial=0)) + 1
        parts.append(replace(table, **columns))
    joined = concatenate(parts, name="+".join(table.name for table in tables), root=Path())
    return replace(joined, people_names=people, camera_names=cameras)


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
