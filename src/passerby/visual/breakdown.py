"""Results by camera, box height and number of true matches, and people mistaken for each other."""

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.data import CropTable
from passerby.visual.results import Results

MOST_CAMERAS = 16
HEIGHT_GROUPS = 4
SIGHTINGS = "sightings.parquet"
BOX = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraMatrix:
    """Scores of every pair (camera of the query, camera searched).

    Attributes:
        query_cameras: (A,) rows.
        gallery_cameras: (C,) columns.
        mAP: (A, C) fractions; NaN where no query has a true match.
        rank1: (A, C) fractions, likewise.
        count: (A, C) queries with a true match.
    """

    query_cameras: NDArray[np.int64]
    gallery_cameras: NDArray[np.int64]
    mAP: NDArray[np.float64]  # noqa: N815 - the field's name
    rank1: NDArray[np.float64]
    count: NDArray[np.int64]

    @property
    def low(self) -> float:
        """The lowest score, rounded down to a tenth: the start of the colour scale."""
        lowest = min(np.nanmin(self.mAP), np.nanmin(self.rank1)) if self.count.any() else 0.0
        return float(np.floor(10 * lowest) / 10)

    def cells(self, at_least: int) -> list[tuple[float, int, int, int]]:
        """Return (mAP, query camera, gallery camera, queries) of cells with enough queries.

        The cell with the lowest mAP is first.
        """
        found = [
            (float(self.mAP[a, c]), int(camera), int(other), int(self.count[a, c]))
            for a, camera in enumerate(self.query_cameras)
            for c, other in enumerate(self.gallery_cameras)
            if self.count[a, c] >= at_least
        ]
        return sorted(found)


@dataclass(frozen=True, kw_only=True)
class CameraRow:
    """Contents and scores of one camera.

    Attributes:
        camera: Its number.
        queries: Query crops.
        gallery: Gallery crops.
        people: Identities in both, without distractors.
        mAP: Mean AP of its queries in the whole gallery; None without valid queries.
        rank1: Their rank-1, likewise.
    """

    camera: int
    queries: int
    gallery: int
    people: int
    mAP: float | None  # noqa: N815
    rank1: float | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Scores of a group of queries.

    Attributes:
        name: The common property, such as "1 to 3".
        queries: Number of queries.
        mAP: Their mean AP.
        rank1: Their rank-1.
    """

    name: str
    queries: int
    mAP: float  # noqa: N815
    rank1: float


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Two people of whom one is ranked before the other's true matches.

    Attributes:
        person: Identity of the queries.
        other: Identity that is ranked before the first true match.
        queries: Number of such queries.
        of: Valid queries of ``person``.
        query: The query with the most similar wrong crop: row of the query table.
        row: That crop: row of the gallery.
        similarity: Cosine similarity of both.
    """

    person: int
    other: int
    queries: int
    of: int
    query: int
    row: int
    similarity: float


def camera_matrix(results: Results, *, most: int = MOST_CAMERAS) -> CameraMatrix:
    """Score each pair of cameras as a search in one camera alone.

    The gallery of a pair is one camera's rows, distractors included. So the scores are higher than
    in the whole gallery, and comparable only between galleries of similar size.

    Args:
        results: Of all queries.
        most: Most rows (cameras with the most queries) and columns (with the most crops).
    """
    rows = _largest(results.query.camera, most)
    columns = _largest(results.gallery.camera, most)
    shape = (len(rows), len(columns))
    mean, rank1, count = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, int)
    for c, other in enumerate(columns):
        number = int(np.searchsorted(results.cameras, other))
        ap, first = results.camera_ap[number], results.camera_first[number]
        for a, camera in enumerate(rows):
            own = (results.query.camera == camera) & (first > 0)
            count[a, c] = own.sum()
            if count[a, c]:
                mean[a, c], rank1[a, c] = ap[own].mean(), (first[own] == 1).mean()
    return CameraMatrix(
        query_cameras=rows, gallery_cameras=columns, mAP=mean, rank1=rank1, count=count
    )


def _largest(cameras: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return the ``most`` most frequent cameras, ascending."""
    numbers, counts = np.unique(cameras, return_counts=True)
    return np.sort(numbers[np.argsort(-counts, kind="stable")[:most]])


def camera_counts(results: Results) -> list[CameraRow]:
    """Return the contents of each camera and the scores of its queries, by camera number."""
    query, gallery = results.query, results.gallery
    valid = query.camera[results.report.queries]
    rows = []
    for camera in np.unique(np.concatenate([query.camera, gallery.camera])).tolist():
        asked, held = query.camera == camera, gallery.camera == camera
        people = np.concatenate([query.identity[asked], gallery.identity[held]])
        scores = _group(results, str(camera), valid == camera)
        rows.append(
            CameraRow(
                camera=camera,
                queries=int(asked.sum()),
                gallery=int(held.sum()),
                people=len(np.unique(people[people > 0])),
                mAP=scores.mAP if scores else None,
                rank1=scores.rank1 if scores else None,
            )
        )
    return rows


def by_height(results: Results, *, groups: int = HEIGHT_GROUPS) -> list[Group]:
    """Group the queries by the height of their boxes in pixels, in groups of similar size.

    Returns:
        The groups; none if all heights are equal, as in sets with resized crops and without boxes.
    """
    heights = box_heights(with_boxes(results.query))[results.report.queries]
    edges = np.unique(np.quantile(heights, np.linspace(0, 1, groups + 1)).round())
    if len(edges) < 3:
        return []
    number = np.clip(np.searchsorted(edges, heights, side="right") - 1, 0, len(edges) - 2)
    names = [f"{a:.0f} to {b:.0f} px" for a, b in pairwise(edges)]
    made = [_group(results, name, number == group) for group, name in enumerate(names)]
    return [group for group in made if group]


def by_matches(results: Results) -> list[Group]:
    """Group the queries by their number of true matches: with few, one miss costs much."""
    counts = np.array([len(true) for true in results.matches.true])
    names = {(1, 1): "1", (2, 3): "2 to 3", (4, 7): "4 to 7", (8, 15): "8 to 15"}
    made = [
        _group(results, name, (counts >= low) & (counts <= high))
        for (low, high), name in names.items()
    ]
    made.append(_group(results, "16 or more", counts >= 16))
    return [group for group in made if group]


def _group(results: Results, name: str, inside: NDArray[np.bool_]) -> Group | None:
    """Score the valid queries that a mask (V,) selects; None if it selects none."""
    if not inside.any():
        return None
    return Group(
        name=name,
        queries=int(inside.sum()),
        mAP=float(results.report.ap[inside].mean()),
        rank1=float((results.report.first[inside] == 1).mean()),
    )


def with_boxes(table: CropTable) -> CropTable:
    """Add the boxes of a simulated city, whose crops were all resized, to its table.

    The table is returned unchanged if it has boxes, if there is no ``sightings.parquet`` with all
    its crops beside it, or if pyarrow is not installed.
    """
    file = table.root / SIGHTINGS
    if table.box is not None or not file.is_file():
        return table
    try:
        import pyarrow
        import pyarrow.parquet

        columns = pyarrow.parquet.read_table(file, columns=["path", *BOX])
    except (ImportError, OSError, ValueError):  # ValueError: pyarrow's own for damaged files
        return table
    boxes = np.stack([columns[name].to_numpy() for name in BOX], axis=1)
    row_of = {path: row for row, path in enumerate(columns["path"].to_pylist())}
    rows = [row_of.get(path, -1) for path in table.path.tolist()]
    if -1 in rows:
        return table
    return replace(table, box=boxes[rows].astype(np.float32))


def box_heights(table: CropTable) -> NDArray[np.float64]:
    """Return heights (N,) in pixels: of the boxes if the table has them, else of the files."""
    if table.box is not None:
        return (table.box[:, 3] - table.box[:, 1]).astype(np.float64)
    heights = []
    for path in table.paths():
        with Image.open(path) as picture:  # reads the header alone
            heights.append(float(picture.height))
    return np.array(heights)


def confusions(results: Results, *, most: int = 8) -> list[Confusion]:
    """List pairs of people by the number of queries of one that rank the other first.

    Only the rows that the ranking keeps are considered. Distractors have no identity and are left
    out.
    """
    found: dict[tuple[int, int], list[tuple[float, int, int]]] = defaultdict(list)
    people = results.query.identity[results.matches.queries]
    for position, query in enumerate(results.matches.queries.tolist()):
        first = int(results.report.first[position])
        rows = results.ranking.indices[query][results.counted(position)][: first - 1]
        similar = results.similarity(query, rows)
        nearest: dict[int, tuple[float, int, int]] = {}
        for row, value in zip(rows.tolist(), similar.tolist(), strict=True):
            other = int(results.gallery.identity[row])
            if other > 0:
                nearest[other] = max(nearest.get(other, (-2.0, 0, 0)), (value, query, row))
        for other, best in nearest.items():
            found[int(people[position]), other].append(best)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), -max(item[1])[0], item[0]))
    return [
        Confusion(
            person=person,
            other=other,
            queries=len(cases),
            of=int((people == person).sum()),
            query=max(cases)[1],
            row=max(cases)[2],
            similarity=max(cases)[0],
        )
        for (person, other), cases in ordered[:most]
    ]
