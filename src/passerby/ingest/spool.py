"""The spool of a live camera: recorded segments that wait for their ingest, within bounds."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from passerby.errors import InputError
from passerby.files import sync
from passerby.ingest.names import read_pattern
from passerby.ingest.segments import Segment
from passerby.times import now

GIGABYTE = 1_000_000_000
HOUR = 3_600_000  # milliseconds
PART = ".part"  # ends the name of a segment that is being written
KEPT = "kept"
TS_PACKET = 188  # bytes
FILLING = (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 16  # null packets, ISO 13818-1


@dataclass(frozen=True, kw_only=True)
class SpoolLimits:
    """How much a spool may hold; at a limit the recording stops, and goes on below it."""

    gigabytes: float = 10.0
    """Of segments."""
    hours: float = 24.0
    """Age of the oldest segment that waits for its ingest."""
    reserve_gigabytes: float = 2.0
    """Free space that is left on the disks of the spool and of the city."""
    keep_hours: float = 0.0
    """For how long segments are kept after their ingest; 0 deletes them then."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.gigabytes, self.hours) <= 0:
            raise InputError("the spool needs room: more than 0 gigabytes and 0 hours")
        if min(self.reserve_gigabytes, self.keep_hours) < 0:
            raise InputError("the reserve and the hours to keep cannot be below 0")


class Spool:
    """A folder of segments of one camera, named by camera and start (UTC)."""

    def __init__(self, folder: Path, camera: str, city: Path, limits: SpoolLimits) -> None:
        """Use a folder, which is made when there is none; others may not read it.

        What a recorder that was killed was writing becomes a segment: it can be read up to the
        last frame that was written.
        """
        self.folder, self.camera, self.limits = folder, camera, limits
        self._disks = (folder, city)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._pattern = read_pattern("record")
        for part in folder.glob(f".*{PART}"):
            if part.stat().st_size >= TS_PACKET:
                self.finish(part)
            else:
                part.unlink()

    def partial(self, start: int, suffix: str) -> Path:
        """The file to write a segment to that begins at ``start`` (milliseconds)."""
        moment = datetime.fromtimestamp(start // 1000, UTC)
        name = f"{quote(self.camera, safe='')}_{moment:%Y%m%d_%H%M%S}_{start % 1000:03d}{suffix}"
        return self.folder / f".{name}{PART}"

    def finish(self, part: Path) -> None:
        """Give a segment that is whole its name; it is durable when this returns."""
        if part.name.endswith(f".ts{PART}"):
            _make_whole(part)
        sync(part)
        part.rename(self.folder / part.name[1 : -len(PART)])
        sync(self.folder)

    def segments(self) -> list[Segment]:
        """The segments that wait for their ingest, in order of time."""
        found = []
        for path in self.folder.iterdir():
            named = None if path.name.startswith(".") else self._pattern.read(path)
            if named is not None and path.is_file():
                found.append(Segment(path=path, start=named.start))
        return sorted(found, key=lambda segment: segment.start or 0)

    def release(self, segment: Segment) -> None:
        """Delete a segment after its ingest, or keep it for a while."""
        if self.limits.keep_hours:
            (self.folder / KEPT).mkdir(mode=0o700, exist_ok=True)
            segment.path.rename(self.folder / KEPT / segment.path.name)
        else:
            segment.path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Delete kept segments that are too old, and the oldest ones while there is no room."""
        kept = self._kept()
        oldest = now() - self.limits.keep_hours * HOUR
        while kept and ((kept[0].start or 0) < oldest or self._no_room()):
            kept.pop(0).path.unlink(missing_ok=True)

    def full(self) -> str:
        """Why nothing more may be recorded now; empty when there is room."""
        if why := self._no_room():
            self.tidy()
            why = self._no_room()
        waiting = self.segments()
        if not why and waiting and now() - (waiting[0].start or 0) > self.limits.hours * HOUR:
            why = f"the oldest segment has waited for its ingest for {self.limits.hours:g} h"
        return why

    def _kept(self) -> list[Segment]:
        folder = self.folder / KEPT
        found = [self._pattern.read(path) for path in folder.iterdir()] if folder.is_dir() else []
        kept = [Segment(path=one.path, start=one.start) for one in found if one is not None]
        return sorted(kept, key=lambda segment: segment.start or 0)

    def _no_room(self) -> str:
        for disk in self._disks:
            if shutil.disk_usage(disk).free < self.limits.reserve_gigabytes * GIGABYTE:
                reserve = self.limits.reserve_gigabytes
                return f"the disk of '{disk}' has less than {reserve:g} GB free"
        size = sum(path.stat().st_size for path in self._files())
        if size >= self.limits.gigabytes * GIGABYTE:
            return f"the spool '{self.folder}' holds {self.limits.gigabytes:g} GB"
        return ""

    def _files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]


def _make_whole(stream: Path) -> None:
    """Cut a torn last packet off a transport stream, and fill a short one up.

    FFmpeg does not know a stream of a few packets for one.
    """
    size = stream.stat().st_size
    with stream.open("r+b") as file:
        file.truncate(size - size % TS_PACKET)
        if size < 2 * len(FILLING):
            file.seek(0, 2)
            file.write(FILLING)
