"""Where a city's catalogue lies: a file in its folder, or a PostgreSQL database.

The address of a database is kept in the city's folder, its password is not. The password comes from
the environment, from a file that the environment names, or from a file of the folder that only its
owner can read.
"""

import json
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from passerby.errors import InputError, MissingExtraError
from passerby.files import write_json

if TYPE_CHECKING:
    from sqlalchemy import URL

CATALOGUE = "catalogue.sqlite"
ADDRESS_FILE = "database.json"  # in a folder without a catalogue: where the catalogue is
PASSWORD_FILE = "database.password"
PASSWORD = "PASSERBY_DATABASE_PASSWORD"  # an environment variable; with _FILE, a file's path
EXAMPLE = "postgresql+pg8000://passerby@db.example:5432/city"
DRIVER = "postgresql+pg8000"
_SPELLINGS = ("postgresql", "postgres", DRIVER)
_OPTIONS = frozenset({"sslmode", "sslrootcert", "unix_sock"})
LOOPBACK = frozenset({"", "localhost", "127.0.0.1", "::1"})


def has_city(folder: Path | str) -> bool:
    """Whether a folder holds a city: its catalogue, or the address of one."""
    return any((Path(folder) / name).is_file() for name in (CATALOGUE, ADDRESS_FILE))


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a catalogue is, and the password that opens it.

    Attributes:
        where: A SQLite file, or a PostgreSQL database.
        password: Of the user in the database's address; never printed.
    """

    where: "Path | URL"
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, folder: Path, database: str | None = None) -> "Address":
        """The catalogue of a city's folder, or the database that is named instead of it.

        Raises:
            InputError: The address or the password file cannot be used.
        """
        url = read_address(folder) if database is None else parse_address(database)
        if url is None:
            return cls(where=folder / CATALOGUE)
        return cls(where=url, password=read_password(folder))

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for a database."""
        return self.where if isinstance(self.where, Path) else None

    def __str__(self) -> str:
        """The address for messages, without the password."""
        if isinstance(self.where, Path):
            return str(self.where)
        return f"{self.where.host or 'this machine'}/{self.where.database}"


def parse_address(address: str) -> "URL":
    """A database's address in one spelling. It names the user and holds no password.

    Args:
        address: ``postgresql://USER@HOST:PORT/NAME``, with ``?sslmode=verify-full`` (the default
            for another machine), ``require`` (encrypted, the server's name not checked) or
            ``disable``, ``sslrootcert=FILE``, or ``unix_sock=PATH`` of a server on this machine.

    Raises:
        InputError: It is no address, not one of PostgreSQL, or it holds a password.
    """
    try:
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError:
        raise MissingExtraError("sqlalchemy", "city") from None
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):  # the text itself is not repeated: it may hold a password
        raise InputError(f"the database's address cannot be read; give one as {EXAMPLE}") from None
    if url.drivername not in _SPELLINGS:
        raise InputError(
            f"a database of kind '{url.drivername}' cannot hold a city; give one as {EXAMPLE}"
        )
    if url.password is not None or "password" in url.query:
        raise InputError(
            "the database's address holds a password; leave it out and set it in the environment "
            f"as {PASSWORD}, or in a file whose path is in {PASSWORD}_FILE"
        )
    unknown = sorted(set(url.query) - _OPTIONS)
    if unknown:
        raise InputError(
            f"the database's address has the unknown option '{unknown[0]}'; there are: "
            f"{', '.join(sorted(_OPTIONS))}"
        )
    if not url.database or not url.username:
        raise InputError(f"the database's address lacks the user or the name; as in {EXAMPLE}")
    return url.set(drivername=DRIVER)


def read_address(folder: Path) -> "URL | None":
    """The address that a city's folder names; None for a catalogue in the folder itself.

    Raises:
        InputError: The file is damaged.
    """
    path = folder / ADDRESS_FILE
    try:
        return parse_address(json.loads(path.read_text(encoding="utf-8"))["address"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        said = f": {error}" if isinstance(error, InputError) else "; connect the folder again"
        raise InputError(f"'{path}' does not say where the city's database is{said}") from None


def write_address(folder: Path, address: "URL") -> None:
    """Write into a city's folder where its catalogue is."""
    write_json(folder / ADDRESS_FILE, {"address": address.render_as_string()})


def read_password(folder: Path | None = None, *, variable: str = PASSWORD) -> str | None:
    """A password from the environment or from a file; None when there is none.

    Args:
        folder: A city's folder; its file ``database.password`` is the last place to look.
        variable: The environment variable. The same name with ``_FILE`` behind it holds the path of
            a file.

    Raises:
        InputError: The file cannot be read, or other users of the machine can read it.
    """
    given = os.environ.get(variable)
    if given:
        return given
    named = os.environ.get(f"{variable}_FILE")
    path = Path(named) if named else None
    if path is None and folder is not None and (folder / PASSWORD_FILE).is_file():
        path = folder / PASSWORD_FILE
        if path.stat().st_mode & 0o077:
            raise InputError(f"others can read '{path}'; make it private: chmod 600")
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the password file '{path}' cannot be read: {error}") from None


def tls_of(url: "URL") -> ssl.SSLContext | bool:
    """The encryption of the connection to a database, False for none.

    By default a connection to another machine is encrypted and the server's certificate and name
    are checked.

    Raises:
        InputError: The mode is unknown, or there is no such certificate file.
    """
    local = (url.host or "") in LOOPBACK
    mode = url.query.get("sslmode", "disable" if local else "verify-full")
    if mode == "disable":
        return False
    if mode not in ("require", "verify-full"):
        raise InputError(f"there is no sslmode '{mode}'; take verify-full, require or disable")
    root = url.query.get("sslrootcert")
    try:
        context = ssl.create_default_context(cafile=str(root) if root else None)
    except OSError as error:  # also what is no certificate
        raise InputError(f"'{root}' cannot be used as sslrootcert: {error}") from None
    if mode == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
