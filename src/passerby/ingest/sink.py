"""The end of the pipeline: finished tracklets become sightings of the city."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from passerby.city import City, Sighting
from passerby.city.changes import with_clock
from passerby.city.crops import Context
from passerby.files import sha256
from passerby.ingest.crops import Crop, encode_jpeg
from passerby.ingest.enhancement import enhance
from passerby.ingest.ingest_report import IngestReport
from passerby.ingest.store import Stored, StoredBatch, store
from passerby.ingest.tracklets import Tracklet
from passerby.runtime import Embedder

BATCHES_AHEAD = 2  # batches of sightings that wait to be stored


@dataclass(kw_only=True)
class Sink:
    """Stores finished tracklets in the city, several at a time; use it as a context."""

    city: City
    embedder: Embedder
    camera: str
    name: str
    """Of the clip; tracklets and sightings are named by it."""
    names: dict[int, str] | None = None
    """In a recording of several clips: track -> the clip that it is named by."""
    enhance: bool
    report: IngestReport
    on_stored: Stored | None = None
    pool: ThreadPoolExecutor | None = None
    """Stores while the clip is read; without one, storing is waited for."""
    waiting: list[Tracklet] = field(default_factory=list)
    """Tracklets that are not stored yet."""
    tracks: set[int] = field(default_factory=set)
    """Numbers of the tracks so far; the parts of a long stay are one tracklet of the city."""
    _batches: deque[Future[StoredBatch]] = field(default_factory=deque)
    """Batches that are being stored."""

    def __enter__(self) -> "Sink":
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        """Wait for what is being stored; after a failure it is stored, but not reported."""
        try:
            self._collect(0 if failed is None else len(self._batches))
        finally:
            if self.pool:
                self.pool.shutdown()

    def flush(self, least: int) -> None:
        """Store the waiting tracklets when they have at least so many crops."""
        if sum(len(tracklet.crops) for tracklet in self.waiting) >= least:
            taken, self.waiting = self.waiting, []
            new = {one.track for one in taken} - self.tracks - set(self.names or ())
            self.tracks |= new
            self.report.tracklets += len(new)
            named = [(self._name(tracklet), tracklet) for tracklet in taken]
            if self.pool is None:
                self._count(self._store(named))
                return
            self._batches.append(self.pool.submit(self._store, named))
        self._collect(BATCHES_AHEAD)

    def settle(self) -> None:
        """Store everything that waits; it is durable when this returns."""
        self.flush(1)
        self._collect(0)

    def _collect(self, most: int) -> None:
        """Count the batches that are stored; wait until at most so many are not."""
        while self._batches and (len(self._batches) > most or self._batches[0].done()):
            self._count(self._batches.popleft().result())

    def _count(self, stored: StoredBatch) -> None:
        self.report.sightings += len(stored.ids)
        self.report.added += stored.added
        self.report.erased += stored.erased
        self.report.notices += stored.problems.values()
        if self.on_stored:
            self.on_stored(stored.ids)

    def _name(self, tracklet: Tracklet) -> str:
        base = self.name
        if self.names is not None:
            base = self.names.setdefault(tracklet.track, self.name)
        return f"{base}-{tracklet.track:05d}"

    def _store(self, named: list[tuple[str, Tracklet]]) -> StoredBatch:
        with self.report.stage("store"):
            return store(self.city, self.embedder, *self._sightings(named))

    def _sightings(
        self, named: list[tuple[str, Tracklet]]
    ) -> tuple[list[Sighting], list[bytes], list[bytes]]:
        """The sightings of some tracklets, the JPEG files of their crops and of their scenes."""
        facts, jpegs, scenes = [], [], []
        for name, tracklet in named:
            for crop in tracklet.crops:
                image = enhance(crop.image) if self.enhance else crop.image
                self.report.enhanced += image is not crop.image
                scenes.append(crop.scene.jpeg if crop.scene else b"")
                jpegs.append(encode_jpeg(image, _comment(crop, scenes[-1])))
                # frames are counted in each clip, times go on from one clip to the next
                number = f"{crop.frame:07d}" if self.names is None else f"{crop.time:013d}"
                fact = Sighting(
                    id=f"{name}-{number}",
                    camera=self.camera,
                    time=crop.time,
                    tracklet=name,
                    box=crop.box,
                    quality=crop.quality,
                )
                facts.append(with_clock(self.city, fact, crop.time))
        return facts, jpegs, scenes


def _comment(crop: Crop, scene: bytes) -> bytes:
    """Where the crop was cut."""
    if crop.scene is None:
        return b""
    return Context(
        clip=crop.scene.clip,
        frame=crop.frame,
        position=crop.scene.position,
        size=crop.scene.size,
        scene=sha256(scene) if scene else "",
    ).as_comment()
