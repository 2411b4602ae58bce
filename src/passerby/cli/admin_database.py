"""``passerby admin database``: where a city's catalogue is, and which schema it has."""

from contextlib import closing
from dataclasses import dataclass

from passerby.cli.common import OfCity, Result
from passerby.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Current(Result, OfCity):
    """Say where a city's catalogue is and whether its schema is this program's."""

    def main(self) -> None:
        """Print the address and the schema."""
        from passerby.city import schema
        from passerby.city.address import Address
        from passerby.city.engines import open_engine

        address = Address.of(self.require())
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
        state = "as this program needs it" if found == schema.HEAD else "to be upgraded"
        if found is not None and found > schema.HEAD:
            state = "newer than this program"
        self.show(answer, f"{address}: schema {found}, {state} ({schema.HEAD})")


@dataclass(frozen=True, kw_only=True)
class Upgrade(OfCity):
    """Bring the schema of a city's catalogue to that of this program.

    Stop the programs of all machines first, and make a backup of a shared database: pg_dump.
    """

    def main(self) -> None:
        """Upgrade, and say where the former state is kept."""
        from passerby.city import schema
        from passerby.city.address import Address

        address = Address.of(self.require())
        copy = schema.upgrade(address)
        print(f"{address}: schema {schema.HEAD}" + (f"; as it was: {copy}" if copy else ""))


@dataclass(frozen=True, kw_only=True)
class Join(OfCity):
    """Let a folder of this machine belong to the city of a shared database.

    Copy `service.key` of the city's first machine into the folder before.
    """

    database: str
    """Address of the database: postgresql://USER@HOST:PORT/NAME, without a password."""

    def main(self) -> None:
        """Join, and name the city's database."""
        from passerby.city.address import ADDRESS_FILE, Address, has_city
        from passerby.city.catalogue import join_catalogue
        from passerby.service.audit import Audit
        from passerby.service.database import Database

        if has_city(self.city):
            raise InputError(f"there is a city in {self.city} already; name a new folder")
        address = Address.of(self.city, self.database)
        join_catalogue(self.city, address)
        try:
            with closing(Database(address)) as database:
                Audit(database, self.city).adopt_head()
        except InputError:
            (self.city / ADDRESS_FILE).unlink(missing_ok=True)
            raise
        print(f"{self.city} belongs to the city of {address}")


@dataclass(frozen=True, kw_only=True)
class Move(OfCity):
    """Move a city's catalogue into an empty shared database, or back into its folder.

    Stop the programs that have the city open first. The old catalogue stays under another name.
    """

    database: str | None = None
    """Address of the database: postgresql://USER@HOST:PORT/NAME, without a password."""
    into_folder: bool = False
    """Back into a file of the city's folder."""

    def main(self) -> None:
        """Move the rows, and say how many."""
        from passerby.city.address import CATALOGUE, Address
        from passerby.service.moving import move

        if (self.database is None) == (not self.into_folder):
            raise InputError("say where to: --database ADDRESS or --into-folder")
        folder = self.require()
        if self.database is None:
            target = Address(where=folder / CATALOGUE)
        else:
            target = Address.of(folder, self.database)
        rows = move(folder, target)
        print(f"{target}: {sum(rows.values())} rows, {rows['audit']} of them of the audit")
