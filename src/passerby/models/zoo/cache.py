"""Where pulled networks are kept, and who may write there.

``<cache>/models/<name>.json`` points to ``<cache>/models/<name>-<hash>/``, a folder that appears
whole and is named by the hash of what is in it. ``PASSERBY_CACHE`` moves the cache.
"""

import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from passerby.errors import InputError

ENVIRONMENT = "PASSERBY_CACHE"


def cache_folder() -> Path:
    """The user's cache folder of Passerby; it need not exist."""
    if chosen := os.environ.get(ENVIRONMENT):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "passerby"
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "passerby"


def models_folder() -> Path:
    """The networks' part of the cache, made when it is not there.

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
    """What is known of a pulled network, or None when it is not there (or not whole)."""
    path = cache_folder() / "models" / f"{name}.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        main = path.parent / record["folder"] / record["main"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {**record, "path": main} if main.is_file() else None


def pulled(name: str) -> Path | None:
    """The network file of a pulled name, or None."""
    record = read_record(name)
    return record["path"] if record else None


def write_record(name: str, record: dict[str, Any]) -> None:
    """Point ``name`` to what was pulled; the record appears whole."""
    path = models_folder() / f"{name}.json"
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)


@contextmanager
def sole_writer(name: str, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the writer's lock of ``name``; the kernel frees it when a process dies."""
    handle = os.open(models_folder() / f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """``algorithm:hex`` of a file."""
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def content_hash(files: Sequence[Path]) -> str:
    """One hash over names and contents of files, for a folder's name."""
    whole = hashlib.sha256()
    for file in sorted(files, key=lambda f: f.name):
        whole.update(f"{file.name}\0{digest_of(file)}\0".encode())
    return whole.hexdigest()
