"""Tracklets with their best crops, from the detections of each frame."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.ingest.boxes import overlaps
from passerby.ingest.crops import Crop, CropPool, cut, qualities, thumbnail
from passerby.ingest.detector import Detections
from passerby.ingest.frames import Frame
from passerby.ingest.tracker import Tracker, TrackerOptions
from passerby.metrics import Calibration
from passerby.models import ModelCard
from passerby.runtime import Embedder

STILL = 0.15  # heights by which the centre of a still box wanders; detectors are not more exact
# largest difference of two thumbnails (0..1) of what does not change: on a real clip 0.012 for
# walls and furniture (the worst tenth 0.023), 0.047 to 0.22 for people who stand for ten seconds
UNCHANGED = 0.035
SAME_PLACE = 0.7  # intersection over union of two tracklets of one object
FORGOTTEN_MS = 600_000  # a place without its object for longer than this is forgotten

STEPS = 25  # between frames, of which the usual one is taken: a gap is no slow clip
SLOW = (
    "the clip has fewer than two frames a second, so every strong box of the detector is stored as "
    "a person, false alarms too"
)
CERTAIN = 0.95  # probability of one person from which appearance links a track


@dataclass(frozen=True, kw_only=True)
class TrackletOptions:
    """What is a tracklet, and which of its crops are stored."""

    crops: int = 4
    """Upper bound of the sightings of a tracklet."""
    min_detections: int = 3
    """Strong boxes that a tracklet needs, or the number of frames in a second when that is less.
    With fewer boxes it counts as a false alarm."""
    min_height: float = 40.0
    """Pixels of height below which a box is not cut out."""
    min_width: float = 12.0
    """Pixels of width below which a box is not cut out."""
    max_tracklet_ms: int = 10_000
    """A longer stay is returned in parts of this length, so that its start is stored early. The
    parts have the track in common."""
    fixed_ms: int = 60_000
    """What neither moves nor changes for this long is a fixed object and left out."""
    tracker: TrackerOptions = field(default_factory=TrackerOptions)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.crops, self.min_detections, self.max_tracklet_ms, self.fixed_ms) < 1:
            raise InputError("crops, detections and times of a tracklet must be 1 or more")


@dataclass(frozen=True, kw_only=True)
class Tracklet:
    """One person in one camera for a while."""

    track: int
    """Number of the track in the clip; a long track is cut into several tracklets."""
    detections: int
    crops: list[Crop]
    """The best ones, in order of time."""
    place: NDArray[np.float64] = field(repr=False, compare=False)
    """(4,) box in which it began, or of a known still object there."""
    view: NDArray[np.float32] = field(repr=False, compare=False)
    """(16, 8, 3) usual thumbnail of the place."""
    still: bool = False
    """Neither the box moved nor the picture changed."""


@dataclass(kw_only=True)
class _Running:
    start: int
    place: NDArray[np.float64]
    """(4,) where the pictures of ``views`` are taken, whatever the detector's jitter."""
    views: list[NDArray[np.float32]] = field(default_factory=list)
    """Thumbnails of the place, one a second."""
    viewed: int | None = None
    """Time of the last of them."""
    boxes: list[NDArray[np.float32]] = field(default_factory=list)
    pool: CropPool = field(default_factory=CropPool)

    def add(self, frame: Frame, box: NDArray[np.float32], quality: float) -> None:
        self.boxes.append(box)
        if self.viewed is None or frame.time - self.viewed >= 1000:
            self.views.append(thumbnail(cut(frame.image, self.place.astype(np.float32))))
            self.viewed = frame.time
        x0, y0, x1, y1 = (round(float(value), 2) for value in box)
        self.pool.add(
            Crop(
                frame=frame.index,
                time=frame.time,
                box=(x0, y0, x1, y1),
                quality=quality,
                image=cut(frame.image, box),
                scene=frame.scene,
            )
        )


class TrackletBuilder:
    """Tracks people and returns each tracklet as soon as it has ended."""

    def __init__(
        self, options: TrackletOptions | None = None, embedder: Embedder | None = None
    ) -> None:
        """Start without tracks.

        Args:
            options: What is a tracklet.
            embedder: Network whose vectors help to track. A network without a measured calibration
                does not: its cosines say nothing about two crops.
        """
        self.options = options or TrackletOptions()
        self.embedder: Embedder | None = None
        self._tracker = Tracker(self.options.tracker)
        if embedder is not None:
            self.use(embedder)
        self._fixed = FixedObjects(self.options.fixed_ms)
        self._running: dict[int, _Running] = {}
        self._last: int | None = None
        self._steps: list[int] = []

    def use(self, embedder: Embedder) -> None:
        """Let the vectors of a network help to track, where its card has a calibration."""
        alike = alike_from(embedder.card)
        self.embedder = None if alike is None else embedder
        self._tracker.alike = alike or 1.0

    @property
    def fixed_objects(self) -> int:
        """Number of fixed objects left out so far."""
        return self._fixed.count

    def add(self, frame: Frame, detections: Detections) -> list[Tracklet]:
        """Add a frame and return the tracklets that have ended."""
        numbers = self._track(frame, detections)
        if self._last is not None:
            self._steps = [*self._steps, frame.time - self._last][-STEPS:]
        self._last = frame.time
        done = [self._finish(number) for number in self._tracker.ended()]
        strong = detections.scores >= self.options.tracker.strong
        sides = detections.boxes[:, 2:] - detections.boxes[:, :2]
        large = (sides >= [self.options.min_width, self.options.min_height]).all(axis=1)
        which = (strong & large & (numbers >= 0)).nonzero()[0]
        # the RGB picture of a frame without people is never made
        rated = qualities(frame.image, detections, which) if len(which) else []
        for index, quality in zip(which.tolist(), rated, strict=True):
            number, box = int(numbers[index]), detections.boxes[index]
            running = self._running.get(number)
            if running and frame.time - running.start >= self.options.max_tracklet_ms:
                done.append(self._finish(number))
                self._running[number] = _Running(start=frame.time, place=running.place)
            elif running is None:
                place = self._fixed.place(box.astype(np.float64))
                self._running[number] = _Running(start=frame.time, place=place)
            self._running[number].add(frame, box, quality)
        return self._fixed.pass_on((one for one in done if one), frame.time)

    @property
    def needed(self) -> int:
        """Number of strong boxes of a tracklet: not more than frames in a usual second, but one.

        A person may cross the view in two seconds. At one frame a second a rule of two boxes loses
        nearly everyone; ``docs/ingest.md`` has the measurement.
        """
        usual = sorted(self._steps)[len(self._steps) // 2] if self._steps else 1
        return min(self.options.min_detections, max(1, 1000 // usual))

    def close(self) -> list[Tracklet]:
        """End all tracklets at the end of the clip, and return them."""
        done = [self._finish(number) for number in self._tracker.close()]
        return self._fixed.pass_on((one for one in done if one), None)

    def _track(self, frame: Frame, detections: Detections) -> NDArray[np.int64]:
        embedder = self.embedder
        if embedder is None:
            return self._tracker.update(frame.time, detections)

        def appearance(which: NDArray[np.int64]) -> NDArray[np.float32]:
            return embedder.embed([cut(frame.image, detections.boxes[index]) for index in which])

        return self._tracker.update(frame.time, detections, appearance)

    def _finish(self, number: int) -> Tracklet | None:
        running = self._running.pop(number, None)
        if running is None or len(running.boxes) < self.needed:
            return None
        boxes = np.array(running.boxes, dtype=np.float64)
        view = np.median(running.views, axis=0).astype(np.float32)
        change = np.median([_change(view, one) for one in running.views])
        return Tracklet(
            track=number,
            detections=len(boxes),
            crops=running.pool.best(self.options.crops),
            place=running.place,
            view=view,
            still=bool(change < UNCHANGED) and _wander(boxes, running.place) < STILL,
        )


def alike_from(card: ModelCard) -> float | None:
    """Cosine from which two crops show one person with near certainty, by the network's curve.

    None where the curve is not measured, and where no cosine is enough.
    """
    curve = Calibration.from_card(card.calibration)
    cosine = (math.log(CERTAIN / (1 - CERTAIN)) - curve.intercept) / curve.slope
    return cosine if curve.measured and cosine < 1 else None


def _change(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Largest difference of two thumbnails; where someone shifts, few cells change, but clearly."""
    return float(np.abs(a - b).max())


def _wander(boxes: NDArray[np.float64], place: NDArray[np.float64]) -> float:
    """How far the centres of (N, 4) boxes usually are from that of a place, in heights."""
    steps = ((boxes - place)[:, :2] + (boxes - place)[:, 2:]) / 2
    return float(np.median(np.abs(steps).max(axis=1)) / (place[3] - place[1]))


@dataclass(kw_only=True, eq=False)
class _Place:
    box: NDArray[np.float64]
    view: NDArray[np.float32]
    begin: int
    end: int
    fixed: bool = False
    waiting: list[Tracklet] = field(default_factory=list)

    def shows(self, tracklet: Tracklet) -> bool:
        """Whether the tracklet is of the object of this place."""
        near = overlaps(self.box[None], tracklet.place[None])[0, 0]
        return bool(near >= SAME_PLACE) and _change(self.view, tracklet.view) < UNCHANGED


class FixedObjects:
    """Leaves out what detectors take for people: signposts, parked cars, figures in a shop window.

    Tracklets of what neither moves nor changes wait at their place. They are people when they move
    or go away before ``limit_ms``, and a fixed object when they stay.
    """

    def __init__(self, limit_ms: int) -> None:
        """Start without places."""
        self.count = 0
        """Fixed objects found."""
        self._limit = limit_ms
        self._places: list[_Place] = []

    def place(self, box: NDArray[np.float64]) -> NDArray[np.float64]:
        """The (4,) box of a known still object where ``box`` is, or ``box`` itself."""
        known = np.array([place.box for place in self._places]).reshape(-1, 4)
        near = overlaps(box[None], known)[0]
        return known[near.argmax()] if near.max(initial=0) >= SAME_PLACE else box

    def pass_on(self, tracklets: Iterable[Tracklet], time: int | None) -> list[Tracklet]:
        """Take ended tracklets and return those that are people.

        Args:
            tracklets: In order of their end.
            time: Milliseconds; None at the end of the clip, when nothing waits any more.
        """
        people = []
        for one in tracklets:
            if one.still:
                self._wait(one)
            else:
                people += self._moved(one.track)
                people.append(one)
        for place in self._places:
            if time is None or time - place.end > self._limit:
                people += place.waiting
                place.waiting = []
        self._places = [p for p in self._places if time and time - p.end <= FORGOTTEN_MS]
        return people

    def _wait(self, one: Tracklet) -> None:
        begin, end = one.crops[0].time, one.crops[-1].time
        place = next((place for place in self._places if place.shows(one)), None)
        if place is None:
            place = _Place(box=one.place, view=one.view, begin=begin, end=end)
            self._places.append(place)
        place.end, place.view = end, one.view  # the light may change slowly
        if not place.fixed and end - place.begin >= self._limit:
            place.fixed = True
            self.count += 1
        place.waiting = [] if place.fixed else [*place.waiting, one]

    def _moved(self, track: int) -> list[Tracklet]:
        """Tracklets that waited where a track was before it moved; that place is none any more."""
        left = next((p for p in self._places if any(w.track == track for w in p.waiting)), None)
        if left is None:
            return []
        self._places.remove(left)
        return left.waiting
