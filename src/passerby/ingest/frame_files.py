"""Whole frames in single files: people are found, tracked where times allow it, and stored."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from statistics import median

from passerby.city import City, Scope, Sighting
from passerby.city.changes import with_clock
from passerby.errors import InputError
from passerby.files import sha256
from passerby.ingest.crops import Crop, cut, encode_jpeg, qualities
from passerby.ingest.detector import Detections, Detector
from passerby.ingest.enhancement import enhance
from passerby.ingest.frames import Frame
from passerby.ingest.picture_files import PictureFile
from passerby.ingest.pipeline import FRAMES_AT_ONCE, SIGHTINGS_AT_ONCE, ClipOptions
from passerby.ingest.store import FolderProgress, FolderReport, Stored, store
from passerby.ingest.tracklets import TrackletBuilder
from passerby.runtime import Embedder, read_image

SLOW_MS = 500  # frames this far apart may show a passer-by only once


@dataclass(kw_only=True)
class FrameIngest:
    """Finds the people in frames that are files, and stores them, several at a time.

    The id of a sighting follows from the frame's content, camera, time and box.
    """

    city: City
    embedder: Embedder
    detector: Detector
    camera: str
    options: ClipOptions
    report: FolderReport
    on_stored: Stored | None
    on_progress: FolderProgress | None
    _waiting: list[tuple[Sighting, bytes]] = field(default_factory=list)
    _digests: list[str] = field(default_factory=list)
    _empty: int = 0
    _small: int = 0
    _enhanced: int = 0

    def ingest(self, frames: Sequence[PictureFile]) -> None:
        """Store the people of frames, and add the counts to the report.

        Frames with different times are tracked. Else each is looked at by itself, and each person
        in it is one sighting.

        Raises:
            InputError: The frames are in the city already, read with other options.
        """
        ordered = sorted(frames, key=lambda one: (one.time, str(one.path)))
        used = ordered[:: self.options.every]
        self._digests = [sha256(one.path) for one in used]
        self._claim(used)
        gaps = [later.time - one.time for one, later in pairwise(used)]
        builder = self._builder(gaps) if gaps and min(gaps) > 0 else None
        for first in range(0, len(used), FRAMES_AT_ONCE):
            self._look(used, first, builder)
        for tracklet in builder.close() if builder else ():
            self._keep(tracklet.crops, self._name(tracklet.track))
        self._flush(1)
        self._summarise(len(ordered) - len(used))

    def _claim(self, used: Sequence[PictureFile]) -> None:
        """Refuse frames that are in the city, found by another detector or with other options."""
        contents = sorted(
            f"{digest}-{one.time}" for digest, one in zip(self._digests, used, strict=True)
        )
        key = f"ingest.{sha256('|'.join([self.camera, *contents]).encode())[:16]}"
        how = {**asdict(self.options), "detector": self.detector.name}
        before = self.city.setting(key)
        if before not in (None, how) and self.city.count(
            Scope(cameras=(self.camera,), start=used[0].time, end=used[-1].time + 1)
        ):
            changed = [name for name in how if not before or before.get(name) != how[name]]
            raise InputError(
                f"these frames are in the city already, read with another {', '.join(changed)}; "
                "use that again, or delete their sightings first"
            )
        self.city.set_setting(key, how)

    def _builder(self, gaps: Sequence[int]) -> TrackletBuilder:
        options = self.options.tracklets
        return TrackletBuilder(
            replace(options, min_detections=1) if median(gaps) >= SLOW_MS else options
        )

    def _look(
        self, used: Sequence[PictureFile], first: int, builder: TrackletBuilder | None
    ) -> None:
        """Find the people in the next few frames."""
        frames = []
        for index in range(first, min(first + FRAMES_AT_ONCE, len(used))):
            self.report.done += 1
            try:
                image = read_image(used[index].path)
            except InputError as error:
                self.report.problems[str(used[index].path)] = str(error)
                continue
            frames.append(Frame(index=index, time=used[index].time, image=image))
        found = self.detector.detect([frame.image for frame in frames])
        for frame, detections in zip(frames, found, strict=True):
            self.report.frames += 1
            crops = self._crops(frame, detections)
            self._empty += not crops
            if builder is None:
                self._keep(crops, "")
                continue
            for tracklet in builder.add(frame, detections):
                self._keep(tracklet.crops, self._name(tracklet.track))
        self._flush(SIGHTINGS_AT_ONCE)

    def _crops(self, frame: Frame, detections: Detections) -> list[Crop]:
        """Cut out the people that are sure and large enough."""
        options = self.options.tracklets
        strong = detections.scores >= options.tracker.strong
        sides = detections.boxes[:, 2:] - detections.boxes[:, :2]
        large = (sides >= [options.min_width, options.min_height]).all(axis=1)
        self._small += int((strong & ~large).sum())
        which = (strong & large).nonzero()[0]
        crops = []
        for index, quality in zip(which, qualities(frame.image, detections, which), strict=True):
            x0, y0, x1, y1 = (round(float(value), 2) for value in detections.boxes[index])
            crops.append(
                Crop(
                    frame=frame.index,
                    time=frame.time,
                    box=(x0, y0, x1, y1),
                    quality=quality,
                    image=cut(frame.image, detections.boxes[index]),
                )
            )
        return crops

    def _name(self, track: int) -> str:
        whole = sha256("|".join([self.camera, *self._digests]).encode())[:16]
        return f"{whole}-{track:05d}"

    def _keep(self, crops: Sequence[Crop], tracklet: str) -> None:
        for crop in crops:
            box = ".".join(f"{value:.0f}" for value in crop.box)
            name = f"{self._digests[crop.frame][:24]}-{self.camera}-{crop.time}-{box}"
            image = enhance(crop.image) if self.options.enhance else crop.image
            self._enhanced += image is not crop.image
            sighting = Sighting(
                id=name,
                camera=self.camera,
                time=crop.time,
                tracklet=tracklet,
                box=crop.box,
                quality=crop.quality,
            )
            timed = with_clock(self.city, sighting, crop.time)
            self._waiting.append((timed, encode_jpeg(image)))

    def _flush(self, least: int) -> None:
        """Store what waits, when it is at least so much."""
        if len(self._waiting) >= least:
            facts, jpegs = zip(*self._waiting, strict=True)
            stored = store(self.city, self.embedder, facts, jpegs)
            self._waiting = []
            self.report.people += len(stored.ids)
            self.report.added += stored.added
            self.report.erased += stored.erased
            self.report.problems |= stored.problems
            if self.on_stored:
                self.on_stored(stored.ids)
        if self.on_progress:
            self.on_progress(self.report)

    def _summarise(self, left_out: int) -> None:
        notices = self.report.notices
        if left_out:
            notices.append(f"frames left out by --every {self.options.every}: {left_out}")
            self.report.done += left_out
        if self._empty:
            notices.append(f"frames with nobody found: {self._empty} of {self.report.frames}")
        if self._enhanced:
            notices.append(f"dark crops that were brightened: {self._enhanced}")
        if self._small:
            smallest = self.options.tracklets
            notices.append(
                f"people smaller than {smallest.min_width:.0f} x {smallest.min_height:.0f} "
                f"pixels, not stored: {self._small}"
            )
