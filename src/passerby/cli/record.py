"""``passerby record``: a live camera into a city."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import tyro

from passerby.cli.common import OfClips, Result
from passerby.errors import InputError
from passerby.times import format_time, now

if TYPE_CHECKING:
    from passerby.ingest.live import LiveReport
    from passerby.ingest.rtsp import Camera

FRAMES_LOST = 3  # exit status


@dataclass(frozen=True, kw_only=True)
class Record(Result, OfClips):
    """Record a live camera and bring what it saw into a city.

    A recorder, and nothing else: the stream is copied into segments, each segment is ingested when
    it is whole, and search stays after the event. There are no alarms. It connects again whenever
    the camera is away; each time without a recording is said and is no time in which nobody was
    seen. Ctrl-C (or SIGTERM) finishes the segment, ingests what is left, and ends; a second one
    ends at once, and the next run goes on with the segments in the spool.
    """

    address: Annotated[str, tyro.conf.Positional]
    """rtsp://HOST/PATH or rtsps://. User and password may be in it; better in --credentials or in
    the variable PASSERBY_RTSP_CREDENTIALS, which no shell keeps."""
    city: Path
    """Folder of the city."""
    camera: str
    """Id of the camera."""
    credentials: Path | None = None
    """File with user:password on one line."""
    transport: str = "tcp"
    """tcp or udp, for the packets of rtsp://."""
    segment: float = 60.0
    """Seconds of a segment; it ends at the next key frame."""
    stall: float = 10.0
    """Seconds without a packet after which the connection is given up and made anew."""
    seconds: float | None = None
    """Record for so long and end; without it until stopped."""
    spool: Path | None = None
    """Folder of the segments that wait for their ingest; CITY/spool/CAMERA by default."""
    spool_gb: float = 10.0
    """At so many gigabytes in the spool the recording stops until there is room."""
    spool_hours: float = 24.0
    """The recording stops while a segment has waited for its ingest for so many hours."""
    reserve_gb: float = 2.0
    """The recording stops while the disk of the spool or of the city has less gigabytes free."""
    keep_hours: float = 0.0
    """Keep segments for so many hours after their ingest; 0 deletes them at once."""

    def main(self) -> int:
        """Record and ingest until stopped."""
        from passerby.ingest.rtsp import cover_arguments, read_address

        secret = self.address.partition("//")[2].rpartition("@")[0]
        if secret:
            cover_arguments(secret)
        source = read_address(self.address, self.credentials)
        if self.transport not in ("tcp", "udp"):
            raise InputError(f"--transport is tcp or udp, not '{self.transport}'")
        if min(self.segment, self.stall) <= 0:
            raise InputError("--segment and --stall must be more than 0 seconds")
        report = _record(self, source)
        facts = report.as_dict()
        record, ingest = report.record, report.ingest
        left = f", {report.waiting} segments left in the spool" if report.waiting else ""
        self.show(
            facts,
            f"{record.seconds:.1f} s recorded in {record.segments} segments, "
            f"{record.connections} connections, {len(record.gaps)} gaps; {ingest.frames} frames, "
            f"{ingest.tracklets} tracklets, {ingest.added} new sightings in camera "
            f"{self.camera}{left}",
        )
        return FRAMES_LOST if ingest.lost else 0


def _record(options: Record, source: "Camera") -> "LiveReport":
    from passerby.city import City
    from passerby.cli.work import asked_to_stop
    from passerby.ingest.live import Live, stop_after
    from passerby.ingest.rtsp import Recorder
    from passerby.ingest.spool import Spool, SpoolLimits
    from passerby.runtime import Embedder

    def say(text: str) -> None:
        line = f"passerby record: {format_time(now())} {options.camera}: {source.hide(text)}"
        print(line, file=sys.stderr, flush=True)

    with City.open(options.city) as city:
        city.camera(options.camera)
        folder = options.spool or city.folder / "spool" / quote(options.camera, safe="")
        limits = SpoolLimits(
            gigabytes=options.spool_gb,
            hours=options.spool_hours,
            reserve_gigabytes=options.reserve_gb,
            keep_hours=options.keep_hours,
        )
        spool = Spool(folder, options.camera, city.folder, limits)
        recorder = Recorder(
            source,
            spool,
            seconds=options.segment,
            stall=options.stall,
            transport=options.transport,
            say=say,
        )
        live = Live(
            city=city,
            camera=options.camera,
            recorder=recorder,
            spool=spool,
            detector=options.load_detector("record", city, None),
            embedder=Embedder.load(options.model),
            options=options.clip_options(),
            say=say,
        )
        words = "passerby record: finishes the segment and what is left; again to end at once"
        with asked_to_stop(recorder.stop, words):
            if options.seconds is not None:
                stop_after(options.seconds, recorder)
            return live.run()
