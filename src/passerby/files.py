"""Files that are written whole or not at all, made durable, and hashed; tables that are opened."""

import hashlib
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from passerby.errors import InputError, MissingExtraError, one_line


@contextmanager
def replacing(path: Path | str, *, mode: int | None = None) -> Iterator[Path]:
    """Write a file that appears whole, is durable, or does not appear at all.

    The block writes to a temporary file in the same folder, with the same suffix. At the end of
    the block the temporary file takes the place of ``path`` in one step; after an exception it is
    removed and ``path`` is as before. Threads and processes that write the same file at once do
    not disturb each other: the last one stays.

    Args:
        path: The file to write; a link is replaced, its target is not.
        mode: Permission bits, such as 0o600. Without it a file that exists keeps its own, and a
            new file gets what the user's umask grants.

    Yields:
        The temporary file, which is there and empty.

    Raises:
        OSError: The folder cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(6)}.part{path.suffix}")
    try:
        partial.touch(0o666 if mode is None else mode, exist_ok=False)
        if mode is None:
            mode = stat.S_IMODE((path if path.exists() else partial).stat().st_mode)
        yield partial
        partial.chmod(mode)  # some writers, safetensors for one, make files for their owner alone
        put_in_place(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path | str, data: bytes, *, mode: int | None = None) -> None:
    """Write a file of bytes as :func:`replacing` does."""
    with replacing(path, mode=mode) as partial:
        partial.write_bytes(data)


def write_text(path: Path | str, text: str, *, mode: int | None = None) -> None:
    """Write a file of UTF-8 text as :func:`replacing` does."""
    write_bytes(path, text.encode(), mode=mode)


def write_json(path: Path | str, value: Any, *, mode: int | None = None) -> None:
    """Write a JSON file, indented by two, as :func:`replacing` does."""
    write_text(path, json.dumps(value, indent=2) + "\n", mode=mode)


@contextmanager
def making_folder(folder: Path) -> Iterator[Path]:
    """Fill a new folder that appears under its name when the block has ended without an error.

    What the block writes is made durable by the block; here only the folder's name is.

    Args:
        folder: The folder to make. An empty folder of that name is replaced.

    Yields:
        The folder to fill, which lies beside it under a temporary name.

    Raises:
        OSError: The folder above cannot be written, or ``folder`` has content.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        yield made
        os.replace(made, folder)
        sync(folder.parent)


def put_in_place(partial: Path, path: Path) -> None:
    """Rename a finished file over ``path`` in one step; durable when it returns."""
    sync(partial)
    os.replace(partial, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Make durable what a file holds, or the names of files that a folder holds."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(source: Path | bytes) -> str:
    """The SHA-256 of bytes, or of what the file at a path holds, in hexadecimal."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises about a file into an :class:`InputError`."""
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be read as Parquet: {one_line(error)}") from None


def read_table(path: Path) -> Any:
    """Read a whole Parquet file, as pyarrow's ``Table``.

    Raises:
        InputError: There is no such file, or it is no Parquet or damaged.
    """
    file = open_table(path)
    with parquet_errors(path):
        table = file.read()
        table.validate(full=True)
        return table


def open_table(path: Path) -> Any:
    """Open a Parquet file, as pyarrow's ``ParquetFile``.

    Raises:
        InputError: There is no such file, or it is no Parquet.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "tables") from None
    if not path.is_file():
        raise InputError(f"there is no table '{path}'")
    with parquet_errors(path):
        return parquet.ParquetFile(path)
