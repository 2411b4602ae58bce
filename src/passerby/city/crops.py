"""Crops as files that are named by their content: ``crops/<2 hex>/<sha256>.jpg``.

Beside a crop may lie ``<sha256>.scene.jpg``, a small picture of the whole scene. It lives and dies
with its crop. The JPEG comment of the crop names its clip, its place in it, and the SHA-256 of the
scene's file (:class:`Context`), so the crop's name vouches for all three.
"""

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from passerby.errors import InputError
from passerby.files import put_in_place, sha256, write_bytes

SCENE = ".scene.jpg"
LINKABLE = 256  # scenes that were just stored, and may be those of other crops too
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """Where a crop was cut from a clip; the JPEG comment of the crop's file.

    Attributes:
        clip: SHA-256 of the clip's file.
        frame: Number of the frame in the clip, from 0.
        position: Seconds at which a player finds the frame; None where that is not sure.
        size: (height, width) of the frame in pixels, to which the sighting's box belongs.
        scene: SHA-256 of the scene's file; empty without one.
    """

    clip: str
    frame: int
    position: float | None
    size: tuple[int, int]
    scene: str = ""

    def as_comment(self) -> bytes:
        """The context as a JPEG comment."""
        return json.dumps({"passerby": asdict(self)}, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, comment: bytes) -> "Context | None":
        """Read a JPEG comment; None where it is another program's."""
        try:
            body = json.loads(comment)["passerby"]
            return cls(**{**body, "size": tuple(body["size"])})
        except (ValueError, KeyError, TypeError):
            return None


class CropStore:
    """JPEG files named by the SHA-256 of their bytes; the same picture is stored once."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder``, which is made with the first crop."""
        self.folder = folder
        self._linkable: dict[str, Path] = {}  # SHA-256 of a scene -> a file of it

    def put(self, jpeg: bytes, scene: bytes = b"") -> str:
        """Store a JPEG file's bytes and return their SHA-256; durable when it returns.

        Args:
            jpeg: The crop.
            scene: The picture of its scene, a JPEG file too. Crops of one frame share its file by
                a hard link where the file system has them.

        Raises:
            InputError: The bytes are no JPEG file.
        """
        if not jpeg.startswith(b"\xff\xd8\xff"):
            raise InputError("a crop must be a JPEG file; encode the picture as JPEG first")
        name = sha256(jpeg)
        path = self._path(name)
        if scene:
            self._put_scene(self._scene_path(name), scene)
        if path.exists():
            os.utime(path)  # remove_unused spares it while its sighting is not stored yet
            return name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, jpeg, mode=0o600)
        return name

    def _put_scene(self, path: Path, scene: bytes) -> None:
        """Write a scene before its crop, so that a stored crop has its scene."""
        if path.exists():
            os.utime(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = sha256(scene)
        shared = self._linkable.get(digest)
        with contextlib.suppress(OSError):  # the file is gone, or has all the links it may have
            if shared is not None:
                partial = path.with_name(f".{path.name}.new")
                os.link(shared, partial)
                put_in_place(partial, path)
                return
        write_bytes(path, scene, mode=0o600)
        self._linkable[digest] = path
        for old in list(self._linkable)[:-LINKABLE]:
            self._linkable.pop(old, None)

    def scene_path(self, name: str) -> Path | None:
        """Path of the scene of a stored crop; None where it has none."""
        path = self._scene_path(name)
        return path if _HASH.fullmatch(name) and path.exists() else None

    def context(self, name: str) -> Context | None:
        """Where a stored crop was cut; None where its file does not say.

        Raises:
            InputError: There is no such crop.
        """
        from PIL import Image

        path = self.path(name)
        try:
            with Image.open(path) as picture:  # reads the head of the file alone
                return Context.parse(picture.info.get("comment", b""))
        except OSError:  # no picture that Pillow knows
            return None

    def path(self, name: str) -> Path:
        """Path of a stored crop.

        Raises:
            InputError: There is no such crop.
        """
        if not _HASH.fullmatch(name) or not self._path(name).exists():
            raise InputError(f"there is no crop '{name}' in this city")
        return self._path(name)

    def remove(self, name: str) -> bool:
        """Delete a crop with its scene, and return whether it was there."""
        there = name in self
        if there:
            self._path(name).unlink(missing_ok=True)
            self.remove_scene(name)
        return there

    def remove_scene(self, name: str) -> bool:
        """Delete the scene of a crop, and return whether it was there."""
        path = self.scene_path(name)
        if path is not None:
            path.unlink(missing_ok=True)
        return path is not None

    def remove_unused(
        self, used: Callable[[Sequence[str]], set[str]], *, grace: float = 600.0
    ) -> int:
        """Delete the crops that no sighting names with their scenes; return the bytes freed.

        Args:
            used: Returns those of the given names that some sighting has.
            grace: Seconds for which a new crop is spared, because its sighting may not be stored
                yet.
        """
        freed = 0
        now = time.time()
        for shelf in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            paths = [path for path in shelf.iterdir() if now - path.stat().st_mtime >= grace]
            names = {path.name.split(".")[0] for path in paths}  # a scene has its crop's name
            kept = used([name for name in names if _HASH.fullmatch(name)])
            for path in paths:  # also the parts of interrupted writes
                if path.name.split(".")[0] not in kept:
                    stat = path.stat()
                    freed += stat.st_size if stat.st_nlink == 1 else 0  # the last link frees it
                    path.unlink(missing_ok=True)
        return freed

    def __contains__(self, name: str) -> bool:
        return bool(_HASH.fullmatch(name)) and self._path(name).exists()

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.jpg"

    def _scene_path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}{SCENE}"
