"""A frame of a clip: its time, its pixels, and the small pictures that are made of it."""

from functools import cached_property
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.ingest.scenes import LONGER_SIDE, Scene, SceneMemory
from passerby.runtime import resize

_own = local()  # a scaler keeps its tables, and serves one thread


class Frame:
    """One frame of a clip.

    A decoded picture is held as the decoder gives it, in half the bytes of RGB. It is turned into
    RGB when somebody asks: most frames of most cameras show nobody.
    """

    def __init__(
        self,
        *,
        index: int,
        time: int,
        image: NDArray[np.uint8] | None = None,
        decoded: Any = None,
        position: float | None = None,
    ) -> None:
        """Make a frame of an RGB picture or of a decoded one.

        Args:
            index: Number of the frame in the clip, from 0, every decoded frame counted.
            time: When it was taken: milliseconds since the epoch, UTC; each later than the one
                before.
            image: (H, W, 3) RGB.
            decoded: A PyAV frame, in place of ``image``.
            position: Seconds at which a player finds the frame in the clip's file; None where that
                is not sure.
        """
        self.index, self.time, self.position = index, time, position
        self.scenes: SceneMemory | None = None
        """Holds the scene of the frame; without one, no picture of it is kept."""
        self.clip = ""
        """SHA-256 of the clip's file."""
        self._decoded = decoded
        self._resized: NDArray[np.uint8] | None = None
        if image is not None:
            self.__dict__["image"] = image

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """(H, W, 3) RGB, turned as the recorder's display matrix asks."""
        return upright(self._decoded)

    @cached_property
    def scene(self) -> Scene:
        """The frame as a small picture, made of the one that the detector looked at."""
        if self.scenes is None:
            return Scene(None, self.size, self.position, self.clip)
        scale = min(1.0, LONGER_SIDE / max(self.size))
        fitting = max(1, round(self.size[0] * scale)), max(1, round(self.size[1] * scale))
        pixels = self.resized(fitting) if self._resized is None else self._resized
        return self.scenes.add(Scene(pixels, self.size, self.position, self.clip))

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        if self._decoded is None or _turns(self._decoded):
            return int(self.image.shape[0]), int(self.image.shape[1])
        return self._decoded.height, self._decoded.width

    def resized(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """The frame as (H, W, 3) RGB of another size; the last one is kept.

        A decoded picture is scaled and converted in one step by FFmpeg, at a third of the cost of
        two. Its bilinear filter widens when it shrinks, as that of
        :func:`passerby.runtime.resize` does; the pixels differ by rounding.
        """
        if self._resized is None or self._resized.shape[:2] != size:
            self._resized = self._scaled(size)
        return self._resized

    def _scaled(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        if self._decoded is None or _turns(self._decoded):
            return resize(self.image, size)
        if not hasattr(_own, "scaler"):
            from av.video.reformatter import VideoReformatter

            _own.scaler = VideoReformatter()
        height, width = size
        scaled = _own.scaler.reformat(
            self._decoded, width, height, format="rgb24", interpolation="BILINEAR"
        )
        small: NDArray[np.uint8] = scaled.to_ndarray()
        return small


def upright(decoded: Any) -> NDArray[np.uint8]:
    """RGB of a decoded frame, turned as the recorder's display matrix asks."""
    image: NDArray[np.uint8] = decoded.to_ndarray(format="rgb24")
    turns = _turns(decoded)
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _turns(decoded: Any) -> int:
    """Quarter turns counter-clockwise."""
    return round(getattr(decoded, "rotation", 0) / 90) % 4
