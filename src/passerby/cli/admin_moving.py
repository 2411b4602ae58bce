"""``passerby admin gallery copy | use``, ``passerby admin backup | restore``."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from passerby.cli.arguments import OfCity, parse
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.city import Gallery


@dataclass(frozen=True, kw_only=True)
class Copy:
    """Copy a gallery into another store and compare every sighting; goes on where it stopped.

    FROM and TO are folders of a city or of a gallery, or addresses like
    milvus://HOST:19530/NAME (see the page on several machines).
    """

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FROM")]
    """Where the sightings are."""
    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TO")]
    """An empty gallery, or one with an interrupted copy of the same."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True, kw_only=True)
class Use(OfCity):
    """Say which gallery a city uses, after it was copied there; restart the service then."""

    address: Annotated[str, tyro.conf.Positional]
    """milvus://HOST:19530/NAME, or `folder` for the one in the city's folder."""


@dataclass(frozen=True, kw_only=True)
class Backup(OfCity):
    """Keep a whole city, also while it is in use: catalogue, audit, gallery, crops, checksums."""

    target: Annotated[Path, tyro.conf.Positional]
    """New folder, or new file whose name ends with .tar."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True, kw_only=True)
class Restore:
    """Make a city's folder from a backup, verifying every file; or only verify."""

    backup: Annotated[Path, tyro.conf.Positional]
    """Folder or .tar file that `passerby admin backup` wrote."""
    city: Annotated[Path | None, tyro.conf.Positional] = None
    """New folder for the city. Without it the backup is only verified."""


def copy(arguments: Sequence[str]) -> int:
    """Run ``passerby admin gallery copy``."""
    options: Copy = parse(Copy, arguments, "admin gallery copy")
    from tqdm import tqdm

    from passerby.city.copying import copy as copied

    start = time.monotonic()
    source = _gallery(options.source, new=False)
    try:
        target = _gallery(options.target, new=True)
        try:
            with tqdm(total=source.count(), unit="sighting", unit_scale=True) as bar:
                done = copied(source, target, progress=bar.update)
        finally:
            target.close()
    finally:
        source.close()
    if options.json:
        print(
            json.dumps(
                {
                    "sightings": done.sightings,
                    "stored": done.stored,
                    "checksum": f"{done.checksum:016x}",
                    "seconds": round(time.monotonic() - start, 3),
                }
            )
        )
    else:
        print(
            f"{done.sightings} sightings in {options.target}, {done.stored} of them new, all equal "
            f"(checksum {done.checksum:016x})"
        )
    return 0


def _gallery(where: str, *, new: bool) -> "Gallery":
    """The gallery at an address, in a city's folder or in its own."""
    from passerby.city import City
    from passerby.city.address import has_city
    from passerby.city.gallery import open_gallery
    from passerby.city.gallery.milvus_link import MilvusAddress, is_milvus

    if has_city(where):
        with City.open(where) as city:
            where = str(city.gallery_place)
    if is_milvus(where):  # what was written is read back at once
        return open_gallery(str(replace(MilvusAddress.parse(where), consistency="Strong")))
    if not new and not Path(where).is_dir():
        raise InputError(f"there is no gallery in {where}; name its folder or its address")
    return open_gallery(Path(where))


def use(arguments: Sequence[str]) -> int:
    """Run ``passerby admin gallery use``."""
    options: Use = parse(Use, arguments, "admin gallery use")
    from passerby.city import City
    from passerby.city.city import GALLERY
    from passerby.city.gallery import open_gallery
    from passerby.city.gallery.milvus_link import MilvusAddress

    with City.open(options.city) as city:
        if options.address == "folder":
            place: str | None = None
        else:
            place = str(MilvusAddress.parse(options.address))
        gallery = open_gallery(place or city.folder / "gallery")
        try:
            sightings, model = gallery.count(), gallery.model_id
        finally:
            gallery.close()
        city.set_setting(GALLERY, place)
    print(f"{options.city} uses {place or 'its own folder'}: {sightings} sightings of {model}")
    return 0


def backup(arguments: Sequence[str]) -> int:
    """Run ``passerby admin backup``."""
    options: Backup = parse(Backup, arguments, "admin backup")
    from tqdm import tqdm

    from passerby.city import City
    from passerby.city.moving import back_up

    with City.open(options.city) as city, tqdm(unit="B", unit_scale=True) as bar:
        manifest = back_up(city, options.target, progress=bar.update)
    if options.json:
        print(
            json.dumps(
                {
                    "files": len(manifest.files),
                    "bytes": manifest.size,
                    "sightings": manifest.sightings,
                    "catalogue": manifest.catalogue,
                }
            )
        )
        return 0
    print(f"{options.target}: {manifest.sightings} sightings, {len(manifest.files)} files")
    if not manifest.catalogue:
        print("the catalogue is a PostgreSQL database and is not in it: keep it with pg_dump")
    return 0


def restore(arguments: Sequence[str]) -> int:
    """Run ``passerby admin restore``."""
    options: Restore = parse(Restore, arguments, "admin restore")
    from tqdm import tqdm

    from passerby.city.moving import check, read_manifest
    from passerby.city.moving import restore as restored

    total = read_manifest(options.backup).size
    with tqdm(total=total, unit="B", unit_scale=True) as bar:
        if options.city is None:
            manifest = check(options.backup, progress=bar.update)
        else:
            manifest = restored(options.backup, options.city, progress=bar.update)
    where = "is whole" if options.city is None else f"is restored in {options.city}"
    print(f"{options.backup} {where}: {manifest.sightings} sightings, {len(manifest.files)} files")
    return 0
