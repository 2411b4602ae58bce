"""What the files of a folder are: crops of people or whole frames, and when they were taken.

Only headers are read here. File names and file times say nothing that can be relied on, so they are
never taken for the time of a picture.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from PIL import Image

from passerby.city import City
from passerby.data.listing import LeftOut, find_pictures
from passerby.errors import InputError
from passerby.runtime import read_image
from passerby.times import EARLIEST, format_time, now, parse_time

Pictures = Literal["auto", "crops", "frames"]

FRAME_WIDTH = 480  # pixels; a person as wide as this is 1,200 pixels high
# video sizes of a camera turned upright, (width, height), that are narrower
UPRIGHT = {(180, 320), (240, 320), (240, 352), (270, 480), (288, 352), (288, 512), (360, 480)} | {
    (360, 640), (432, 768)
}  # fmt: skip
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
ORIENTATION, EXIF = 0x0112, 0x8769
TAKEN, OFFSET, FRACTION = 0x9003, 0x9011, 0x9291  # DateTimeOriginal and its companions


@dataclass(frozen=True, kw_only=True)
class PictureFile:
    """A picture that can be opened."""

    path: Path
    width: int
    """Pixels, as the picture is shown: EXIF orientation is applied."""
    height: int
    taken: datetime | None = None
    """EXIF's DateTimeOriginal; with a zone where OffsetTimeOriginal gives one."""
    time: int = 0
    """Milliseconds since the epoch, once :func:`set_times` has set it."""

    @property
    def whole_frame(self) -> bool:
        """Whether it has the shape or size of a frame, and not of one person cut out."""
        size = (self.width, self.height)
        return self.width >= self.height or self.width >= FRAME_WIDTH or size in UPRIGHT


@dataclass(kw_only=True)
class FolderPictures:
    """The pictures of a folder, in the order of their names."""

    crops: list[PictureFile] = field(default_factory=list)
    frames: list[PictureFile] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """File -> why it is left out."""
    other_files: dict[str, int] = field(default_factory=dict)
    """Reason and suffix -> files below the folder that are not taken as pictures."""

    def __len__(self) -> int:
        """Count all pictures, also those left out."""
        return len(self.crops) + len(self.frames) + len(self.problems)

    def frames_in_words(self) -> str:
        """Say how many whole frames there are, with an example."""
        first = self.frames[0]
        return (
            f"whole frames among the pictures: {len(self.frames)} of {len(self)}, such as "
            f"'{first.path.name}' ({first.width} x {first.height} pixels)"
        )


def sort_pictures(folder: Path, pictures: Pictures = "auto") -> FolderPictures:
    """Tell the crops of a folder from its whole frames.

    A picture is a frame if it is not higher than wide, is 480 pixels wide or more, or has the size
    of a video turned upright.

    Args:
        folder: Pictures, also in folders below.
        pictures: "crops" or "frames" where all of them are one kind, whatever their shape.

    Raises:
        InputError: There is no such folder, or no picture in it.
    """
    found, left_out = FolderPictures(), LeftOut()
    for path in find_pictures(folder, left_out):
        try:
            picture = _open(path)
        except InputError as error:
            found.problems[str(path)] = str(error)
            continue
        frame = picture.whole_frame if pictures == "auto" else pictures == "frames"
        (found.frames if frame else found.crops).append(picture)
    found.other_files = left_out.by_reason()
    return found


def _open(path: Path) -> PictureFile:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # read_image judges the number of pixels
            with Image.open(path) as image:
                exif = image.getexif()
                width, height = image.size
                taken = _taken(exif.get_ifd(EXIF))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        read_image(path)  # says it in the words of all pictures
        raise InputError(f"'{path}' has a damaged header: {error}") from None
    if exif.get(ORIENTATION, 1) in TURNED:
        width, height = height, width
    return PictureFile(path=path, width=width, height=height, taken=taken)


def _taken(exif: Any) -> datetime | None:
    """EXIF's time of the picture; None without one, or with one that cannot be read."""
    try:
        taken = datetime.strptime(str(exif[TAKEN]).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except (KeyError, ValueError):
        return None
    fraction = str(exif.get(FRACTION, "")).strip("\0 ")
    if fraction.isdecimal():
        taken += timedelta(milliseconds=int(f"{fraction:0<3}"[:3]))
    try:
        zone = datetime.strptime(str(exif.get(OFFSET, "")).strip("\0 "), "%z").tzinfo
    except ValueError:
        return taken
    return taken.replace(tzinfo=zone)


def set_times(
    found: FolderPictures, city: City, start: str | int | datetime | None, rate: float | None
) -> list[str]:
    """Set the time of each picture, and move those with an impossible one to the problems.

    EXIF's time counts. One without a zone is read in the zone of ``start``, else in the city's.
    Pictures without one are taken at ``start``; with ``rate``, frames follow each other from
    ``start`` on, in the order of their names, whatever EXIF says.

    Returns:
        What the operator should know.

    Raises:
        InputError: A picture has no EXIF time and there is no ``start``, or a zone is missing.
    """
    begin = None if start is None else parse_time(start, "the time of the folder")
    if rate is not None and found.frames:
        if begin is None or rate <= 0:
            raise InputError("frames at a rate need --start, and a --rate above 0")
        found.frames = [
            replace(one, time=begin + round(1000 * number / rate))
            for number, one in enumerate(found.frames)
        ]
    frames = found.frames if rate is None else []
    timeless = [one for one in (*found.crops, *frames) if one.taken is None]
    if timeless and begin is None:
        raise InputError(
            f"pictures without an EXIF time: {len(timeless)} of {len(found)}, such as "
            f"'{timeless[0].path.name}'; say which camera and when: --camera and --start"
        )
    zone, notices = _zone([*found.crops, *frames], city, start)
    notices += _said(found.crops, frames)
    found.crops = _clocked(found.crops, begin, zone, found.problems)
    if rate is None:
        found.frames = _clocked(found.frames, begin, zone, found.problems)
    return notices


def _zone(
    pictures: Sequence[PictureFile], city: City, start: object
) -> tuple[tzinfo | None, list[str]]:
    """The zone of EXIF times that have none, and what is said of it."""
    unclear = [one for one in pictures if one.taken and one.taken.tzinfo is None]
    if not unclear:
        return None, []
    words = f"pictures whose EXIF time has no zone: {len(unclear)} of {len(pictures)}"
    moment = datetime.fromisoformat(start.strip()) if isinstance(start, str) else start
    if isinstance(moment, datetime) and (offset := moment.utcoffset()) is not None:
        return timezone(offset), [f"{words}; it is read as {timezone(offset)}, as --start has it"]
    settings = city.setting("service")
    name = settings.get("time_zone") if isinstance(settings, dict) else None
    if not name:
        raise InputError(
            f"{words}, such as '{unclear[0].path.name}'; give --start with one, or set the city's: "
            "passerby admin settings CITY --set time_zone=ZONE"
        )
    return ZoneInfo(name), [f"{words}; it is read as {name}, the city's"]


def _clocked(
    pictures: Sequence[PictureFile],
    begin: int | None,
    zone: tzinfo | None,
    problems: dict[str, str],
) -> list[PictureFile]:
    """The pictures with their times, without those whose time cannot be right."""
    result = []
    for one in pictures:
        time = begin or 0
        if one.taken is not None:
            time = parse_time(one.taken if one.taken.tzinfo else one.taken.replace(tzinfo=zone))
            if not EARLIEST <= time <= now():
                problems[str(one.path)] = (
                    f"'{one.path}' has the EXIF time {format_time(time)}, which cannot be right; "
                    "remove it from the file to use --start"
                )
                continue
        result.append(replace(one, time=time))
    return result


def _said(crops: Sequence[PictureFile], frames: Sequence[PictureFile]) -> list[str]:
    """Say where the times come from."""
    pictures = (*crops, *frames)
    timeless = sum(one.taken is None for one in pictures)
    if timeless == len(pictures):
        if len(frames) < 2:
            return []
        return [
            f"frames without an EXIF time, all at --start: {len(frames)}; with --rate they follow "
            "each other in the order of their names"
        ]
    words = f"pictures at their EXIF time: {len(pictures) - timeless} of {len(pictures)}"
    return [f"{words}; the others have none and stand at --start" if timeless else words]
