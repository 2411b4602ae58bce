"""``passerby ingest``: bring a clip or a folder of crops into a city."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tqdm import tqdm

from passerby.cli.common import Result, advance
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.city import City
    from passerby.ingest import FolderReport, IngestReport

FRAMES_LOST = 3  # exit status


@dataclass(frozen=True, kw_only=True)
class Ingest(Result):
    """Bring a clip or a folder of crops into a city.

    A clip needs --camera, --start and --detector. A folder with a sightings.parquet (as
    `passerby simulate` writes it) needs none of them; a folder of pictures that each show one
    person needs --camera and --start. A second run adds nothing.

    The report says what became of every frame. Status 3: stored, but frames are missing or damaged.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """A clip (mp4, mkv, avi, raw .264 ...), a folder, or a table as sightings.parquet."""
    city: Path
    """Folder of the city."""
    camera: str | None = None
    """Id of the camera that took it."""
    start: str | None = None
    """When the first frame was taken, ISO 8601 with zone, as 2026-05-01T08:00:00+08:00."""
    detector: Path | None = None
    """Person detector: OpenVINO .xml or .onnx with SSD output, as person-detection-retail-0013."""
    model: str = "default"
    """Embedding network: default (the bundled one) or a file (.safetensors, .onnx, .xml)."""
    every: int = 1
    """Look at every n-th frame."""
    rate: float | None = None
    """Frames a second, for clips without times or with wrong ones."""
    longest_gap: float = 60.0
    """Seconds without a frame that count as a gap in the recording. After a longer one the clip's
    clock was set anew, and what follows is placed right after what went before."""
    crops: int = 4
    """Sightings kept of each tracklet, at most."""
    enhance: bool = False
    """Raise the exposure of dark crops and calm their noise."""
    create_city: bool = False
    """Make the city when there is none: one block with this one camera, see --place."""
    place: tuple[float, float] | None = None
    """Longitude and latitude of the camera of a new city, degrees."""
    queue: str | None = None
    """Leave the work to `passerby work`: local (a table in the city's folder), or
    nats://HOST:PORT[/NAME] for workers on several machines."""
    again: bool = False
    """With --queue: also when the same was ingested or put aside before."""

    def main(self) -> int:
        """Bring the source into the city, or its job into the queue."""
        if not self.source.exists():
            raise InputError(f"there is no clip or folder '{self.source}'")
        clip = not self.source.is_dir() and self.source.suffix != ".parquet"
        if clip:
            _check_clip_options(self)
        with _city(self) as city:
            if self.queue is not None:
                facts, words = _submit(city, self.queue, self)
            else:
                facts, words = (_ingest_clip if clip else _ingest_crops)(city, self)
        self.show(facts, words)
        return FRAMES_LOST if facts.get("lost") else 0


def _check_clip_options(options: Ingest) -> None:
    wanted = {"camera": options.camera, "start": options.start}
    if options.queue is None:  # else it is the worker's
        wanted["detector"] = str(options.detector) if options.detector else None
    missing = [f"--{name}" for name, value in wanted.items() if value is None]
    if missing:
        raise InputError(f"a clip needs {' and '.join(missing)}; see 'passerby ingest --help'")


def _city(options: Ingest) -> "City":
    from passerby.city import City
    from passerby.city.address import has_city
    from passerby.ingest import create_small_city

    if has_city(options.city):
        return City.open(options.city)
    if not options.create_city:
        raise InputError(
            f"there is no city in '{options.city}'; make one from a map (see 'passerby admin "
            "--help'), or add --create-city --place LONGITUDE LATITUDE for one camera"
        )
    if options.place is None or options.camera is None:
        raise InputError("--create-city needs --camera ID and --place LONGITUDE LATITUDE")
    return create_small_city(options.city, camera=options.camera, place=options.place)


def _ingest_clip(city: "City", options: Ingest) -> tuple[dict[str, Any], str]:
    from passerby.ingest import ClipOptions, Detector, TrackletOptions, ingest_clip
    from passerby.runtime import Embedder

    assert options.camera and options.start and options.detector
    city.camera(options.camera)
    detector, embedder = Detector.load(options.detector), Embedder.load(options.model)
    with tqdm(unit=" frames", desc=options.source.name, disable=None) as bar:

        def show(report: "IngestReport") -> None:
            advance(bar, report.frames)
            bar.set_postfix(people=report.tracklets, sightings=report.sightings)

        report = ingest_clip(
            city,
            options.source,
            camera=options.camera,
            start=options.start,
            detector=detector,
            embedder=embedder,
            options=ClipOptions(
                every=options.every,
                rate=options.rate,
                longest_gap=options.longest_gap,
                enhance=options.enhance,
                tracklets=TrackletOptions(crops=options.crops),
            ),
            on_progress=show,
        )
    for notice in report.notices:
        print(f"passerby ingest: {notice}", file=sys.stderr)
    return {**report.as_dict(), "lost": report.clip.lost}, (
        f"{report.frames} of {report.clip.decoded} frames, {report.tracklets} tracklets, "
        f"{report.sightings} sightings, {report.added} new in camera {options.camera}"
        + (f"; {report.fixed_objects} fixed objects left out" if report.fixed_objects else "")
    )


def _submit(city: "City", address: str, options: Ingest) -> tuple[dict[str, Any], str]:
    """Put the job into the queue; bad input is refused now, not by a worker."""
    from passerby.ingest.jobs import Job
    from passerby.ingest.jobs_worker import open_queue
    from passerby.times import parse_time

    if options.camera is not None:
        city.camera(options.camera)
    start = None if options.start is None else parse_time(options.start, "the start of the source")
    job = Job(
        source=str(options.source.resolve()),
        camera=options.camera,
        start=start,
        every=options.every,
        rate=options.rate,
        crops=options.crops,
        enhance=options.enhance,
    )
    with open_queue(address, city.folder) as queue:
        new = queue.submit(job, again=options.again)
        found = queue.state(job.id)
    state = found.state if found else ""
    words = f"job {job.id}: {'submitted' if new else f'known, {state}'}"
    return {"job": job.id, "new": new, "state": state}, words


def _ingest_crops(city: "City", options: Ingest) -> tuple[dict[str, Any], str]:
    from passerby.ingest import ingest_folder, ingest_table
    from passerby.runtime import Embedder

    embedder = Embedder.load(options.model)
    with tqdm(unit=" crops", desc=options.source.name, disable=None) as bar:

        def show(report: "FolderReport") -> None:
            advance(bar, report.done, report.rows)

        if options.source.is_dir():
            report = ingest_folder(
                city,
                options.source,
                embedder=embedder,
                camera=options.camera,
                start=options.start,
                on_progress=show,
            )
        else:
            report = ingest_table(city, options.source, embedder=embedder, on_progress=show)
    for problem in report.problems.values():
        print(f"passerby ingest: left out: {problem}", file=sys.stderr)
    left_out = f", {len(report.problems)} left out" if report.problems else ""
    return asdict(report), f"{report.rows} crops, {report.added} new{left_out}"
