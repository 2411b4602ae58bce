"""``passerby admin gallery add | reembed | compact | check | upgrade``."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from passerby.cli.arguments import OfCity, parse


@dataclass(frozen=True, kw_only=True)
class Add(OfCity):
    """Add millions of sightings with their vectors from a Parquet table; may be repeated."""

    table: Annotated[Path, tyro.conf.Positional]
    """Columns id, camera, time, vector; see the page on the gallery for the others."""
    model: str | None = None
    """Id of the network that made the vectors, for a table without the column `model`."""
    at_once: int = 20_000
    """Sightings made durable in one step."""


@dataclass(frozen=True, kw_only=True)
class Reembed(OfCity):
    """Embed a gallery anew with another network, from the kept crops, beside service."""

    model: str = "default"
    """The new network: a name, or a file."""
    drop_lost: bool = False
    """Delete sightings whose crop is gone; otherwise they stop the work."""
    give_up: bool = False
    """Delete what an unfinished call has stored, and keep the old model."""


@dataclass(frozen=True, kw_only=True)
class Compact(OfCity):
    """Rewrite what holds deleted sightings, so that their bytes are gone from the disk."""


@dataclass(frozen=True, kw_only=True)
class Upgrade(OfCity):
    """Take over a gallery of the first edition; compares every sighting; goes on where it stopped.

    Stop the service and the workers of the city first. The old files are deleted at the end.
    """


@dataclass(frozen=True, kw_only=True)
class Check(OfCity):
    """Say whether a gallery can be read and written; status 1 when anything is wrong."""

    full: bool = False
    """Read every byte and compare it with its checksum."""
    json: bool = False
    """Print JSON."""


def add(arguments: Sequence[str]) -> int:
    """Run ``passerby admin gallery add``."""
    options: Add = parse(Add, arguments, "admin gallery add")
    from tqdm import tqdm

    from passerby.city import City
    from passerby.ingest.vectors import read_sightings, rows_in

    new = 0
    with (
        City.open(options.city) as city,
        tqdm(total=rows_in(options.table), unit=" sightings", file=sys.stderr) as bar,
    ):
        for part in read_sightings(options.table, model=options.model, at_once=options.at_once):
            new += city.add_sightings(part)
            bar.update(len(part))
        print(f"{new} sightings added, {city.gallery.count()} in all")
    return 0


def reembed(arguments: Sequence[str]) -> int:
    """Run ``passerby admin gallery reembed``."""
    options: Reembed = parse(Reembed, arguments, "admin gallery reembed")
    from tqdm import tqdm

    from passerby.city import City
    from passerby.city.reembedding import Reembedding
    from passerby.city.reembedding import reembed as embed_anew
    from passerby.runtime import Embedder

    embedder = Embedder.load(options.model)
    with City.open(options.city) as city:
        if options.give_up:
            city.gallery.stage(embedder.model_id).drop()
            print(f"given up; the gallery stays with {city.gallery.model_id}")
            return 0
        old = city.gallery.model_id
        with tqdm(unit=" sightings", file=sys.stderr) as bar:

            def show(work: Reembedding) -> None:
                bar.total = work.total
                bar.update(work.done - bar.n)

            work = embed_anew(
                city.gallery,
                city.crops,
                embedder,
                drop_lost=options.drop_lost,
                on_progress=show,
            )
    print(f"{work.done} sightings embedded, {work.dropped} dropped; {old} -> {embedder.model_id}")
    return 0


def compact(arguments: Sequence[str]) -> int:
    """Run ``passerby admin gallery compact``."""
    options: Compact = parse(Compact, arguments, "admin gallery compact")
    from passerby.city import City

    with City.open(options.city) as city:
        print(f"{city.compact()} bytes freed")
    return 0


def upgrade(arguments: Sequence[str]) -> int:
    """Run ``passerby admin gallery upgrade``."""
    options: Upgrade = parse(Upgrade, arguments, "admin gallery upgrade")
    from tqdm import tqdm

    from passerby.city import City
    from passerby.city.first_edition import take_over
    from passerby.city.gallery.embedded import FIRST_EDITION

    with City.open(options.city) as city:
        place = Path(city.gallery_place)
    if not (place / FIRST_EDITION).exists():
        print(f"{options.city} has no gallery of the first edition; nothing to do")
        return 0
    with tqdm(unit=" sightings", file=sys.stderr) as bar:
        done = take_over(place, progress=bar.update)
    print(f"{done} sightings taken over, each compared; the old files are deleted")
    return 0


def check(arguments: Sequence[str]) -> int:
    """Run ``passerby admin gallery check``."""
    options: Check = parse(Check, arguments, "admin gallery check")
    from passerby.city import City

    with City.open(options.city) as city:
        health = city.gallery.health().as_dict()
        problems = list(health["problems"])
        if options.full:
            problems += [one for one in city.gallery.verify() if one not in problems]
    if options.json:
        print(json.dumps({**health, "problems": problems}))
    else:
        for problem in problems:
            print(f"passerby admin gallery check: {problem}", file=sys.stderr)
        free = "" if health["free_bytes"] is None else f", {health['free_bytes'] >> 20} MiB free"
        print(
            f"readable: {'yes' if health['readable'] else 'no'}, "
            f"writable: {'yes' if health['writable'] else 'no'}, {len(problems)} problems{free}"
        )
    return 1 if problems else 0
