"""A city in one folder: its map, its cameras, its sightings and their crops."""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from passerby.city import geojson
from passerby.city.cameras import Camera, cameras_from_geojson
from passerby.city.crops import CropStore
from passerby.city.gallery import Coverage, Gallery, open_gallery
from passerby.city.sightings import Scope, Sighting
from passerby.city.streets import StreetGraph, streets_from_geojson
from passerby.city.units import UnitTree
from passerby.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import Engine

CATALOGUE = "catalogue.sqlite"
LANDSCAPE = "landscape.geojson"  # optional: polygons of water and parks, only for drawing
EVERYWHERE = Scope()


class City:
    """One city: ``catalogue.sqlite``, ``gallery/`` and ``crops/`` in one folder.

    Attributes:
        folder: where it lies.
        engine: SQLAlchemy engine of the catalogue.
        units: the tree of units.
        cameras: cameras by id.
        streets: the walking graph.
        gallery: the store of sightings.
        crops: the pictures behind the sightings.
    """

    def __init__(self, folder: Path, engine: "Engine") -> None:
        """Read the map; use :meth:`create` or :meth:`open`."""
        from sqlalchemy.orm import Session

        from passerby.city import catalogue

        self.folder = folder
        self.engine = engine
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
    ) -> "City":
        """Make a new city from GeoJSON files or objects.

        Raises:
            InputError: the folder holds a city already, or the map is broken.
        """
        from sqlalchemy.orm import Session

        from passerby.city import catalogue

        folder = Path(folder)
        if (folder / CATALOGUE).exists():
            raise InputError(f"there is a city in {folder} already; open it or name a new folder")
        tree = UnitTree.from_geojson(units)
        placed = cameras_from_geojson(cameras, tree)
        lines = [] if streets is None else streets_from_geojson(streets)
        folder.mkdir(parents=True, exist_ok=True)
        # built under another name, so that a crash leaves no half a city
        draft = folder / f"{CATALOGUE}.new"
        draft.unlink(missing_ok=True)
        engine = catalogue.open_engine(draft)
        catalogue.create_tables(engine)
        with Session(engine) as session, session.begin():
            catalogue.write_map(session, tree, placed, lines)
            catalogue.write_setting(session, "format", 1)
        engine.dispose()
        draft.rename(folder / CATALOGUE)
        return cls.open(folder)

    @classmethod
    def from_simulation(cls, folder: Path | str, tree: Path | str) -> "City":
        """Make a city from the map files of a simulated tree."""
        tree = Path(tree)
        city = cls.create(
            folder,
            units=tree / "units.geojson",
            cameras=tree / "cameras.geojson",
            streets=tree / "streets.geojson",
        )
        landscape = tree / LANDSCAPE
        if landscape.exists():
            shutil.copyfile(landscape, city.folder / LANDSCAPE)
        return city

    @classmethod
    def open(cls, folder: Path | str) -> "City":
        """Open an existing city.

        Raises:
            InputError: there is no city in the folder.
        """
        from passerby.city import catalogue

        folder = Path(folder)
        if not (folder / CATALOGUE).is_file():
            raise InputError(f"there is no city in {folder}; make one first")
        engine = catalogue.open_engine(folder / CATALOGUE)
        catalogue.create_tables(engine)
        return cls(folder, engine)

    @cached_property
    def gallery(self) -> Gallery:
        """The store of sightings; opened when first needed."""
        return open_gallery(self.folder / "gallery")

    def close(self) -> None:
        """Let go of the files."""
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
            InputError: there is no such camera.
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
            InputError: an unknown camera or unit, or vectors of another model.
        """
        placed = []
        for one in sightings:
            camera = self.camera(one.camera)
            unit = self.units[one.unit].code if one.unit else camera.unit
            placed.append(one if one.unit else replace(one, unit=unit))
        return self.gallery.add(placed, replace=replace_known)

    def check(self, scope: Scope) -> Scope:
        """The scope, when its units and cameras exist.

        Raises:
            InputError: an unknown unit or camera.
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
        inside = [
            camera.id
            for camera in self.cameras.values()
            if (not scope.cameras or camera.id in scope.cameras)
            and (not scope.units or any(self.units.holds(u, camera.unit) for u in scope.units))
        ]
        silent = Coverage(camera="", sightings=0, first=0, last=0)
        names = list(dict.fromkeys([*inside, *seen]))
        return [seen.get(name, replace(silent, camera=name)) for name in names]

    def delete(self, what: Scope | list[str]) -> int:
        """Delete sightings by ids or by scope; their crops go with :meth:`compact`."""
        return self.gallery.delete(self.check(what) if isinstance(what, Scope) else what)

    def drop_before(self, time: int) -> int:
        """Delete every sighting older than ``time`` (milliseconds); returns how many went."""
        return self.gallery.drop_before(time)

    def compact(self, *, grace: float = 600.0) -> int:
        """Make the bytes of deleted sightings and of crops nobody names disappear.

        Args:
            grace: seconds for which a crop without a sighting is spared; it may be on its way.

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

        with Session(self.engine) as session, session.begin():
            catalogue.write_setting(session, key, value)
