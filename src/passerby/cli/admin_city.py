"""``passerby admin``: make, look at, prune, copy, keep and restore a whole city."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from passerby.cli.admin_units import unruled
from passerby.cli.common import BY, OfCity, Result, audited
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
    zone: str | None = None
    """Time zone in which the page shows and reads times, such as Asia/Shanghai. Without it: UTC."""
    database: str | None = None
    """Address of an empty PostgreSQL database for the catalogue of a city on several machines:
    postgresql://USER@HOST:PORT/NAME, without a password. Without it: a file in the folder."""

    def main(self) -> None:
        """Make the city, and say what is in it."""
        from passerby.city import City
        from passerby.city.facts import fact_names

        settings = None
        if self.zone is not None:
            from passerby.service.settings import Settings

            settings = Settings(time_zone=self.zone)  # refused before anything is made

        def report(remark: str) -> None:
            print(f"passerby admin create: {remark}", file=sys.stderr)

        if self.simulated is not None:
            city = City.from_simulation(
                self.city, self.simulated, database=self.database, report=report
            )
        elif self.units is None or self.cameras is None:
            raise InputError("a city needs --units and --cameras, or --simulated FOLDER")
        else:
            city = City.create(
                self.city,
                units=self.units,
                cameras=self.cameras,
                streets=self.streets,
                database=self.database,
                report=report,
            )
        with city:
            if settings is not None:
                settings.write(city)
            else:
                report(
                    "the page shows times in UTC; choose the city's zone: --zone, or later "
                    "passerby admin settings CITY --set time_zone=ZONE"
                )
            print(
                f"{self.city}: {len(city.units)} units, {len(city.cameras)} cameras, "
                f"{len(city.streets.streets)} streets"
            )
            names = fact_names(city)
        if names:
            print(f"facts of units: {', '.join(names)}")
        if numbers := [one.name for one in names.values() if one.numbers]:
            print(unruled(numbers))


@dataclass(frozen=True, kw_only=True)
class Stats(Result, OfCity):
    """Say how large a city's gallery is and what it holds."""

    def main(self) -> None:
        """Print the figures, one a line."""
        from passerby.times import format_time

        with self.open() as city:
            figures = city.gallery.stats().as_dict()
            for bound in ("first", "last"):
                if figures[bound] is not None:
                    figures[bound] = format_time(figures[bound])
            figures[RETENTION] = city.setting(RETENTION)
            figures["cameras"] = len(city.cameras)
            figures["silent_cameras"] = sum(one.sightings == 0 for one in city.coverage())
        self.show(figures, "\n".join(f"{name:<16} {value}" for name, value in figures.items()))


@dataclass(frozen=True, kw_only=True)
class Verify(OfCity):
    """Read a whole city and name what is damaged or missing; status 1 when anything is.

    Sightings and vectors, the bytes of every crop, the catalogue's tables, the audit, and the
    accounts' rights, cases and approvals against the audit.
    """

    def main(self) -> int:
        """Print the faults and their number."""
        from passerby.service.verification import faults

        found = 0
        with audited(self.city) as (city, database, audit):
            for fault in faults(city, database, audit):
                print(f"passerby admin verify: {fault}", file=sys.stderr)
                found += 1
            sightings, uncovered = city.gallery.count(), audit.verify().uncovered
        print(f"{sightings} sightings, {found} faults")
        for one in uncovered:
            print(f"passerby admin verify: not covered: {one}", file=sys.stderr)
        return 1 if found else 0


@dataclass(frozen=True, kw_only=True)
class Retention(OfCity):
    """Delete sightings older than so many days, with their crops; run it once a day."""

    days: float | None = None
    """Keep this many days, and remember it for the city. Without it: as remembered."""
    dry_run: bool = False
    """Only say how many would go."""

    def main(self) -> None:
        """Delete, or count, what is too old."""
        from passerby.city import Scope
        from passerby.service.retention import in_words, overdue_evidence, strip_searches
        from passerby.times import format_time

        with audited(self.city, changing=not self.dry_run) as (city, database, audit):
            days = self.days if self.days is not None else city.setting(RETENTION)
            if days is None:
                raise InputError("this city has no retention yet; set it with --days N")
            if not 0 < days < 1e6:  # nor NaN
                raise InputError(
                    f"--days {days} cannot be kept; give a number above 0 and below a million"
                )
            before = int(time.time() * 1000 - days * DAY_MS)
            when = format_time(before)
            held = overdue_evidence(database, city.gallery, before)
            kept = f"evidence of open cases stays until they end: {in_words(held)}" if held else ""
            if self.dry_run:
                print(f"{city.count(Scope(end=before))} sightings are older than {when}")
                _print(kept)
                return
            if self.days is not None:
                city.set_setting(RETENTION, self.days)
            roots = tuple(unit.code for unit in city.units.roots)
            details: dict[str, object] = {"before": when, "days": days}
            details |= {"evidence": in_words(held)} if held else {}
            audit.append("retention", account=BY, units=roots, details=details)
            gone = city.drop_before(before, held=held)
            freed = city.compact()
            searches, results = strip_searches(database, city.gallery)
        print(f"{gone} sightings older than {when} deleted, {freed} bytes freed")
        if searches:
            print(f"{results} of their ids taken out of {searches} stored searches")
        _print(kept)


def _print(words: str) -> None:
    if words:
        print(words)


@dataclass(frozen=True, kw_only=True)
class Compact(OfCity):
    """Rewrite what holds deleted sightings, so that their bytes are gone from the disk."""

    def main(self) -> None:
        """Rewrite, and say how many bytes are free now."""
        with self.open() as city:
            print(f"{city.compact()} bytes freed")


@dataclass(frozen=True, kw_only=True)
class Snapshot(OfCity):
    """Copy a gallery while it is in use; the copy opens like the original."""

    target: Annotated[Path, tyro.conf.Positional]
    """New folder for the copy."""

    def main(self) -> None:
        """Copy, and say how much."""
        with self.open() as city:
            city.gallery.snapshot(self.target)
            print(f"{city.gallery.count()} sightings copied to {self.target}")


@dataclass(frozen=True, kw_only=True)
class Backup(Result, OfCity):
    """Keep a whole city, also while it is in use: catalogue, audit, gallery, crops, checksums."""

    target: Annotated[Path, tyro.conf.Positional]
    """New folder, or new file whose name ends with .tar."""

    def main(self) -> None:
        """Write the backup, and say what is in it."""
        from passerby.city.moving import back_up

        with self.open() as city, tqdm(unit="B", unit_scale=True) as bar:
            manifest = back_up(city, self.target, progress=bar.update)
        words = f"{self.target}: {manifest.sightings} sightings, {len(manifest.files)} files"
        if manifest.left_out:
            words += f"\nnot in it: {', '.join(manifest.left_out)}"
        if "service.key" not in manifest.files:
            words += "\nnot in it: the audit's key, which is not in the city's folder"
        if not manifest.catalogue:
            words += (
                "\nthe catalogue is a PostgreSQL database and is not in it: keep it with pg_dump"
            )
        facts = {
            "files": len(manifest.files),
            "bytes": manifest.size,
            "sightings": manifest.sightings,
            "catalogue": manifest.catalogue,
            "left_out": manifest.left_out,
        }
        self.show(facts, words)


@dataclass(frozen=True, kw_only=True)
class Restore:
    """Make a city's folder from a backup, verifying every file; or only verify."""

    backup: Annotated[Path, tyro.conf.Positional]
    """Folder or .tar file that `passerby admin backup` wrote."""
    city: Annotated[Path | None, tyro.conf.Positional] = None
    """New folder for the city. Without it the backup is only verified."""
    database: str | None = None
    """Address of the PostgreSQL database with the city's catalogue, for a backup without one:
    postgresql://USER@HOST:PORT/NAME. The restored city works on that database."""

    def main(self) -> None:
        """Restore or verify, and say what is in the backup."""
        from passerby.city.moving import check, read_manifest, restore

        total = read_manifest(self.backup).size
        with tqdm(total=total, unit="B", unit_scale=True) as bar:
            if self.city is None:
                manifest = check(self.backup, progress=bar.update)
            else:
                manifest = restore(
                    self.backup, self.city, database=self.database, progress=bar.update
                )
        where = "is whole" if self.city is None else f"is restored in {self.city}"
        print(f"{self.backup} {where}: {manifest.sightings} sightings, {len(manifest.files)} files")
