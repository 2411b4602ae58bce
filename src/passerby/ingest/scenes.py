"""Scenes: a small picture of the whole frame for each sighting."""

import io
from collections import deque
from typing import Any
from weakref import ReferenceType, ref

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONGER_SIDE = 480  # pixels of a scene
SCENE_QUALITY = 60  # JPEG
UNCOMPRESSED = 128  # scenes that are held as pixels, half a megabyte each


class Scene:
    """A frame as a small picture, from the moment its crops are cut until they are stored."""

    def __init__(
        self,
        pixels: NDArray[np.uint8] | None,
        size: tuple[int, int],
        position: float | None,
        clip: str,
    ) -> None:
        """Hold a picture of a frame.

        Args:
            pixels: (h, w, 3) RGB of any shape; None where no picture is kept.
            size: (H, W) of the frame.
            position: Seconds at which a player finds the frame; None where that is not sure.
            clip: SHA-256 of the clip's file.
        """
        self._pixels = pixels
        self._jpeg = b""
        self.size, self.position, self.clip = size, position, clip

    @property
    def jpeg(self) -> bytes:
        """The scene as a JPEG file, at most 480 pixels on its longer side; empty without one."""
        if self._pixels is not None:
            scale = min(1.0, LONGER_SIDE / max(self.size))
            height, width = (max(1, round(side * scale)) for side in self.size)
            small = Image.fromarray(self._pixels).resize((width, height), Image.Resampling.BILINEAR)
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=SCENE_QUALITY)
            self._jpeg, self._pixels = buffer.getvalue(), None
        return self._jpeg

    def __getstate__(self) -> dict[str, Any]:
        """The state as it is kept in a position: the picture as JPEG, a tenth of its pixels."""
        return {**vars(self), "_jpeg": self.jpeg, "_pixels": None}


class SceneMemory:
    """Compresses the scenes that are held for long, so that memory stays bounded."""

    def __init__(self) -> None:
        """Start without scenes."""
        self._recent: deque[ReferenceType[Scene]] = deque()

    def add(self, scene: Scene) -> Scene:
        """Hold a scene; the one that came long before it is compressed if it is still wanted."""
        self._recent.append(ref(scene))
        if len(self._recent) > UNCOMPRESSED:
            old = self._recent.popleft()()
            if old is not None:
                _ = old.jpeg
        return scene
