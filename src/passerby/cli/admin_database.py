"""``passerby admin database``: where a city's catalogue is, and which schema it has."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from passerby.cli.arguments import OfCity, parse_choice
from passerby.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Current(OfCity):
    """Say where a city's catalogue is and whether its schema is this program's."""

    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Do it."""
        from passerby.city import schema
        from passerby.city.address import Address
        from passerby.city.engines import open_engine

        address = Address.of(there(self.city))
        engine = open_engine(address)
        try:
            found = schema.current(engine)
        finally:
            engine.dispose()
        answer = {
            "catalogue": str(address),
            "kind": "sqlite" if address.file else "postgresql",
            "schema": found,
            "program": schema.HEAD,
        }
        if self.json:
            print(json.dumps(answer))
        else:
            state = "as this program needs it" if found == schema.HEAD else "to be upgraded"
            if found is not None and found > schema.HEAD:
                state = "newer than this program"
            print(f"{address}: schema {found}, {state} ({schema.HEAD})")
        return 0


@dataclass(frozen=True, kw_only=True)
class Upgrade(OfCity):
    """Bring the schema of a city's catalogue to that of this program.

    Stop the programs of all machines first, and make a backup of a shared database: pg_dump.
    """

    def run(self) -> int:
        """Do it."""
        from passerby.city import schema
        from passerby.city.address import Address

        address = Address.of(there(self.city))
        copy = schema.upgrade(address)
        print(f"{address}: schema {schema.HEAD}" + (f"; as it was: {copy}" if copy else ""))
        return 0


@dataclass(frozen=True, kw_only=True)
class Join(OfCity):
    """Let a folder of this machine belong to the city of a shared database."""

    database: str
    """Address of the database: postgresql://USER@HOST:PORT/NAME, without a password."""

    def run(self) -> int:
        """Do it."""
        from passerby.city.address import Address, has_city
        from passerby.city.catalogue import join_catalogue
        from passerby.service.audit import Audit
        from passerby.service.database import Database

        if has_city(self.city):
            raise InputError(f"there is a city in {self.city} already; name a new folder")
        address = Address.of(self.city, self.database)
        join_catalogue(self.city, address)
        with closing(Database(address)) as database:
            Audit(database, self.city).adopt_head()
        print(f"{self.city} belongs to the city of {address}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Move(OfCity):
    """Move a city's catalogue into an empty shared database, or back into its folder.

    Stop the programs that have the city open first. The old catalogue stays under another name.
    """

    database: str | None = None
    """Address of the database: postgresql://USER@HOST:PORT/NAME, without a password."""
    into_folder: bool = False
    """Back into a file of the city's folder."""

    def run(self) -> int:
        """Do it."""
        from passerby.city.address import CATALOGUE, Address
        from passerby.service.moving import move

        if (self.database is None) == (not self.into_folder):
            raise InputError("say where to: --database ADDRESS or --into-folder")
        folder = there(self.city)
        if self.database is None:
            target = Address(where=folder / CATALOGUE)
        else:
            target = Address.of(folder, self.database)
        rows = move(folder, target)
        print(f"{target}: {sum(rows.values())} rows, {rows['audit']} of them of the audit")
        return 0


def there(folder: Path) -> Path:
    """The folder, where it holds a city.

    Raises:
        InputError: it holds none.
    """
    from passerby.city.address import has_city

    if not has_city(folder):
        raise InputError(f"there is no city in {folder}; make one first")
    return folder


def database(arguments: Sequence[str]) -> int:
    """Run ``passerby admin database current | upgrade | join | move``."""
    targets = {"current": Current, "upgrade": Upgrade, "join": Join, "move": Move}
    choice: Current | Upgrade | Join | Move = parse_choice(targets, arguments, "admin database")
    return choice.run()
