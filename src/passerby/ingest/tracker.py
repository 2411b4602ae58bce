"""Multi-object tracking by ByteTrack: strong boxes are matched first, then weak ones.

Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022,
algorithm 1, with three departures:

- The noise of the motion grows with the time between frames, as clips may be read every n-th frame.
- A last stage matches widened boxes (Yang et al., "Hard to Track Objects with Irregular Motions and
  Similar Appearances", WACV 2023, equation 1), because at low frame rates the next box of a walker
  does not touch the one before.
- Appearance is used when it is given, as in BoT-SORT (Aharon et al., 2022, equations 8-10).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from passerby.errors import InputError
from passerby.ingest.detector import Detections

FloatArray = NDArray[np.float64]
IndexPairs = list[tuple[int, int]]

FRAME_MS = 40.0  # the noise figures are per frame at 25 frames a second; longer steps scale them
POSITION_NOISE = 1 / 20  # of the box height; DeepSORT's figures, which ByteTrack keeps
VELOCITY_NOISE = 1 / 160
_MEASURE = np.eye(4, 8)


@dataclass(frozen=True, kw_only=True)
class TrackerOptions:
    """Thresholds of the association."""

    strong: float = 0.5
    """Boxes of this confidence are matched first."""
    weak: float = 0.1
    """Boxes down to this confidence may continue a track; they never begin one."""
    begin: float = 0.5
    """Confidence to begin a track."""
    overlap: float = 0.2
    """Intersection over union (times confidence) that strong matches need."""
    weak_overlap: float = 0.5
    """Intersection over union that weak matches need."""
    widen: float = 0.5
    """Share of its sides by which a box grows to each side in the last stage."""
    max_gap_ms: int = 2000
    """A track that has no strong box for longer than this ends."""
    alike: float = 0.75
    """Cosine from which appearance counts, when vectors are given."""


@dataclass(kw_only=True)
class _Track:
    number: int
    motion: "BoxFilter"
    time: int
    sure: int
    """Time of the last strong box; weak ones alone, often furniture, do not continue a track."""
    lost: bool = False
    vector: NDArray[np.float32] | None = field(default=None, repr=False)

    def take(self, box: FloatArray, vector: NDArray[np.float32] | None) -> None:
        self.motion.correct(box)
        self.lost = False
        if vector is not None:
            mixed = vector if self.vector is None else 0.9 * self.vector + 0.1 * vector
            self.vector = (mixed / max(float(np.linalg.norm(mixed)), 1e-12)).astype(np.float32)


class _Boxes:
    """The boxes of one frame in double precision, with their appearance when it is known."""

    def __init__(self, detections: Detections, vectors: NDArray[np.float32] | None) -> None:
        self.boxes = detections.boxes.astype(np.float64)
        self.scores = detections.scores.astype(np.float64)
        self.vectors = vectors

    def vector(self, index: int) -> NDArray[np.float32] | None:
        return None if self.vectors is None else self.vectors[index]


class Tracker:
    """Follows people through the frames of one camera."""

    def __init__(self, options: TrackerOptions | None = None) -> None:
        """Start without tracks."""
        self.options = options or TrackerOptions()
        self._tracks: list[_Track] = []
        self._next = 0
        self._time: int | None = None
        self._ended: list[int] = []

    def update(
        self, time: int, detections: Detections, vectors: NDArray[np.float32] | None = None
    ) -> NDArray[np.int64]:
        """Match the boxes of one frame to tracks.

        Args:
            time: Milliseconds, later than the frame before.
            detections: N boxes with their confidence, weak ones included.
            vectors: (N, D) unit rows of appearance, if known.

        Returns:
            (N,) number of the track of each box, -1 for none.

        Raises:
            InputError: The time does not go forward.
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
    # all costs above the limit count the same, so that no bad pair displaces a good one
    rows, columns = linear_sum_assignment(np.minimum(cost, limit + 1e-6))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if cost[row, column] <= limit]


def overlaps(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of each pair of boxes, (A, 4) and (B, 4) to (A, B)."""
    shared = intersections(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return shared / np.maximum(union, 1e-9)


def intersections(a: FloatArray, b: FloatArray) -> FloatArray:
    """Common area of each pair of boxes, (A, 4) and (B, 4) to (A, B)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared: FloatArray = np.clip(high - low, 0, None).prod(axis=2)
    return shared


def area(boxes: FloatArray) -> FloatArray:
    """Areas of (N, 4) boxes."""
    areas: FloatArray = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    return areas


def widened(boxes: FloatArray, share: float) -> FloatArray:
    """Grow boxes by ``share`` of their sides to each side."""
    grow = np.tile((boxes[:, 2:] - boxes[:, :2]) * share, 2)
    grown: FloatArray = boxes + grow * np.array([-1, -1, 1, 1])
    return grown


def _height_ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """Smaller height over larger, (A, B)."""
    first, second = (a[:, 3] - a[:, 1])[:, None], (b[:, 3] - b[:, 1])[None, :]
    return np.minimum(first, second) / np.maximum(np.maximum(first, second), 1e-9)


def to_xyah(box: FloatArray) -> FloatArray:
    """(x0, y0, x1, y1) to centre x, centre y, width / height, height."""
    width, height = box[2] - box[0], box[3] - box[1]
    return np.array([box[0] + width / 2, box[1] + height / 2, width / height, height])


def to_box(state: FloatArray) -> FloatArray:
    """The first four values of a state to (x0, y0, x1, y1)."""
    x, y, aspect, height = state[:4]
    half = np.array([max(aspect, 0.05) * height, height]) / 2
    return np.array([x - half[0], y - half[1], x + half[0], y + half[1]])


class BoxFilter:
    """Constant-velocity Kalman filter of a box over (x, y, aspect, height).

    The state has the mean (8,), with the velocities last, and the covariance (8, 8).
    """

    def __init__(self, box: FloatArray) -> None:
        """Start at rest at ``box``, with a large variance of the speed."""
        start = to_xyah(box)
        height = start[3]
        self.mean = np.concatenate([start, np.zeros(4)])
        position, velocity = 2 * POSITION_NOISE * height, 10 * VELOCITY_NOISE * height
        spread = [position, position, 1e-2, position, velocity, velocity, 1e-5, velocity]
        self.covariance = np.diag(np.square(spread))

    def predict(self, elapsed_ms: float) -> None:
        """Predict the state after ``elapsed_ms``."""
        steps = elapsed_ms / FRAME_MS
        motion = np.eye(8)
        motion[range(4), range(4, 8)] = steps
        height = self.mean[3]
        position, velocity = POSITION_NOISE * height, VELOCITY_NOISE * height
        noise = [position, position, 1e-2, position, velocity, velocity, 1e-5, velocity]
        self.mean = motion @ self.mean
        # the noise of each frame is independent, so the variances add up over the step
        self.covariance = motion @ self.covariance @ motion.T + np.diag(np.square(noise)) * steps

    def correct(self, box: FloatArray) -> None:
        """Correct the state by a measured box."""
        height = self.mean[3]
        error = [POSITION_NOISE * height, POSITION_NOISE * height, 1e-1, POSITION_NOISE * height]
        measured = _MEASURE @ self.covariance @ _MEASURE.T + np.diag(np.square(error))
        gain = np.linalg.solve(measured, _MEASURE @ self.covariance).T
        self.mean = self.mean + gain @ (to_xyah(box) - self.mean[:4])
        self.covariance = self.covariance - gain @ measured @ gain.T

    @property
    def box(self) -> FloatArray:
        """The (4,) box of the state: x0, y0, x1, y1."""
        return to_box(self.mean)
