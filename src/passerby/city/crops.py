"""Crops as files that are named by their content: ``crops/<2 hex>/<sha256>.jpg``."""

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from passerby.errors import InputError
from passerby.files import sha256, write_bytes

_HASH = re.compile(r"[0-9a-f]{64}")


class CropStore:
    """JPEG files named by the SHA-256 of their bytes; the same picture is stored once."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder``, which is made with the first crop."""
        self.folder = folder

    def put(self, jpeg: bytes) -> str:
        """Store a JPEG file's bytes and return their SHA-256; durable when it returns.

        Raises:
            InputError: The bytes are no JPEG file.
        """
        if not jpeg.startswith(b"\xff\xd8\xff"):
            raise InputError("a crop must be a JPEG file; encode the picture as JPEG first")
        name = sha256(jpeg)
        path = self._path(name)
        if path.exists():
            os.utime(path)  # remove_unused spares it while its sighting is not stored yet
            return name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, jpeg, mode=0o600)
        return name

    def path(self, name: str) -> Path:
        """Path of a stored crop.

        Raises:
            InputError: There is no such crop.
        """
        if not _HASH.fullmatch(name) or not self._path(name).exists():
            raise InputError(f"there is no crop '{name}' in this city")
        return self._path(name)

    def remove(self, name: str) -> bool:
        """Delete a crop, and return whether it was there."""
        there = name in self
        if there:
            self._path(name).unlink(missing_ok=True)
        return there

    def remove_unused(
        self, used: Callable[[Sequence[str]], set[str]], *, grace: float = 600.0
    ) -> int:
        """Delete the crops that no sighting names, and return the number of bytes freed.

        Args:
            used: Returns those of the given names that some sighting has.
            grace: Seconds for which a new crop is spared, because its sighting may not be stored
                yet.
        """
        freed = 0
        now = time.time()
        for shelf in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            paths = [path for path in shelf.iterdir() if now - path.stat().st_mtime >= grace]
            crops = {path.stem: path for path in paths if _HASH.fullmatch(path.stem)}
            kept = used(list(crops))
            for path in paths:  # also the parts of interrupted writes
                if path.stem not in kept:
                    freed += path.stat().st_size
                    path.unlink(missing_ok=True)
        return freed

    def __contains__(self, name: str) -> bool:
        return bool(_HASH.fullmatch(name)) and self._path(name).exists()

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.jpg"
