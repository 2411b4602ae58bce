"""What the ingest of a recording did."""

from dataclasses import asdict, dataclass, field
from typing import Any

from passerby.ingest.ingest_report import IngestReport
from passerby.ingest.video import FrameCounts

COUNTED = ("decoded", "used", "damaged", "corrupt", "missing")
SUMMED = (
    "frames", "detections", "tracklets", "fixed_objects", "sightings", "added", "erased",
    "enhanced",
)  # fmt: skip


@dataclass(kw_only=True)
class RecordingReport:
    """What the ingest of a recording did; the counts grow while it runs.

    The counts are those of all segments since the last run that came to its end: what a killed run
    had done, and could not report, is in the report of the run that went on.
    """

    source: str
    camera: str
    segments: int = 0
    """Segments of the recording."""
    before: int = 0
    """Of them: done by a run that came to its end."""
    done: int = 0
    """Of them: done since."""
    resumed: int = 0
    """Of those done since: done by a run that was killed."""
    clip: FrameCounts = field(default_factory=FrameCounts)
    """What became of the frames."""
    frames: int = 0
    """Frames the detector looked at."""
    detections: int = 0
    tracklets: int = 0
    fixed_objects: int = 0
    """Things that neither move nor change; they are not stored."""
    sightings: int = 0
    added: int = 0
    """Sightings that were new to the city, in this run."""
    erased: int = 0
    """Crops that were erased from the city before; they are not stored again."""
    enhanced: int = 0
    """Crops that were dark and were brightened."""
    failed: dict[str, str] = field(default_factory=dict)
    """Segment -> why it could not be read."""
    recorded: list[tuple[int, int]] = field(default_factory=list)
    """Start and end of each uninterrupted stretch, in milliseconds since the epoch."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds per stage."""
    notices: list[str] = field(default_factory=list)
    """What the operator should know."""

    @property
    def lost(self) -> bool:
        """Whether frames that were recorded are not in the city."""
        return self.clip.lost or bool(self.failed)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return {**asdict(self), "lost": self.lost}

    def add(self, report: IngestReport) -> None:
        """Add what was done in a segment."""
        for name in COUNTED:
            setattr(self.clip, name, getattr(self.clip, name) + getattr(report.clip, name))
        for name in ("left_out", "moved"):
            _sum(getattr(self.clip, name), getattr(report.clip, name))
        for name in SUMMED:
            setattr(self, name, getattr(self, name) + getattr(report, name))
        _sum(self.seconds, report.seconds)
        self.notices += report.notices

    def add_time(self, start: int, end: int) -> None:
        """Add the time of a segment to the stretches."""
        if self.recorded and self.recorded[-1][1] == start:
            self.recorded[-1] = (self.recorded[-1][0], end)
        else:
            self.recorded.append((start, end))


def _sum(totals: dict[str, Any], values: dict[str, Any]) -> None:
    for name, value in values.items():
        totals[name] = totals.get(name, 0) + value


def restored(facts: dict[str, Any]) -> IngestReport:
    """A report of a segment as the position file has it."""
    return IngestReport(**{**facts, "clip": FrameCounts(**facts["clip"])})
