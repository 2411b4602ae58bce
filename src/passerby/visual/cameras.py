"""Results by camera: one camera's queries against one camera's gallery."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.visual.results import Results

MOST_CAMERAS = 16


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
        """The tenth below the lowest score: where the shades of both matrices begin."""
        lowest = min(np.nanmin(self.mAP), np.nanmin(self.rank1)) if self.count.any() else 0.0
        return float(np.floor(10 * lowest) / 10)

    def cells(self, at_least: int) -> list[tuple[float, int, int, int]]:
        """(mAP, query camera, gallery camera, queries) with enough queries, worst first."""
        found = [
            (float(self.mAP[a, c]), int(camera), int(other), int(self.count[a, c]))
            for a, camera in enumerate(self.query_cameras)
            for c, other in enumerate(self.gallery_cameras)
            if self.count[a, c] >= at_least
        ]
        return sorted(found)


@dataclass(frozen=True, kw_only=True)
class CameraRow:
    """What one camera holds.

    Attributes:
        camera: Its number.
        queries: Query crops.
        gallery: Gallery crops.
        people: Identities of both, distractors not counted.
        mAP: Mean AP of its queries against the whole gallery; None without valid ones.
        rank1: Their rank-1, likewise.
    """

    camera: int
    queries: int
    gallery: int
    people: int
    mAP: float | None  # noqa: N815
    rank1: float | None


def camera_matrix(results: Results, *, most: int = MOST_CAMERAS) -> CameraMatrix:
    """Score each pair of cameras: as if the operator searched one camera alone.

    The gallery of a pair is one camera's rows, distractors included; figures of a pair are thus
    higher than those of the whole gallery, and comparable with each other only where galleries
    have about the same size.

    Args:
        results: Answers to all queries.
        most: With more cameras, those with the most queries (rows) and the most crops (columns).
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


def camera_counts(results: Results) -> list[CameraRow]:
    """What each camera holds and how its queries fare, by camera number."""
    query, gallery = results.query, results.gallery
    valid = query.camera[results.report.queries]
    rows = []
    for camera in np.unique(np.concatenate([query.camera, gallery.camera])).tolist():
        own = valid == camera
        people = np.concatenate(
            [query.identity[query.camera == camera], gallery.identity[gallery.camera == camera]]
        )
        rows.append(
            CameraRow(
                camera=camera,
                queries=int((query.camera == camera).sum()),
                gallery=int((gallery.camera == camera).sum()),
                people=len(np.unique(people[people > 0])),
                mAP=float(results.report.ap[own].mean()) if own.any() else None,
                rank1=float((results.report.first[own] == 1).mean()) if own.any() else None,
            )
        )
    return rows


def _largest(cameras: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    numbers, counts = np.unique(cameras, return_counts=True)
    return np.sort(numbers[np.argsort(-counts, kind="stable")[:most]])
