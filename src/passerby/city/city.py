"""A city in one folder: its map, its cameras, its sightings and their crops."""

import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from passerby.city import geojson
from passerby.city.address import Address, has_city
from passerby.city.cameras import (
    Camera,
    History,
    absence,
    cameras_from_geojson,
    nearest_version,
    version_at,
)
from passerby.city.crops import CropStore
from passerby.city.fact_files import facts_of_features
from passerby.city.gallery import Coverage, Gallery, open_gallery
from passerby.city.gallery.records import Batch
from passerby.city.sightings import Scope, Sighting
from passerby.city.streets import StreetGraph, streets_from_geojson
from passerby.city.units import UnitTree
from passerby.errors import InputError
from passerby.times import check_plausible

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

GALLERY = "gallery"  # setting: address of a gallery on a server, instead of one in the folder
SIMULATED = "simulated"  # setting: the city and its times are made up
ID = "id"  # setting: a random name that no other city has
CAMERAS = "cameras"  # setting: how often the cameras were changed
SIMULATION = "simulation.json"  # lies beside the maps of a simulated city
LANDSCAPE = "landscape.geojson"  # optional: polygons of water and parks, only for drawing
UNFINISHED = "unfinished"  # folder of the positions of recordings whose ingest goes on
EVERYWHERE = Scope()


class City:
    """One city: ``catalogue.sqlite``, ``gallery/`` and ``crops/`` in one folder.

    A city of several machines has a file ``database.json`` instead of the catalogue. It holds the
    address of a PostgreSQL database that all machines share.

    Attributes:
        folder: The city's folder.
        address: Where its catalogue is.
        engine: SQLAlchemy engine of the catalogue.
        units: The tree of units.
        history: The versions of each camera by id, see :mod:`passerby.city.cameras`.
        streets: The walking graph.
        gallery: The store of sightings.
        crops: The pictures of the sightings.
    """

    def __init__(self, folder: Path, engine: "Engine", address: Address) -> None:
        """Read the map; use :meth:`create` or :meth:`open`."""
        from sqlalchemy.orm import Session

        from passerby.city import catalogue

        self.folder = folder
        self.engine = engine
        self.address = address
        self._changes = -1
        with Session(engine) as session:
            self.units: UnitTree = catalogue.read_units(session)
            self.refresh(session)
            self.streets = StreetGraph(catalogue.read_streets(session))
        self.crops = CropStore(folder / "crops")

    @classmethod
    def create(
        cls,
        folder: Path | str,
        *,
        units: geojson.Source,
        cameras: geojson.Source,
        streets: geojson.Source | None = None,
        database: str | None = None,
        report: Callable[[str], object] | None = None,
    ) -> "City":
        """Make a new city from GeoJSON files or objects.

        Args:
            folder: The folder to make it in.
            units: Polygons of the units.
            cameras: Points of the cameras.
            streets: Lines of the streets; without them distances are straight lines.
            database: Address of an empty PostgreSQL database for the catalogue, see
                :func:`passerby.city.address.parse_address`. Without it the catalogue is a file in
                the folder.
            report: Called with each remark on the units' facts, see :mod:`passerby.city.facts`.

        Raises:
            InputError: The folder or the database holds a city already, or the map is wrong.
        """
        from passerby.city.catalogue import create_catalogue

        folder = Path(folder)
        if has_city(folder):
            raise InputError(f"there is a city in {folder} already; open it or name a new folder")
        features = geojson.features(units, "units")
        tree = UnitTree.from_geojson(geojson.collection(features))
        file = Path(units) if isinstance(units, str | Path) else None
        known = facts_of_features(features, file.name if file else "")
        placed = cameras_from_geojson(cameras, tree)
        lines = [] if streets is None else streets_from_geojson(streets)
        folder.mkdir(parents=True, exist_ok=True)
        address, facts = Address.of(folder, database), list(known.facts.values())
        create_catalogue(folder, address, tree, placed, lines, facts=facts)
        if report:
            for remark in known.notes:
                report(remark)
        city = cls.open(folder)
        if file and (file.parent / SIMULATION).exists():
            city.set_setting(SIMULATED, True)
        return city

    @classmethod
    def from_simulation(
        cls,
        folder: Path | str,
        tree: Path | str,
        *,
        database: str | None = None,
        report: Callable[[str], object] | None = None,
    ) -> "City":
        """Make a city from the map files of a simulated tree, see :meth:`create`."""
        tree = Path(tree)
        city = cls.create(
            folder,
            units=tree / "units.geojson",
            cameras=tree / "cameras.geojson",
            streets=tree / "streets.geojson",
            database=database,
            report=report,
        )
        if (landscape := tree / LANDSCAPE).exists():
            shutil.copyfile(landscape, city.folder / LANDSCAPE)
        return city

    @classmethod
    def open(cls, folder: Path | str) -> "City":
        """Open an existing city.

        Raises:
            InputError: There is no city in the folder, a newer program made it, or its database
                does not answer or needs an upgrade.
        """
        from passerby.city import schema
        from passerby.city.engines import open_engine

        folder = Path(folder)
        if not has_city(folder):
            raise InputError(f"there is no city in {folder}; make one first")
        address = Address.of(folder)
        engine = open_engine(address)
        schema.prepare(engine, address)
        return cls(folder, engine, address)

    @cached_property
    def gallery(self) -> Gallery:
        """The store of sightings, in the folder or at the address of a setting; opened on use."""
        return open_gallery(self.gallery_place)

    @property
    def gallery_place(self) -> Path | str:
        """Folder or address of the store of sightings."""
        return self.setting(GALLERY) or self.folder / "gallery"

    def close(self) -> None:
        """Close the gallery and the catalogue."""
        if "gallery" in self.__dict__:
            self.gallery.close()
        self.engine.dispose()

    def __enter__(self) -> "City":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # cameras ---------------------------------------------------------------------------------

    def refresh(self, session: "Session | None" = None) -> bool:
        """Read the cameras again if another process has changed them; return whether it has."""
        from sqlalchemy.orm import Session

        from passerby.city import catalogue

        if session is None:
            with Session(self.engine) as own:
                return self.refresh(own)
        changes = int(catalogue.read_setting(session, CAMERAS, 0))
        if changes == self._changes:
            return False
        self.history: dict[str, History] = catalogue.read_cameras(session)
        self._changes = changes
        return True

    @property
    def cameras(self) -> dict[str, Camera]:
        """The newest version of each camera by id, retired ones included."""
        return {name: history[-1] for name, history in self.history.items()}

    def camera(self, name: str, time: int | None = None) -> Camera:
        """A camera by id, as it is now or as it was at a time.

        Args:
            name: Its id.
            time: Milliseconds; where the camera was not there, the nearest version is returned.

        Raises:
            InputError: There is no such camera.
        """
        try:
            history = self.history[name]
        except KeyError:
            known = ", ".join(list(self.history)[:5])
            raise InputError(
                f"there is no camera '{name}' in this city; there are {len(self.history)}: "
                f"{known}{' ...' if len(self.history) > 5 else ''}"
            ) from None
        return history[-1] if time is None else nearest_version(history, time)

    def camera_at(self, name: str, time: int) -> Camera:
        """A camera as it was at a time.

        Raises:
            InputError: There is no such camera, or it was not there at that time.
        """
        self.camera(name)
        held = version_at(self.history[name], time)
        if held is None:
            raise InputError(absence(self.history[name], time))
        return held

    def check_times(self, first: int, last: int, what: str) -> None:
        """Refuse times that cannot be, see :func:`passerby.times.check_plausible`.

        Those of a simulated city may lie in the future.
        """
        check_plausible(first, last, what, future=bool(self.setting(SIMULATED)))

    def views_in(self, scope: Scope) -> list[Camera]:
        """The versions of cameras that a scope covers: each stood in its units in its window."""
        return [
            one
            for history in self.history.values()
            for one in history
            if (not scope.cameras or one.id in scope.cameras)
            and (not scope.units or any(self.units.holds(u, one.unit) for u in scope.units))
            and one.meets(scope.start, scope.end)
        ]

    def cameras_in(self, scope: Scope) -> list[str]:
        """Ids of the cameras that a scope covers, in order of their numbers, whatever they saw."""
        return list(dict.fromkeys(one.id for one in self.views_in(scope)))

    # sightings -------------------------------------------------------------------------------

    def add_sightings(self, sightings: Iterable[Sighting], *, replace_known: bool = False) -> int:
        """Store sightings and return how many were new; durable when it returns.

        A sighting without a unit gets that in which its camera stood at its time. One that was
        erased is not stored again, see :mod:`passerby.city.erasing`.

        Raises:
            InputError: A camera or unit is unknown, a camera was not there at the time of a
                sighting, or the vectors are of another network.
        """
        self.refresh()
        from passerby.city.erasing import without_erased

        given = sightings if isinstance(sightings, Batch) else list(sightings)
        given, _ = without_erased(self, given)
        added = self.gallery.add(self._placed(given), replace=replace_known)
        if self.refresh():  # a camera was moved meanwhile
            self.gallery.add(self._placed(given), replace=True)
        return added

    def _placed(self, given: Batch | list[Sighting]) -> Iterable[Sighting]:
        """Sightings with their units."""
        if isinstance(given, Batch):
            columns = (given.columns[name] for name in ("camera", "unit", "time"))
            units = [self._unit_of(*row) for row in zip(*columns, strict=True)]
            return given.with_column("unit", units)
        return [replace(one, unit=self._unit_of(one.camera, one.unit, one.time)) for one in given]

    def _unit_of(self, camera: str, unit: str, time: int) -> str:
        """The unit of a sighting: its own, or that of its camera at its time."""
        history = self.history.get(camera, ())
        if len(history) == 1 and history[0].holds(time):  # most cameras never move
            default = history[0].unit
        else:
            default = self.camera_at(camera, time).unit
        return self.units[unit].code if unit else default

    def check(self, scope: Scope) -> Scope:
        """Return the scope after a check that its units and cameras exist.

        Raises:
            InputError: A unit or camera is unknown.
        """
        for code in scope.units:
            self.units[code]
        for name in scope.cameras:
            self.camera(name)
        return scope

    def count(self, scope: Scope = EVERYWHERE) -> int:
        """Number of sightings in the scope."""
        return self.gallery.count(self.check(scope))

    def coverage(self, scope: Scope = EVERYWHERE) -> list[Coverage]:
        """Every camera the scope covers, also those without a sighting in the window.

        A camera that saw nothing, or was away, must not be read as "nobody was there".
        """
        self.check(scope)
        seen = {one.camera: one for one in self.gallery.coverage(scope)}
        silent = Coverage(camera="", sightings=0, first=0, last=0)
        names = list(dict.fromkeys([*self.cameras_in(scope), *seen]))
        return [seen.get(name, replace(silent, camera=name)) for name in names]

    def delete(self, what: Scope | list[str]) -> int:
        """Delete sightings by ids or by scope; their crops go with :meth:`compact`."""
        return self.gallery.delete(self.check(what) if isinstance(what, Scope) else what)

    def drop_before(self, time: int, *, held: Iterable[str] = ()) -> int:
        """Delete every sighting older than ``time`` (milliseconds); returns how many went.

        What was recorded before is forgotten too: nobody is to be missed there. The pictures of
        people who were in view when an ingest was killed go too, by their age. Sightings whose ids
        are ``held`` stay.
        """
        from passerby.city.clips import forget_before
        from passerby.city.erasing import drop_before

        for path in (self.folder / UNFINISHED).glob("*.tracks"):
            if path.stat().st_mtime * 1000 < time:
                path.unlink(missing_ok=True)
        gone = drop_before(self.gallery, time, set(held))
        forget_before(self, time)
        return gone

    def compact(self, *, grace: float = 600.0) -> int:
        """Remove the bytes of deleted sightings, and the crops that no sighting names.

        Args:
            grace: Seconds for which a crop without a sighting is spared, because its sighting may
                not be stored yet.

        Returns:
            Bytes freed.
        """
        freed = self.gallery.compact()
        return freed + self.crops.remove_unused(self.gallery.crops_used, grace=grace)

    # settings --------------------------------------------------------------------------------

    @cached_property
    def id(self) -> str:
        """A random name, made on first use, that no other city has; a restored copy has another."""
        from sqlalchemy.orm import Session

        from passerby.city import catalogue

        writing = self.engine.execution_options(immediate=True)
        with Session(writing) as session, session.begin():
            found = catalogue.read_setting(session, ID)
            if found is None:
                catalogue.write_setting(session, ID, found := secrets.token_hex(6))
            return str(found)

    def setting(self, key: str, default: Any = None) -> Any:
        """A setting of the city, or ``default``."""
        from sqlalchemy.orm import Session

        from passerby.city import catalogue

        with Session(self.engine) as session:
            return catalogue.read_setting(session, key, default)

    def set_setting(self, key: str, value: Any) -> None:
        """Store a setting; the value must be plain JSON."""
        from sqlalchemy.orm import Session

        from passerby.city import catalogue

        writing = self.engine.execution_options(immediate=True)
        with Session(writing) as session, session.begin():
            catalogue.write_setting(session, key, value)
