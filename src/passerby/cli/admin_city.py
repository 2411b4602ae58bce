"""``passerby admin create | stats | verify | retention | compact | snapshot``."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from passerby.cli.arguments import OfCity, parse
from passerby.errors import InputError

RETENTION = "retention_days"
DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class Create(OfCity):
    """Make a city from GeoJSON files (see docs) or from a simulated tree."""

    simulated: Path | None = None
    """Folder that `passerby simulate` wrote; gives all three maps."""
    units: Path | None = None
    """Polygons of the units, GeoJSON."""
    cameras: Path | None = None
    """Points of the cameras, GeoJSON."""
    streets: Path | None = None
    """Lines of the streets, GeoJSON; without them distances are straight lines."""
    database: str | None = None
    """Address of an empty PostgreSQL database for the catalogue of a city on several machines:
    postgresql://USER@HOST:PORT/NAME, without a password. Without it: a file in the folder."""


@dataclass(frozen=True, kw_only=True)
class Look(OfCity):
    """Say how large a city's gallery is and what it holds."""

    json: bool = False
    """Print JSON."""


@dataclass(frozen=True, kw_only=True)
class Verify(OfCity):
    """Read a gallery in full and name what is damaged; status 1 when anything is."""


@dataclass(frozen=True, kw_only=True)
class Retention(OfCity):
    """Delete sightings older than so many days, with their crops; run it once a day."""

    days: float | None = None
    """Keep this many days, and remember it for the city. Without it: as remembered."""
    dry_run: bool = False
    """Only say how many would go."""


@dataclass(frozen=True, kw_only=True)
class Compact(OfCity):
    """Rewrite what holds deleted sightings, so that their bytes are gone from the disk."""


@dataclass(frozen=True, kw_only=True)
class Snapshot(OfCity):
    """Copy a gallery while it is in use; the copy opens like the original."""

    target: Annotated[Path, tyro.conf.Positional]
    """New folder for the copy."""


def create(arguments: Sequence[str]) -> int:
    """Run ``passerby admin create``."""
    options: Create = parse(Create, arguments, "admin create")
    from passerby.city import City

    if options.simulated is not None:
        city = City.from_simulation(options.city, options.simulated, database=options.database)
    elif options.units is None or options.cameras is None:
        raise InputError("a city needs --units and --cameras, or --simulated FOLDER")
    else:
        city = City.create(
            options.city,
            units=options.units,
            cameras=options.cameras,
            streets=options.streets,
            database=options.database,
        )
    with city:
        print(
            f"{options.city}: {len(city.units)} units, {len(city.cameras)} cameras, "
            f"{len(city.streets.streets)} streets"
        )
    return 0


def stats(arguments: Sequence[str]) -> int:
    """Run ``passerby admin stats``."""
    options: Look = parse(Look, arguments, "admin stats")
    from passerby.city import City
    from passerby.times import format_time

    with City.open(options.city) as city:
        figures = city.gallery.stats().as_dict()
        for bound in ("first", "last"):
            if figures[bound] is not None:
                figures[bound] = format_time(figures[bound])
        figures[RETENTION] = city.setting(RETENTION)
        figures["cameras"] = len(city.cameras)
        figures["silent_cameras"] = sum(one.sightings == 0 for one in city.coverage())
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<16} {value}")
    return 0


def verify(arguments: Sequence[str]) -> int:
    """Run ``passerby admin verify``."""
    options: Verify = parse(Verify, arguments, "admin verify")
    from passerby.city import City

    with City.open(options.city) as city:
        faults = city.gallery.verify()
        sightings = city.gallery.count()
    for fault in faults:
        print(f"passerby admin verify: {fault}", file=sys.stderr)
    print(f"{sightings} sightings, {len(faults)} faults")
    return 1 if faults else 0


def retention(arguments: Sequence[str]) -> int:
    """Run ``passerby admin retention``."""
    options: Retention = parse(Retention, arguments, "admin retention")
    from passerby.city import City, Scope
    from passerby.times import format_time

    with City.open(options.city) as city:
        days = options.days if options.days is not None else city.setting(RETENTION)
        if days is None:
            raise InputError("this city has no retention yet; set it with --days N")
        if days <= 0:
            raise InputError(f"--days {days} would delete everything; give a positive number")
        before = int(time.time() * 1000 - days * DAY_MS)
        if options.dry_run:
            print(f"{city.count(Scope(end=before))} sightings are older than {format_time(before)}")
            return 0
        if options.days is not None:
            city.set_setting(RETENTION, options.days)
        gone = city.drop_before(before)
        freed = city.compact()
    print(f"{gone} sightings older than {format_time(before)} deleted, {freed} bytes freed")
    return 0


def compact(arguments: Sequence[str]) -> int:
    """Run ``passerby admin compact``."""
    options: Compact = parse(Compact, arguments, "admin compact")
    from passerby.city import City

    with City.open(options.city) as city:
        print(f"{city.compact()} bytes freed")
    return 0


def snapshot(arguments: Sequence[str]) -> int:
    """Run ``passerby admin snapshot``."""
    options: Snapshot = parse(Snapshot, arguments, "admin snapshot")
    from passerby.city import City

    with City.open(options.city) as city:
        city.gallery.snapshot(options.target)
        print(f"{city.gallery.count()} sightings copied to {options.target}")
    return 0
