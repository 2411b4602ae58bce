"""``passerby admin gallery``: add to, check, copy, switch and take over a store of sightings."""

import re
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tqdm import tqdm

from passerby.cli.common import OfCity, Result, advance
from passerby.errors import InputError
from passerby.times import parse_time

if TYPE_CHECKING:
    from passerby.city import City, Gallery
    from passerby.city.gallery.records import Batch
    from passerby.city.reembedding import Reembedding

LONGEST_ID = 200
_CROP = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Add(OfCity):
    """Add millions of sightings with their vectors from a Parquet table; may be repeated."""

    table: Annotated[Path, tyro.conf.Positional]
    """Columns id, camera, time, vector; see the page on the gallery for the others."""
    model: str | None = None
    """Id of the network that made the vectors, for a table without the column `model`."""
    at_once: int = 20_000
    """Sightings made durable in one step."""
    any_time: bool = False
    """Also times before 2000 or in the future."""

    def main(self) -> None:
        """Add, and say how many are new."""
        from passerby.city.erasing import left_out, without_erased
        from passerby.ingest.vectors import read_sightings, rows_in

        new = left = 0
        with (
            self.open() as city,
            tqdm(total=rows_in(self.table), unit=" sightings", file=sys.stderr) as bar,
        ):
            for part in read_sightings(self.table, model=self.model, at_once=self.at_once):
                _check_rows(city, part)
                times = part.columns["time"]
                if times and not self.any_time:
                    what = f"the table '{self.table}' has sightings of"
                    city.check_times(min(times), max(times), what)
                kept, gone = without_erased(city, part)
                new += city.add_sightings(kept)
                left += gone
                bar.update(len(part))
            print(f"{new} sightings added, {city.gallery.count()} in all")
        for notice in left_out(left):
            print(f"passerby admin gallery add: {notice}", file=sys.stderr)


def _check_rows(city: "City", part: "Batch") -> None:
    """Refuse rows that claim another unit than their camera's, no crop's name, or a huge id.

    A table is brought from outside. A row that names a unit of its own would show a camera's
    people to whoever may see that unit.
    """
    columns = part.columns
    names = ("id", "camera", "unit", "crop", "time")
    for name, camera, unit, crop, time_ms in zip(*(columns[one] for one in names), strict=True):
        if len(name) > LONGEST_ID:
            raise InputError(
                f"a sighting's id has {len(name)} characters, '{name[:40]}...'; use at most "
                f"{LONGEST_ID}"
            )
        parse_time(time_ms, f"the time of sighting '{name}'")
        stands = city.camera(camera, time_ms).unit
        if unit and unit != stands:
            raise InputError(
                f"sighting '{name}' claims the unit '{unit}', its camera '{camera}' stands in "
                f"'{stands}'; leave the column 'unit' out or correct it"
            )
        if crop and not _CROP.fullmatch(crop):
            raise InputError(
                f"sighting '{name}' has the crop '{crop[:80]}', which is no SHA-256 of 64 "
                "hexadecimal digits; leave it empty where there is none"
            )


@dataclass(frozen=True, kw_only=True)
class Reembed(OfCity):
    """Embed a gallery anew with another network, from the kept crops, beside service."""

    model: str = "default"
    """The new network: a name, or a file."""
    drop_lost: bool = False
    """Delete sightings whose crop is gone; otherwise they stop the work."""
    give_up: bool = False
    """Delete what an unfinished call has stored, and keep the old model."""

    def main(self) -> None:
        """Embed anew, or give up an unfinished call."""
        from passerby.city.reembedding import reembed
        from passerby.runtime import Embedder

        embedder = Embedder.load(self.model)
        with self.open() as city:
            old = city.gallery.model_id
            if self.give_up:
                city.gallery.stage(embedder.model_id).drop()
                print(f"given up; the gallery stays with {old}")
                return
            with tqdm(unit=" sightings", file=sys.stderr) as bar:

                def show(work: "Reembedding") -> None:
                    advance(bar, work.done, work.total)

                work = reembed(
                    city.gallery,
                    city.crops,
                    embedder,
                    drop_lost=self.drop_lost,
                    on_progress=show,
                )
        print(
            f"{work.done} sightings embedded, {work.dropped} dropped; {old} -> {embedder.model_id}"
        )


@dataclass(frozen=True, kw_only=True)
class Upgrade(OfCity):
    """Take over a gallery of the first edition; compares every sighting; goes on where it stopped.

    Stop the service and the workers of the city first. The old files are deleted at the end.
    """

    def main(self) -> None:
        """Take over, and say how much."""
        from passerby.city.first_edition import take_over
        from passerby.city.gallery.embedded import FIRST_EDITION

        with self.open() as city:
            place = Path(city.gallery_place)
        if not (place / FIRST_EDITION).exists():
            print(f"{self.city} has no gallery of the first edition; nothing to do")
            return
        with tqdm(unit=" sightings", file=sys.stderr) as bar:
            done = take_over(place, progress=bar.update)
        print(f"{done} sightings taken over, each compared; the old files are deleted")


@dataclass(frozen=True, kw_only=True)
class Check(Result, OfCity):
    """Say whether a gallery can be read and written; status 1 when anything is wrong."""

    full: bool = False
    """Read every byte and compare it with its checksum."""

    def main(self) -> int:
        """Print the health and the problems."""
        with self.open() as city:
            health = city.gallery.health().as_dict()
            problems = list(health["problems"])
            if self.full:
                problems += [one for one in city.gallery.verify() if one not in problems]
        if not self.json:
            for problem in problems:
                print(f"passerby admin gallery check: {problem}", file=sys.stderr)
        free = "" if health["free_bytes"] is None else f", {health['free_bytes'] >> 20} MiB free"
        self.show(
            {**health, "problems": problems},
            f"readable: {'yes' if health['readable'] else 'no'}, "
            f"writable: {'yes' if health['writable'] else 'no'}, {len(problems)} problems{free}",
        )
        return 1 if problems else 0


@dataclass(frozen=True, kw_only=True)
class Copy(Result):
    """Copy a gallery into another store and compare every sighting; goes on where it stopped.

    FROM and TO are folders of a city or of a gallery, or addresses like
    milvus://HOST:19530/NAME (see the page on several machines).
    """

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FROM")]
    """Where the sightings are."""
    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TO")]
    """An empty gallery, or one with an interrupted copy of the same."""

    def main(self) -> None:
        """Copy and compare, and say how much and its checksum."""
        from passerby.city.copying import copy

        start = time.monotonic()
        with ExitStack() as stack:
            source = stack.enter_context(closing(_gallery(self.source, new=False)))
            target = stack.enter_context(closing(_gallery(self.target, new=True)))
            bar = stack.enter_context(tqdm(total=source.count(), unit="sighting", unit_scale=True))
            done = copy(source, target, progress=bar.update)
        checksum = f"{done.checksum:016x}"
        self.show(
            {
                "sightings": done.sightings,
                "stored": done.stored,
                "checksum": checksum,
                "seconds": round(time.monotonic() - start, 3),
            },
            f"{done.sightings} sightings in {self.target}, {done.stored} of them new, all equal "
            f"(checksum {checksum})",
        )


def _gallery(where: str, *, new: bool) -> "Gallery":
    """Open the gallery at an address, in a city's folder or in its own."""
    from passerby.city import City, open_gallery
    from passerby.city.address import has_city
    from passerby.city.gallery.milvus_link import MilvusAddress, is_milvus

    if has_city(where):
        with City.open(where) as city:
            where = str(city.gallery_place)
    if is_milvus(where):  # what was written is read back at once
        return open_gallery(str(replace(MilvusAddress.parse(where), consistency="Strong")))
    if not new and not Path(where).is_dir():
        raise InputError(f"there is no gallery in {where}; name its folder or its address")
    return open_gallery(Path(where))


@dataclass(frozen=True, kw_only=True)
class Use(OfCity):
    """Say which gallery a city uses, after it was copied there; restart the service then."""

    address: Annotated[str, tyro.conf.Positional]
    """milvus://HOST:19530/NAME, or `folder` for the one in the city's folder."""

    def main(self) -> None:
        """Open the gallery, and let the city use it."""
        from passerby.city import open_gallery
        from passerby.city.city import GALLERY
        from passerby.city.erasing import remaining
        from passerby.city.gallery.milvus_link import MilvusAddress

        with self.open() as city:
            place = None if self.address == "folder" else str(MilvusAddress.parse(self.address))
            with closing(open_gallery(place or city.folder / "gallery")) as gallery:
                sightings, model = gallery.count(), gallery.model_id
            city.set_setting(GALLERY, place)
        with self.open() as city:  # a copy from before an erasure holds what was erased
            left = len(remaining(city))
        if left:
            print(
                f"passerby admin gallery use: {left} sightings in it were erased from the city; "
                "erase them again: passerby admin erase CITY --again",
                file=sys.stderr,
            )
        print(f"{self.city} uses {place or 'its own folder'}: {sightings} sightings of {model}")
