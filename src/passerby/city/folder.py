"""The files by which a city's folder is known; cheap to ask, without a database's packages."""

from pathlib import Path

CATALOGUE = "catalogue.sqlite"
ADDRESS_FILE = "database.json"  # instead: where the catalogue is
PASSWORD_FILE = "database.password"


def has_city(folder: Path | str) -> bool:
    """Whether a folder holds a city: its catalogue, or the address of one."""
    return any((Path(folder) / name).is_file() for name in (CATALOGUE, ADDRESS_FILE))
