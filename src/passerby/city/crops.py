"""Crops as files by content: ``crops/<2 hex>/<sha256>.jpg``."""

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from passerby.city.disk import sync
from passerby.errors import InputError

_HASH = re.compile(r"[0-9a-f]{64}")


class CropStore:
    """JPEG files named by the SHA-256 of their bytes; the same picture is stored once."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder``; it is made when the first crop arrives."""
        self.folder = folder

    def put(self, jpeg: bytes) -> str:
        """Store a JPEG file's bytes and return their SHA-256; durable when it returns.

        Raises:
            InputError: the bytes are no JPEG file.
        """
        if not jpeg.startswith(b"\xff\xd8\xff"):
            raise InputError("a crop must be a JPEG file; encode the picture as JPEG first")
        name = hashlib.sha256(jpeg).hexdigest()
        path = self._path(name)
        if path.exists():
            os.utime(path)  # young again: a sweep leaves it alone until its sighting is stored
            return name
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(jpeg)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync(path.parent)
        return name

    def path(self, name: str) -> Path:
        """Path of a stored crop.

        Raises:
            InputError: there is no such crop.
        """
        if not _HASH.fullmatch(name) or not self._path(name).exists():
            raise InputError(f"there is no crop '{name}' in this city")
        return self._path(name)

    def remove_unused(
        self, used: Callable[[Sequence[str]], set[str]], *, grace: float = 600.0
    ) -> int:
        """Delete the crops that no sighting names; returns bytes freed.

        Args:
            used: answers which of the given names some sighting still has.
            grace: seconds for which a new crop is spared, as its sighting may be on its way.
        """
        freed = 0
        now = time.time()
        for shelf in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            paths = [path for path in shelf.iterdir() if now - path.stat().st_mtime >= grace]
            crops = {path.stem: path for path in paths if _HASH.fullmatch(path.stem)}
            kept = used(list(crops))
            for path in paths:  # parts of interrupted writes go as well
                if path.stem not in kept:
                    freed += path.stat().st_size
                    path.unlink(missing_ok=True)
        return freed

    def __contains__(self, name: str) -> bool:
        return bool(_HASH.fullmatch(name)) and self._path(name).exists()

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.jpg"
