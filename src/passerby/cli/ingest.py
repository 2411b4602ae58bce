"""``passerby ingest``: bring a clip or a folder of crops into a city."""

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tqdm import tqdm

from passerby.cli.common import OfClips, Result, advance, say_left_out
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.city import City
    from passerby.ingest import Detector, FolderReport, IngestReport
    from passerby.ingest.manifest import CameraTask

FRAMES_LOST = 3  # exit status


@dataclass(frozen=True, kw_only=True)
class Ingest(Result, OfClips):
    """Bring clips, recordings, crops or whole frames into a city.

    A clip needs --camera and --start, and a person detector (--detector). A folder with a
    sightings.parquet (as `passerby simulate` writes it) needs none of them. A folder of pictures
    needs --camera, and --start where a picture has no EXIF time; people are cut out of whole
    frames. A second run adds nothing.

    A playlist (.m3u8) or a folder of clips is one recording of a camera: people go on over the
    edges of its segments. With --pattern, camera and start come from the names of the clips. A
    manifest (.toml) names many cameras; the verb then needs no other option. A run that was killed
    goes on where it was.

    The report says what became of every frame. Status 3: stored, but frames are missing or damaged.
    Status 1: a camera of several failed.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """A clip (mp4, mkv, avi, raw .264 ...), a folder, a playlist (.m3u8), a table as
    sightings.parquet, or a manifest of cameras (.toml)."""
    city: Path | None = None
    """Folder of the city; a manifest may name it."""
    camera: str | None = None
    """Id of the camera that took it."""
    start: str | None = None
    """When the first frame was taken, by the camera's clock; ISO 8601 with zone, as
    2026-05-01T08:00:00+08:00. For pictures: the time of those without an EXIF time."""
    pattern: str | None = None
    """How the clips of a folder are named: frigate, stamp (C01_20260501_080000.mp4), record, or a
    pattern such as {camera}/{year}{month}{day}_{hour}{minute}{second}.mp4."""
    zone: str | None = None
    """Time zone of these names: Europe/Berlin, +08:00, UTC ..."""
    workers: int | None = None
    """Cameras at once, of a manifest or a folder; 1, or what the manifest says."""
    rate: float | None = None
    """Frames a second, for clips without times or with wrong ones, and for frames in a folder."""
    pictures: Literal["auto", "crops", "frames"] = "auto"
    """What the pictures of a folder are: crops that show one person, or whole frames, in which the
    detector finds people. auto: a picture is a frame that is not higher than wide, is 480 pixels
    wide or more, or has the size of a video turned upright."""
    create_city: bool = False
    """Make the city when there is none: one block with this one camera, see --place."""
    place: tuple[float, float] | None = None
    """Longitude and latitude of a camera that the city does not have yet, degrees."""
    queue: str | None = None
    """Leave the work to `passerby work`: local (a table in the city's folder), or
    nats://HOST:PORT[/NAME] for workers on several machines."""
    again: bool = False
    """Also when the same content is there at another start or from another camera; with --queue:
    also when the same was ingested or put aside before; with a recording: also done segments."""
    any_time: bool = False
    """Also a time before 2000 or in the future."""

    def main(self) -> int:
        """Bring the source into the city, or its job into the queue."""
        from passerby.cli.recordings import is_recording

        if not self.source.exists():
            raise InputError(f"there is no clip or folder '{self.source}'")
        if is_recording(self.source, self.pattern):
            return _ingest_recordings(self)
        if self.city is None:
            raise InputError("say which city: --city FOLDER")
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


def _ingest_recordings(options: Ingest) -> int:
    from passerby.cli.recordings import ingest_tasks, read_tasks

    manifest = read_tasks(options)
    folder = options.city or manifest.city
    if folder is None:
        raise InputError("say which city: --city FOLDER, or city = FOLDER in the manifest")
    with _city(replace(options, city=folder)) as city:  # it is there, or has been made
        tasks = tuple(_with_precision(city, options, task) for task in manifest.tasks)
    facts, words, status = ingest_tasks(
        folder,
        tuple(replace(task, any_time=options.any_time) for task in tasks),
        workers=options.workers or manifest.workers,
        again=options.again,
    )
    options.show(facts, words)
    return status


def _with_precision(city: "City", options: Ingest, task: "CameraTask") -> "CameraTask":
    """A task whose detector is here, and whose precision is chosen by its first clip."""
    from passerby.ingest.precision import choose_precision

    name = replace(options, detector=task.detector).pull_detector("ingest")
    if task.precision != "auto":
        return task
    clip = next((one.path for one in task.segments if not one.missing and one.path.is_file()), None)
    precision, words = choose_precision(city, name, clip)
    if words:
        print(f"passerby ingest: {task.camera}: {words}", file=sys.stderr)
    return replace(task, precision=precision)


def _given(options: Ingest, name: str) -> bool:
    """Whether an option has another value than without it."""
    return bool(getattr(options, name) != Ingest.__dataclass_fields__[name].default)


def _check_clip_options(options: Ingest) -> None:
    wanted = {"camera": options.camera, "start": options.start}
    missing = [f"--{name}" for name, value in wanted.items() if value is None]
    if missing:
        raise InputError(f"a clip needs {' and '.join(missing)}; see 'passerby ingest --help'")


def _city(options: Ingest) -> "City":
    from passerby.city import City
    from passerby.city.address import has_city
    from passerby.ingest import create_small_city

    assert options.city is not None
    if has_city(options.city):
        city = City.open(options.city)
        if options.place is not None:
            _add_camera(city, options)
        return city
    if not options.create_city:
        raise InputError(
            f"there is no city in '{options.city}'; make one from a map (see 'passerby admin "
            "--help'), or add --create-city --place LONGITUDE LATITUDE for one camera"
        )
    if options.place is None or options.camera is None:
        raise InputError("--create-city needs --camera ID and --place LONGITUDE LATITUDE")
    return create_small_city(options.city, camera=options.camera, place=options.place)


def _add_camera(city: "City", options: Ingest) -> None:
    """Add the camera of --place to a city that does not have it.

    Raises:
        InputError: It stands elsewhere, or its place is outside the city's units.
    """
    from passerby.city import Camera
    from passerby.city.changes import add_camera

    name, place = options.camera, options.place
    if name is None or place is None:
        raise InputError("--place is the place of a camera; give its id with --camera")
    if name not in city.cameras:
        camera = add_camera(
            city, Camera(id=name, number=0, name=name, name_zh=name, unit="", place=place)
        )
        print(f"passerby ingest: camera '{name}' is new, in unit {camera.unit}", file=sys.stderr)
    elif city.camera(name).place != place:
        stands = ", ".join(f"{degrees:g}" for degrees in city.camera(name).place)
        raise InputError(
            f"camera '{name}' stands at {stands}; leave --place out, or say since when it has "
            f"stood elsewhere: passerby admin camera move {options.city} {name} --help"
        )


def _ingest_clip(city: "City", options: Ingest) -> tuple[dict[str, Any], str]:
    from passerby.ingest import ingest_clip
    from passerby.runtime import Embedder

    assert options.camera and options.start
    city.camera(options.camera)
    detector = options.load_detector("ingest", city, options.source)
    embedder = Embedder.load(options.model)
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
            options=options.clip_options(options.rate),
            on_progress=show,
            again=options.again,
            any_time=options.any_time,
        )
    for notice in report.notices:
        print(f"passerby ingest: {notice}", file=sys.stderr)
    return {**report.as_dict(), "lost": report.clip.lost}, (
        f"{report.frames} of {report.clip.decoded} frames, {report.tracklets} tracklets, "
        f"{report.sightings} sightings, {report.added} new in camera {options.camera}"
        + (f"; {report.fixed_objects} fixed objects left out" if report.fixed_objects else "")
        + (f"; {report.enhanced} dark crops were brightened" if report.enhanced else "")
    )


def _submit(city: "City", address: str, options: Ingest) -> tuple[dict[str, Any], str]:
    """Put the job into the queue; bad input is refused now, not by a worker."""
    from passerby.ingest.jobs import Job
    from passerby.ingest.jobs_worker import open_queue
    from passerby.times import parse_time

    if options.camera is not None:
        city.camera(options.camera)
    own = [name for name in ("detector", "precision", "model") if _given(options, name)]
    if own:
        words = ", ".join(f"--{name}" for name in own)
        print(
            f"passerby ingest: {words}: the workers use their own; see passerby work --help",
            file=sys.stderr,
        )
    start = None if options.start is None else parse_time(options.start, "the start of the source")
    if start is not None and not options.any_time:
        clock = city.camera(options.camera, start).clock if options.camera else 0
        city.check_times(start + clock, start + clock, f"'{options.source}' is of")
    job = Job(
        source=str(options.source.resolve()),
        camera=options.camera,
        start=start,
        every=options.every,
        rate=options.rate,
        longest_gap=options.longest_gap,
        crops=options.crops,
        enhance=options.enhance,
        again=options.again,
        any_time=options.any_time,
        pictures=options.pictures,
    )
    with open_queue(address, city.folder, city.id) as queue:
        new = queue.submit(job, again=options.again)
        found = queue.state(job.id)
    state = found.state if found else ""
    words = f"job {job.id}: {'submitted' if new else f'known, {state}'}"
    return {"job": job.id, "new": new, "state": state}, words


def _ingest_crops(city: "City", options: Ingest) -> tuple[dict[str, Any], str]:
    from passerby.ingest import ingest_folder, ingest_table
    from passerby.runtime import Embedder

    detector = _frame_detector(options, city)
    embedder = Embedder.load(options.model)
    with tqdm(unit=" pictures", desc=options.source.name, disable=None) as bar:

        def show(report: "FolderReport") -> None:
            advance(bar, report.done, report.rows)

        if options.source.is_dir():
            report = ingest_folder(
                city,
                options.source,
                embedder=embedder,
                camera=options.camera,
                start=options.start,
                detector=detector,
                pictures=options.pictures,
                options=options.clip_options(options.rate),
                on_progress=show,
                any_time=options.any_time,
            )
        else:
            report = ingest_table(
                city,
                options.source,
                embedder=embedder,
                on_progress=show,
                any_time=options.any_time,
            )
    for problem in report.problems.values():
        print(f"passerby ingest: left out: {problem}", file=sys.stderr)
    say_left_out("ingest", report.other_files)
    for notice in report.notices:
        print(f"passerby ingest: {notice}", file=sys.stderr)
    if report.nobody:
        raise InputError(
            f"nobody was found in '{options.source}' (frames: {report.frames}), and nothing is "
            "stored; give another --detector, or --pictures crops where each shows one person"
        )
    left_out = f", {len(report.problems)} left out" if report.problems else ""
    if not report.frames:
        return asdict(report), f"{report.rows} crops, {report.added} new{left_out}"
    return asdict(report), (
        f"{report.rows} pictures, {report.frames} of them whole frames with {report.people} "
        f"sightings, {report.added} new{left_out}"
    )


def _frame_detector(options: Ingest, city: "City") -> "Detector | None":
    """The detector for a folder's whole frames; None where it has none."""
    from passerby.ingest.folder import frames_in

    words = frames_in(options.source, options.pictures) if options.source.is_dir() else ""
    if not words:
        if options.detector:
            print(
                "passerby ingest: no picture has the shape of a whole frame, so --detector is not "
                "used; --pictures frames uses it for all",
                file=sys.stderr,
            )
        return None
    try:
        return options.load_detector("ingest", city, None)
    except InputError as error:
        raise InputError(
            f"{words}; they need a detector, or --pictures crops where each picture shows one "
            f"person: {error}"
        ) from None
