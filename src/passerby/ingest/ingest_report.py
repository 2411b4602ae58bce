"""What the ingest of a clip did."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

from passerby.ingest.video import FrameCounts

STAGES = ("decode", "detect", "track", "store")
RECORDING_GAP = 5_000  # milliseconds without a frame, or three of its usual steps if these are more


@dataclass(kw_only=True)
class IngestReport:
    """What the ingest of a clip did; the counts grow while it runs."""

    source: str
    camera: str = ""
    name: str = ""
    """Of the clip in this camera at this time; the ids of its sightings begin with it."""
    clip: FrameCounts = field(default_factory=FrameCounts)
    """What became of the clip's frames."""
    frames: int = 0
    """Frames the detector looked at."""
    detections: int = 0
    """Boxes above the tracker's strong confidence."""
    tracklets: int = 0
    """People followed; a long stay is one."""
    fixed_objects: int = 0
    """Things that neither move nor change, such as signposts; they are not stored."""
    sightings: int = 0
    """Crops chosen, known ones included."""
    added: int = 0
    """Sightings that were new to the city."""
    erased: int = 0
    """Crops that were erased from the city before; they are not stored again."""
    enhanced: int = 0
    """Crops that were dark and were brightened."""
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    """Seconds per stage: decode, detect, track, store; the stages run at the same time."""
    notices: list[str] = field(default_factory=list)
    """What the operator should know."""
    first: int | None = None
    """Time of the first frame by the camera's clock, milliseconds."""
    last: int | None = None
    gaps: list[tuple[int, int]] = field(default_factory=list)
    """(from, to) of each gap in the recording."""
    step: int = 0
    """Milliseconds between the last two frames that were looked at."""

    def saw(self, time: int) -> None:
        """Count a frame in what was recorded."""
        if self.first is None or self.last is None:
            self.first = self.last = time
            return
        step = time - self.last
        if step > max(RECORDING_GAP, 3 * self.step):
            self.gaps.append((self.last + 1, time))
        self.step, self.last = step, time

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        begin = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += perf_counter() - begin

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return asdict(self)
