"""A contact sheet of a clip: every stored crop in one picture, to check an ingest by eye."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageDraw

from passerby.city import City, Sighting
from passerby.city.changes import clock_time, sightings_of_clip
from passerby.city.clips import ClipRecord
from passerby.errors import InputError
from passerby.files import replacing

MOST = 1_000  # crops of a sheet
WIDTH = 1_600  # pixels
CROP = (80, 160)  # width and height of the room for a crop
LINE = 14  # pixels of a line of text
GAP = 4
PAPER, INK, EDGE = (250, 250, 250), (30, 30, 30), (150, 150, 150)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What a contact sheet shows."""

    tracklets: int
    crops: int
    left_out: int
    """Sightings for which there was no room, or which have no crop."""


def write_sheet(city: City, clip: ClipRecord, path: Path) -> Sheet:
    """Draw the stored crops of a clip, people in order of their first crop, and write the picture.

    Each person begins with the time since the start of the clip. Under each crop stand the seconds
    since the person's first crop and the quality.

    Args:
        city: The city.
        clip: The clip.
        path: The picture to write; its ending says the format.

    Raises:
        InputError: The clip has no sighting with a crop, or the picture cannot be written.
    """
    found = sorted(sightings_of_clip(city, clip), key=lambda one: (one.time, one.id))
    first = {one.tracklet: one.time for one in reversed(found)}
    found.sort(key=lambda one: (first[one.tracklet], one.tracklet, one.time, one.id))
    drawn = [one for one in found if one.crop and city.crops.path(one.crop).is_file()][:MOST]
    if not drawn:
        raise InputError(f"the clip {clip.name} has no sighting with a crop")
    places = list(_places(drawn))
    height = max(y for _, _, y in places) + CROP[1] + 2 * LINE + GAP
    sheet = Image.new("RGB", (WIDTH, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    for one, x, y in places:
        if one.time == first[one.tracklet]:
            draw.line((x - GAP // 2, y, x - GAP // 2, y + CROP[1] + 2 * LINE), fill=EDGE)
            seconds = (clock_time(one) - (clip.start or 0)) / 1000
            draw.text((x, y), f"{seconds:.1f} s", fill=INK)
        with Image.open(city.crops.path(one.crop)) as crop:
            crop.thumbnail(CROP)
            sheet.paste(crop.convert("RGB"), (x, y + LINE))
        words = f"+{(one.time - first[one.tracklet]) / 1000:.1f}  {one.quality:.2f}"
        draw.text((x, y + LINE + CROP[1]), words, fill=INK)
    try:
        with replacing(path, mode=0o600) as partial:
            sheet.save(partial, Image.registered_extensions().get(path.suffix.lower(), "JPEG"))
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"'{path}' cannot be written: {error}") from None
    people = len({one.tracklet for one in drawn})
    return Sheet(tracklets=people, crops=len(drawn), left_out=len(found) - len(drawn))


def _places(found: list[Sighting]) -> Iterator[tuple[Sighting, int, int]]:
    """The place of each crop on the sheet; a person who fits into a line is not broken."""
    step, line = CROP[0] + GAP, CROP[1] + 2 * LINE + GAP
    x, y = GAP, GAP
    for _, group in groupby(found, key=lambda one: one.tracklet):
        own = list(group)
        if x > GAP and x + len(own) * step > WIDTH:
            x, y = GAP, y + line
        for one in own:
            if x + step > WIDTH:
                x, y = GAP, y + line
            yield one, x, y
            x += step
        x += GAP
