"""The cache of pulled networks, and the lock for writing there.

``<cache>/models/<name>.json`` points to ``<cache>/models/<name>-<hash>/``, a folder that appears
complete. Its name contains the hash of its content. ``PASSERBY_CACHE`` moves the cache.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from passerby.errors import InputError
from passerby.files import write_json

ENVIRONMENT = "PASSERBY_CACHE"


def cache_folder() -> Path:
    """Return the user's cache folder of Passerby; it may not exist yet."""
    if chosen := os.environ.get(ENVIRONMENT):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "passerby"
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "passerby"


def models_folder() -> Path:
    """Return the folder of networks in the cache, made when it is not there.

    Raises:
        InputError: It cannot be made.
    """
    folder = cache_folder() / "models"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the cache '{folder}' cannot be made ({error.strerror}); set {ENVIRONMENT} to a "
            "folder that can be written"
        ) from None
    return folder


def read_record(name: str) -> dict[str, Any] | None:
    """Read the record of a pulled network; None when it is not there or not complete."""
    path = cache_folder() / "models" / f"{name}.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        main = path.parent / record["folder"] / record["main"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {**record, "path": main} if main.is_file() else None


def pulled(name: str) -> Path | None:
    """Return the network file of a pulled name, or None."""
    record = read_record(name)
    return record["path"] if record else None


def write_record(name: str, record: dict[str, Any]) -> None:
    """Write the record of the pulled network ``name``; it appears complete or not at all."""
    write_json(models_folder() / f"{name}.json", record)


@contextmanager
def sole_writer(name: str, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the writer's lock of ``name``; the system frees it when a process dies."""
    lock = FileLock(models_folder() / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """Compute the digest of a file, as ``algorithm:hex``."""
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def content_hash(files: Sequence[Path]) -> str:
    """Compute one hash over names and contents of files, for a folder's name."""
    whole = hashlib.sha256()
    for file in sorted(files, key=lambda f: f.name):
        whole.update(f"{file.name}\0{digest_of(file)}\0".encode())
    return whole.hexdigest()
