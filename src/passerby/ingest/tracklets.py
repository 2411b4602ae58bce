"""Tracklets with their best crops, from the detections of each frame."""

from dataclasses import dataclass, field

from passerby.errors import InputError
from passerby.ingest.crops import Crop, CropPool, cut, qualities
from passerby.ingest.detector import Detections
from passerby.ingest.frames import Frame
from passerby.ingest.tracker import Tracker, TrackerOptions


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
    """A longer stay is cut into tracklets of this length, so that its start is stored early."""
    tracker: TrackerOptions = field(default_factory=TrackerOptions)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.crops < 1 or self.min_detections < 1 or self.max_tracklet_ms < 1:
            raise InputError("crops, detections and length of a tracklet must be 1 or more")


@dataclass(frozen=True, kw_only=True)
class Tracklet:
    """One person in one camera for a while."""

    track: int
    """Number of the track in the clip."""
    part: int
    """0, 1, 2 ... when a long track is cut."""
    detections: int
    crops: list[Crop]
    """The best ones, in order of time."""


@dataclass(kw_only=True)
class _Running:
    start: int
    part: int = 0
    detections: int = 0
    pool: CropPool = field(default_factory=CropPool)


class TrackletBuilder:
    """Tracks people and returns each tracklet as soon as it has ended."""

    def __init__(self, options: TrackletOptions | None = None) -> None:
        """Start without tracks."""
        self.options = options or TrackletOptions()
        self._tracker = Tracker(self.options.tracker)
        self._running: dict[int, _Running] = {}
        self._last: int | None = None
        self._needed = self.options.min_detections

    def add(self, frame: Frame, detections: Detections) -> list[Tracklet]:
        """Add a frame and return the tracklets that have ended."""
        numbers = self._tracker.update(frame.time, detections)
        if self._last is not None:
            in_a_second = 1 + 1000 // (frame.time - self._last)
            self._needed = min(self.options.min_detections, in_a_second)
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
            running = self._running.setdefault(number, _Running(start=frame.time))
            if frame.time - running.start >= self.options.max_tracklet_ms:
                done.append(self._finish(number))
                running = _Running(start=frame.time, part=running.part + 1)
                self._running[number] = running
            running.detections += 1
            x0, y0, x1, y1 = (round(float(value), 2) for value in box)
            running.pool.add(
                Crop(
                    frame=frame.index,
                    time=frame.time,
                    box=(x0, y0, x1, y1),
                    quality=quality,
                    image=cut(frame.image, box),
                    scene=frame.scene,
                )
            )
        return [tracklet for tracklet in done if tracklet is not None]

    def close(self) -> list[Tracklet]:
        """End all tracklets at the end of the clip, and return them."""
        done = [self._finish(number) for number in self._tracker.close()]
        return [tracklet for tracklet in done if tracklet is not None]

    def _finish(self, number: int) -> Tracklet | None:
        running = self._running.pop(number, None)
        if running is None or running.detections < self._needed:
            return None
        return Tracklet(
            track=number,
            part=running.part,
            detections=running.detections,
            crops=running.pool.best(self.options.crops),
        )
