"""Which boxes are the same person? ByteTrack: strong boxes first, then the weak ones.

Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022,
algorithm 1. Departures: noise grows with the time between frames (clips may be read every n-th
frame); a last stage matches widened boxes (Yang et al., "Hard to Track Objects with Irregular
Motions and Similar Appearances", WACV 2023, equation 1), for at low frame rates the second box
of a walker does not touch the first; appearance, where given, as in BoT-SORT (Aharon et al.,
2022, equations 8-10).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from passerby.errors import InputError
from passerby.ingest.detector import Detections
from passerby.ingest.kalman import BoxFilter

FloatArray = NDArray[np.float64]
IndexPairs = list[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class TrackerOptions:
    """Thresholds of the association."""

    strong: float = 0.5
    """Boxes of this confidence are matched first."""
    weak: float = 0.1
    """Boxes down to this confidence may go on with a track, never begin one."""
    begin: float = 0.5
    """Confidence to begin a track."""
    overlap: float = 0.2
    """Intersection over union (times confidence) that strong matches need."""
    weak_overlap: float = 0.5
    """Intersection over union that weak matches need."""
    widen: float = 0.5
    """Share of its sides by which a box grows, each way, in the last stage."""
    max_gap_ms: int = 2000
    """A track without a strong box for longer has ended."""
    alike: float = 0.75
    """Cosine above which appearance may speak, where vectors are given."""


@dataclass(kw_only=True)
class _Track:
    number: int
    motion: BoxFilter
    time: int
    sure: int
    """Time of the last strong box: weak ones alone, often a piece of furniture, keep no track."""
    lost: bool = False
    vector: NDArray[np.float32] | None = field(default=None, repr=False)

    def take(self, box: FloatArray, vector: NDArray[np.float32] | None) -> None:
        self.motion.correct(box)
        self.lost = False
        if vector is not None:
            mixed = vector if self.vector is None else 0.9 * self.vector + 0.1 * vector
            self.vector = (mixed / max(float(np.linalg.norm(mixed)), 1e-12)).astype(np.float32)


class _Boxes:
    """The boxes of one frame in double precision, with their appearance where it is known."""

    def __init__(self, detections: Detections, vectors: NDArray[np.float32] | None) -> None:
        self.boxes = detections.boxes.astype(np.float64)
        self.scores = detections.scores.astype(np.float64)
        self.vectors = vectors

    def vector(self, index: int) -> NDArray[np.float32] | None:
        return None if self.vectors is None else self.vectors[index]


class Tracker:
    """Follows people through the frames of one camera."""

    def __init__(self, options: TrackerOptions | None = None) -> None:
        """Start with no one in view."""
        self.options = options or TrackerOptions()
        self._tracks: list[_Track] = []
        self._next = 0
        self._time: int | None = None
        self._ended: list[int] = []

    def update(
        self, time: int, detections: Detections, vectors: NDArray[np.float32] | None = None
    ) -> NDArray[np.int64]:
        """Take in the boxes of one frame.

        Args:
            time: milliseconds, later than the frame before.
            detections: N boxes with their confidence, weak ones included.
            vectors: (N, D) unit rows of appearance, if known.

        Returns:
            (N,) the number of the track each box belongs to, -1 for none.

        Raises:
            InputError: time does not go forward.
        """
        self._advance(time)
        frame = _Boxes(detections, vectors)
        numbers = np.full(len(detections), -1, dtype=np.int64)
        strong = np.flatnonzero(frame.scores >= self.options.strong)
        weak = np.flatnonzero(
            (frame.scores >= self.options.weak) & (frame.scores < self.options.strong)
        )
        free = list(self._tracks)
        for stage, candidates in (("strong", strong), ("weak", weak), ("widened", strong)):
            left = candidates[numbers[candidates] < 0]
            tracks = [track for track in free if stage != "weak" or not track.lost]
            for row, column in assign(*self._cost(stage, tracks, frame, left)):
                track, index = tracks[row], int(left[column])
                track.take(frame.boxes[index], frame.vector(index))
                track.sure = track.sure if stage == "weak" else time
                numbers[index] = track.number
            free = [track for track in free if track.number not in numbers]
        for track in free:
            track.lost = True
        for index in strong[numbers[strong] < 0].tolist():
            if frame.scores[index] >= self.options.begin:
                numbers[index] = self._begin(frame.boxes[index], time, frame.vector(index))
        return numbers

    def ended(self) -> list[int]:
        """Return the numbers of the tracks that have ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> list[int]:
        """End all tracks, at the end of a clip, and return those not returned before."""
        self._ended += [track.number for track in self._tracks]
        self._tracks = []
        return self.ended()

    def _advance(self, time: int) -> None:
        if self._time is not None and time <= self._time:
            raise InputError(f"frame times must go forward; {time} ms follows {self._time} ms")
        for track in self._tracks:
            track.motion.predict(time - track.time)
            track.time = time
        self._time = time
        earliest = time - self.options.max_gap_ms
        self._ended += [track.number for track in self._tracks if track.sure < earliest]
        self._tracks = [track for track in self._tracks if track.sure >= earliest]

    def _begin(self, box: FloatArray, time: int, vector: NDArray[np.float32] | None) -> int:
        track = _Track(
            number=self._next, motion=BoxFilter(box), time=time, sure=time, vector=vector
        )
        self._tracks.append(track)
        self._next += 1
        return track.number

    def _cost(
        self, stage: str, tracks: list[_Track], frame: _Boxes, chosen: NDArray[np.int64]
    ) -> tuple[FloatArray, float]:
        """Costs (tracks, chosen boxes) of a stage, and the highest cost of a match."""
        options = self.options
        places = np.array([track.motion.box for track in tracks]).reshape(-1, 4)
        found = frame.boxes[chosen]
        if stage == "weak":
            return 1 - overlaps(places, found), 1 - options.weak_overlap
        if stage == "widened":
            cost = 1 - overlaps(widened(places, options.widen), widened(found, options.widen))
            return cost + (_height_ratio(places, found) < 0.6), 1 - options.overlap
        near = overlaps(places, found)
        cost = 1 - near * frame.scores[chosen]
        if frame.vectors is not None:
            alike = self._appearance_cost(tracks, frame.vectors[chosen], near)
            cost = np.minimum(cost, alike)
        return cost, 1 - options.overlap

    def _appearance_cost(
        self, tracks: list[_Track], vectors: NDArray[np.float32], near: FloatArray
    ) -> FloatArray:
        """Half the cosine distance where boxes touch and look alike, else 1."""
        rows = np.zeros((len(tracks), vectors.shape[1]), dtype=np.float32)
        for row, track in zip(rows, tracks, strict=True):
            row[:] = 0 if track.vector is None else track.vector
        cosine = (rows @ vectors.T).astype(np.float64)
        return np.where((cosine >= self.options.alike) & (near > 0), (1 - cosine) / 2, 1.0)


def assign(cost: FloatArray, limit: float) -> IndexPairs:
    """Match rows to columns at the least total cost, none above ``limit``."""
    if not cost.size:
        return []
    # costs above the limit are all as bad: a hopeless pair must not push a good one aside
    rows, columns = linear_sum_assignment(np.minimum(cost, limit + 1e-6))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if cost[row, column] <= limit]


def overlaps(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of each pair of boxes, (A, 4) and (B, 4) to (A, B)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared: FloatArray = np.clip(high - low, 0, None).prod(axis=2)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return shared / np.maximum(union, 1e-9)


def area(boxes: FloatArray) -> FloatArray:
    """Areas of (N, 4) boxes."""
    sides: FloatArray = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return sides.prod(axis=1)


def widened(boxes: FloatArray, share: float) -> FloatArray:
    """Grow boxes by ``share`` of their sides to each side."""
    grow = np.tile((boxes[:, 2:] - boxes[:, :2]) * share, 2)
    return boxes + grow * np.array([-1, -1, 1, 1])


def _height_ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """Smaller height over larger, (A, B)."""
    first, second = (a[:, 3] - a[:, 1])[:, None], (b[:, 3] - b[:, 1])[None, :]
    return np.minimum(first, second) / np.maximum(np.maximum(first, second), 1e-9)
