"""A city in one folder: its map, its cameras, its sightings and their crops."""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from passerby.city import geojson
from passerby.city.address import Address, has_city
from passerby.city.cameras import Camera, cameras_from_geojson
from passerby.city.crops import CropStore
from passerby.city.gallery import Coverage, Gallery, open_gallery
from passerby.city.gallery.records import Batch
from passerby.city.sightings import Scope, Sighting
from passerby.city.streets import StreetGraph, streets_from_geojson
from passerby.city.units import UnitTree
from passerby.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import Engine

GALLERY = "gallery"  # setting: address of a gallery on a server, instead of one in the folder
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
        cameras: Cameras by id.
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
        with Session(engine) as session:
            self.units: UnitTree = catalogue.read_units(session)
            self.cameras: dict[str, Camera] = catalogue.read_cameras(session)
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

        Raises:
            InputError: The folder or the database holds a city already, or the map is wrong.
        """
        from passerby.city.catalogue import create_catalogue

        folder = Path(folder)
        if has_city(folder):
            raise InputError(f"there is a city in {folder} already; open it or name a new folder")
        tree = UnitTree.from_geojson(units)
        placed = cameras_from_geojson(cameras, tree)
        lines = [] if streets is None else streets_from_geojson(streets)
        folder.mkdir(parents=True, exist_ok=True)
        create_catalogue(folder, Address.of(folder, database), tree, placed, lines)
        return cls.open(folder)

    @classmethod
    def from_simulation(
        cls, folder: Path | str, tree: Path | str, *, database: str | None = None
    ) -> "City":
        """Make a city from the map files of a simulated tree, see :meth:`create`."""
        tree = Path(tree)
        city = cls.create(
            folder,
            units=tree / "units.geojson",
            cameras=tree / "cameras.geojson",
            streets=tree / "streets.geojson",
            database=database,
        )
        landscape = tree / LANDSCAPE
        if landscape.exists():
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

    # sightings -------------------------------------------------------------------------------

    def camera(self, name: str) -> Camera:
        """A camera by id.

        Raises:
            InputError: There is no such camera.
        """
        try:
            return self.cameras[name]
        except KeyError:
            known = ", ".join(list(self.cameras)[:5])
            raise InputError(
                f"there is no camera '{name}' in this city; there are {len(self.cameras)}: "
                f"{known}{' ...' if len(self.cameras) > 5 else ''}"
            ) from None

    def add_sightings(self, sightings: Iterable[Sighting], *, replace_known: bool = False) -> int:
        """Store sightings and return how many were new; durable when it returns.

        A sighting without a unit gets that of its camera.

        Raises:
            InputError: A camera or unit is unknown, or the vectors are of another network.
        """
        placed: Iterable[Sighting]
        if isinstance(sightings, Batch):
            pairs = list(zip(sightings.columns["camera"], sightings.columns["unit"], strict=True))
            units = {pair: self._unit_of(*pair) for pair in dict.fromkeys(pairs)}
            placed = sightings.with_column("unit", [units[pair] for pair in pairs])
        else:
            placed = [replace(one, unit=self._unit_of(one.camera, one.unit)) for one in sightings]
        return self.gallery.add(placed, replace=replace_known)

    def _unit_of(self, camera: str, unit: str) -> str:
        """The unit of a sighting: its own, or that of its camera."""
        default = self.camera(camera).unit
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

    def cameras_in(self, scope: Scope) -> list[str]:
        """Ids of the cameras that a scope covers, in order of their numbers, whatever they saw."""
        return [
            camera.id
            for camera in self.cameras.values()
            if (not scope.cameras or camera.id in scope.cameras)
            and (not scope.units or any(self.units.holds(u, camera.unit) for u in scope.units))
        ]

    def delete(self, what: Scope | list[str]) -> int:
        """Delete sightings by ids or by scope; their crops go with :meth:`compact`."""
        return self.gallery.delete(self.check(what) if isinstance(what, Scope) else what)

    def drop_before(self, time: int) -> int:
        """Delete every sighting older than ``time`` (milliseconds); returns how many went.

        The pictures of people who were in view when an ingest was killed go too, by their age.
        """
        for path in (self.folder / UNFINISHED).glob("*.tracks"):
            if path.stat().st_mtime * 1000 < time:
                path.unlink(missing_ok=True)
        return self.gallery.drop_before(time)

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
