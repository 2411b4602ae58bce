"""Multi-object tracking by ByteTrack, with appearance where motion leaves a doubt.

Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022,
algorithm 1 (strong boxes are matched first, then weak ones), with these departures:

- The noise of the motion grows with the time between frames, as clips may be read every n-th frame.
- A last stage matches widened boxes (Yang et al., "Hard to Track Objects with Irregular Motions and
  Similar Appearances", WACV 2023, equation 1), because at low frame rates the next box of a walker
  does not touch the one before.
- Boxes must also agree in the vertical, which tells people who pass each other apart.
- Appearance decides between boxes that overlap several tracks, and brings back a track that was out
  of sight. Vectors of other boxes are not asked for, because they cost more than the tracker.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from passerby.errors import InputError
from passerby.ingest.boxes import (
    BoxFilter,
    FloatArray,
    agreement,
    centres,
    height_ratio,
    overlaps,
    widened,
)
from passerby.ingest.detector import Detections

IndexPairs = list[tuple[int, int]]
Appearance = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Indices of boxes (N,) of the present frame to unit rows (N, D)."""

CONFIRMED = 3  # strong boxes from which a track is more than a flash
FLASH_MS = 300  # a track with fewer strong boxes ends after this time without one
DOUBT = 0.3  # intersection over union with two tracks that leaves a doubt
WEIGHT = 0.5  # of the cosine, where there is a doubt
FREE = 0.1  # intersection over union with another box up to which a crop shows one person
DOUBLE = 0.6  # intersection over union with a matched box from which a box is its double
SAME_HEIGHT = 0.6  # smaller height over larger that one person may have in two boxes
REACH = 0.6  # heights a second that someone out of sight moves, beside half a height
SAMPLE_MS = 1000  # between two looks at someone in full view
LEAST = np.array([8.0, 24.0])  # width and height of a box whose appearance says something


@dataclass(frozen=True, kw_only=True)
class TrackerOptions:
    """Thresholds of the association."""

    strong: float = 0.5
    """Boxes of this confidence are matched first, and begin tracks."""
    weak: float = 0.4
    """Boxes down to this confidence may continue a track; they never begin one."""
    overlap: float = 0.1
    """Agreement that strong matches need, see :func:`agreement`."""
    weak_overlap: float = 0.3
    """Agreement that weak matches need."""
    widen: float = 0.5
    """Share of its sides by which a box grows to each side in the last stage."""
    max_gap_ms: int = 2000
    """A track that has no strong box for longer than this ends."""
    revive_ms: int = 8000
    """A track that has ended goes on when someone who looks the same appears within this time."""


@dataclass(kw_only=True, eq=False)
class _Track:
    number: int
    motion: BoxFilter
    box: FloatArray
    """The last one."""
    time: int
    sure: int
    """Time of the last strong box; weak ones alone, often furniture, do not continue a track."""
    strong: int = 1
    """Number of strong boxes."""
    lost: bool = False
    vector: NDArray[np.float32] | None = field(default=None, repr=False)
    looked: int | None = None
    """Time of the last look at the appearance."""

    def take(self, box: FloatArray, time: int, *, strong: bool) -> None:
        self.motion.correct(box)
        self.box, self.lost = box, False
        if strong:
            self.sure, self.strong = time, self.strong + 1

    def look(self, vector: NDArray[np.float32], time: int) -> None:
        mixed = vector if self.vector is None else 0.8 * self.vector + 0.2 * vector
        self.vector = (mixed / max(float(np.linalg.norm(mixed)), 1e-12)).astype(np.float32)
        self.looked = time


class _Boxes:
    """The boxes of one frame in double precision, their tracks, and their appearance on demand."""

    def __init__(self, detections: Detections, appearance: Appearance | None) -> None:
        self.boxes = detections.boxes.astype(np.float64)
        self.scores = detections.scores.astype(np.float64)
        self.owners: dict[int, _Track] = {}
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        large: NDArray[np.bool_] = np.logical_and.reduce(sides >= LEAST, axis=1)
        self.large = large if appearance is not None else np.zeros_like(large)
        self._appearance = appearance
        self._known: dict[int, NDArray[np.float32]] = {}

    def free(self, which: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those boxes that belong to no track yet."""
        return np.array([i for i in which.tolist() if i not in self.owners], dtype=np.int64)

    def vectors(self, which: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Unit rows of some large boxes; each box is looked at once."""
        new = [int(i) for i in which if int(i) not in self._known]
        if new and self._appearance is not None:
            rows = self._appearance(np.array(new, dtype=np.int64))
            self._known.update(zip(new, rows, strict=True))
        return np.array([self._known[int(i)] for i in which], dtype=np.float32)


class Tracker:
    """Follows people through the frames of one camera."""

    def __init__(self, options: TrackerOptions | None = None, *, alike: float = 0.7) -> None:
        """Start without tracks.

        Args:
            options: Thresholds.
            alike: Cosine from which a crop shows the same person as a track. Two people mixed up
                are worse than one person in two tracks, so it is high.
        """
        self.options = options or TrackerOptions()
        self.alike = alike
        self._tracks: list[_Track] = []
        self._gone: list[_Track] = []  # ended, but not for too long to come back
        self._next = 0
        self._time: int | None = None
        self._ended: list[int] = []

    def update(
        self, time: int, detections: Detections, appearance: Appearance | None = None
    ) -> NDArray[np.int64]:
        """Match the boxes of one frame to tracks.

        Args:
            time: Milliseconds, later than the frame before.
            detections: N boxes with their confidence, weak ones included.
            appearance: Gives unit vectors of boxes of this frame; asked for few of them.

        Returns:
            (N,) number of the track of each box, -1 for none.

        Raises:
            InputError: The time does not go forward.
        """
        self._advance(time)
        frame = _Boxes(detections, appearance)
        options, scores = self.options, frame.scores
        strong = np.flatnonzero(scores >= options.strong)
        weak = np.flatnonzero((scores >= options.weak) & (scores < options.strong))
        free = list(self._tracks)
        for stage, candidates in (("strong", strong), ("weak", weak), ("widened", strong)):
            left, tracks = frame.free(candidates), free
            if stage == "weak":
                tracks = [one for one in free if not one.lost and one.strong >= CONFIRMED]
            for row, column in assign(*self._cost(stage, tracks, frame, left)):
                track, index = tracks[row], int(left[column])
                track.take(frame.boxes[index], time, strong=stage != "weak")
                frame.owners[index] = track
            matched = set(frame.owners.values())
            free = [track for track in free if track not in matched]
        for track in free:
            track.lost = True
        self._revive(time, frame, frame.free(strong))
        self._begin(time, frame, frame.free(strong))
        self._look(time, frame)
        numbers = np.full(len(detections), -1, dtype=np.int64)
        for index, track in frame.owners.items():
            numbers[index] = track.number
        return numbers

    def ended(self) -> list[int]:
        """Return the numbers of the tracks that have ended since the last call.

        A track that comes back ends again.
        """
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> list[int]:
        """End all tracks, at the end of a clip, and return those not returned before."""
        self._ended += [track.number for track in self._tracks]
        self._tracks, self._gone = [], []
        return self.ended()

    def _advance(self, time: int) -> None:
        if self._time is not None and time <= self._time:
            raise InputError(f"frame times must go forward; {time} ms follows {self._time} ms")
        for track in self._tracks:
            if track.lost:
                track.motion.mean[6:] = 0  # a size that is not seen does not change
            track.motion.predict(time - track.time)
            track.time = time
        self._time = time
        earliest, flash = time - self.options.max_gap_ms, time - FLASH_MS
        over = [
            track
            for track in self._tracks
            if track.sure < earliest
            or (track.strong < CONFIRMED and track.lost and track.sure < flash)
        ]
        self._ended += [track.number for track in over]
        self._tracks = [track for track in self._tracks if track not in over]
        known = [track for track in self._gone + over if track.vector is not None]
        self._gone = [track for track in known if track.sure >= time - self.options.revive_ms]

    def _revive(self, time: int, frame: _Boxes, new: NDArray[np.int64]) -> None:
        """Match boxes without a track to tracks out of sight, by appearance within reach."""
        lost = [track for track in self._tracks if track.lost and track.vector is not None]
        lost += self._gone
        new = new[frame.large[new]]
        if not lost or not len(new):
            return
        last, found = np.array([track.box for track in lost]), frame.boxes[new]
        steps = centres(last)[:, None] - centres(found)[None]
        far: FloatArray = np.linalg.norm(steps, axis=2)
        seconds = np.array([time - track.sure for track in lost]) / 1000
        reach = np.outer(0.5 + REACH * seconds, found[:, 3] - found[:, 1])
        near = np.asarray((far < reach) & (height_ratio(last, found) > SAME_HEIGHT), dtype=bool)
        columns = np.flatnonzero(near.any(axis=0))
        if len(columns) == 0:
            return
        cosine = _vectors(lost) @ frame.vectors(new[columns]).T
        cost = np.where(near[:, columns], 1.0 - cosine.astype(np.float64), 2.0)
        for row, column in assign(cost, 1 - self.alike):
            track, index = lost[row], int(new[columns[column]])
            if track in self._gone:
                self._gone.remove(track)
                self._tracks.append(track)
            track.motion, track.time = BoxFilter(frame.boxes[index]), time
            track.take(frame.boxes[index], time, strong=True)
            frame.owners[index] = track

    def _begin(self, time: int, frame: _Boxes, new: NDArray[np.int64]) -> None:
        """Begin a track for each box that is no double of a matched one."""
        held = frame.boxes[list(frame.owners)]
        doubles = overlaps(frame.boxes[new], held).max(axis=1, initial=0) > DOUBLE
        for index in new[~doubles].tolist():
            box = frame.boxes[index]
            track = _Track(number=self._next, motion=BoxFilter(box), box=box, time=time, sure=time)
            self._tracks.append(track)
            self._next += 1
            frame.owners[index] = track

    def _look(self, time: int, frame: _Boxes) -> None:
        """Look at the appearance of everyone in full view, once a second."""
        near = overlaps(frame.boxes, frame.boxes[frame.scores >= self.options.weak])
        alone = frame.large & ((near > FREE).sum(axis=1) <= 1)
        due = [
            index
            for index, track in frame.owners.items()
            if alone[index]
            and frame.scores[index] >= self.options.strong
            and track.strong > 1
            and (track.looked is None or time - track.looked >= SAMPLE_MS)
        ]
        for index, vector in zip(due, frame.vectors(due), strict=True):
            frame.owners[index].look(vector, time)

    def _cost(
        self, stage: str, tracks: list[_Track], frame: _Boxes, chosen: NDArray[np.int64]
    ) -> tuple[FloatArray, float]:
        """Costs (tracks, chosen boxes) of a stage, and the highest cost of a match."""
        options = self.options
        places = np.array([track.motion.box for track in tracks]).reshape(-1, 4)
        found = frame.boxes[chosen]
        if stage == "weak":
            return 1 - agreement(places, found), 1 - options.weak_overlap
        if stage == "widened":
            cost = 1 - agreement(widened(places, options.widen), widened(found, options.widen))
            return cost + (height_ratio(places, found) < SAME_HEIGHT), 1 - options.overlap
        near = overlaps(places, found)
        cost = 1 - agreement(places, found)
        close = near > DOUBT
        several = (close.sum(axis=0) > 1) | (close.sum(axis=1, keepdims=True) > 1)
        doubt = np.asarray(close & several, dtype=bool)
        doubt &= frame.large[chosen]
        doubt &= np.array([track.vector is not None for track in tracks], dtype=bool)[:, None]
        rows, columns = np.flatnonzero(doubt.any(axis=1)), np.flatnonzero(doubt.any(axis=0))
        if len(columns):
            cosine = _vectors([tracks[row] for row in rows]) @ frame.vectors(chosen[columns]).T
            pairs = np.ix_(rows, columns)
            cost[pairs] += np.where(doubt[pairs], WEIGHT * (self.alike - cosine), 0.0)
        return cost, 1 - options.overlap


def _vectors(tracks: list[_Track]) -> NDArray[np.float32]:
    """(N, D) appearance of tracks that have one."""
    return np.array([track.vector for track in tracks], dtype=np.float32)


def assign(cost: FloatArray, limit: float) -> IndexPairs:
    """Match rows to columns at the least total cost, none above ``limit``."""
    if not cost.size:
        return []
    # all costs above the limit count the same, so that no bad pair displaces a good one
    rows, columns = linear_sum_assignment(np.minimum(cost, limit + 1e-6))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if cost[row, column] <= limit]
