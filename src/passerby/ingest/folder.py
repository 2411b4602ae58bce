"""Folders of pictures into a city: crops of people as they are, whole frames by a detector."""

from datetime import datetime
from pathlib import Path

from passerby.city import City, Sighting
from passerby.city.changes import with_clock
from passerby.city.networks import check_network
from passerby.errors import InputError
from passerby.files import sha256
from passerby.ingest.detector import Detector
from passerby.ingest.frame_files import FrameIngest
from passerby.ingest.picture_files import (
    FolderPictures,
    PictureFile,
    Pictures,
    set_times,
    sort_pictures,
)
from passerby.ingest.pipeline import ClipOptions
from passerby.ingest.store import (
    TABLE,
    FolderProgress,
    FolderReport,
    Row,
    Stored,
    ingest_table,
    store_rows,
)
from passerby.runtime import Embedder

__all__ = ["FolderReport", "ingest_folder", "ingest_table"]


def ingest_folder(
    city: City,
    folder: str | Path,
    *,
    embedder: Embedder,
    camera: str | None = None,
    start: str | int | datetime | None = None,
    detector: Detector | None = None,
    pictures: Pictures = "auto",
    options: ClipOptions | None = None,
    on_stored: Stored | None = None,
    on_progress: FolderProgress | None = None,
    any_time: bool = False,
) -> FolderReport:
    """Add a folder of pictures to a city.

    A folder with a ``sightings.parquet`` is read as :func:`ingest_table` does. In any other folder
    a crop is one sighting of ``camera``, and people are cut out of whole frames. Pictures stand at
    their EXIF time, those without one at ``start``. Frames with different times are tracked like a
    clip. A second run adds nothing.

    Args:
        city: The city to store in.
        folder: A simulated tree, or pictures.
        embedder: Turns crops into vectors; the network of the city's gallery.
        camera: Id of the camera, for a folder without a table.
        start: Time with a zone, for pictures without an EXIF time.
        detector: Finds people in whole frames.
        pictures: Which pictures are frames; "auto" goes by shape and size, see
            :func:`passerby.ingest.picture_files.sort_pictures`.
        options: How frames are read: ``every``, ``rate``, ``enhance`` and ``tracklets``.
        on_stored: Called with the ids of sightings that have become durable.
        on_progress: Called with the report after each batch.
        any_time: Take also times before 2000 or in the future.

    Raises:
        InputError: There is no such folder or camera, the folder has no pictures, a time is
            missing, has no zone or is not plausible, or there are whole frames and no detector.
            Nothing is stored then.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder '{folder}'")
    if (folder / TABLE).is_file():
        return ingest_table(
            city,
            folder / TABLE,
            embedder=embedder,
            on_stored=on_stored,
            on_progress=on_progress,
            any_time=any_time,
        )
    if camera is None:
        raise InputError(f"'{folder}' has no {TABLE}; say which camera and when")
    city.refresh()
    city.camera(camera)
    options = options or ClipOptions()
    found = sort_pictures(folder, pictures)
    if found.frames and detector is None:
        raise InputError(
            f"{found.frames_in_words()}; give a detector (--detector) that finds the people in "
            "them, or say --pictures crops where each picture shows one person"
        )
    report = FolderReport(
        source=str(folder), rows=len(found), problems=found.problems, other_files=found.other_files
    )
    report.notices += set_times(found, city, start, options.rate)
    _check_times(city, camera, found, any_time=any_time)
    report.done = len(found.problems)
    check_network(city.gallery, embedder.model_id)
    crops = [_row(city, one, camera) for one in found.crops]
    if detector is not None and found.frames:
        if crops:
            report.notices.append(f"crops: {len(crops)}; {found.frames_in_words()}")
        frames = FrameIngest(
            city=city,
            embedder=embedder,
            detector=detector,
            camera=camera,
            options=options,
            report=report,
            on_stored=on_stored,
            on_progress=on_progress,
        )
        frames.ingest(found.frames)
        report.nobody = not crops and not report.people
    store_rows(city, crops, embedder, report, on_stored=on_stored, on_progress=on_progress)
    return report


def frames_in(folder: Path, pictures: Pictures = "auto") -> str:
    """Say how many whole frames a folder has; "" where it has none, or a table.

    Raises:
        InputError: There is no such folder, or no picture in it.
    """
    if (folder / TABLE).is_file():
        return ""
    found = sort_pictures(folder, pictures)
    return found.frames_in_words() if found.frames else ""


def _check_times(city: City, camera: str, found: FolderPictures, *, any_time: bool) -> None:
    """Refuse pictures of a time in which the camera was not there, or that cannot be."""
    times = [one.time for one in (*found.crops, *found.frames)]
    for time in (min(times, default=None), max(times, default=None)):
        if time is not None:
            true = time + city.camera(camera, time).clock
            if not any_time:
                city.check_times(true, true, "the folder has pictures of")
            city.camera_at(camera, true)


def _row(city: City, picture: PictureFile, camera: str) -> Row:
    name = f"{sha256(picture.path)[:24]}-{camera}-{picture.time}"
    fact = Sighting(id=name, camera=camera, time=picture.time)
    return Row(path=picture.path, fact=with_clock(city, fact, picture.time))
