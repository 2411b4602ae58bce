"""Person detection: the interface of a detector, and which one a name or a path means."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.ingest.frames import Frame
from passerby.models import zoo
from passerby.models.zoo.download import Progress

FLOOR = 0.05  # a box of less confidence is noise, also for a tracker that uses weak boxes
BUNDLED = Path(__file__).parent / "weights"  # a detector that the package brings, if it has one
DEFAULT = "person-detection-retail-0013"  # the smallest download, and the fastest on a CPU
FILES = (".xml", ".onnx")


@dataclass(frozen=True, kw_only=True)
class Detections:
    """The people in one frame, in order of falling confidence."""

    boxes: NDArray[np.float32]
    """(N, 4) x0, y0, x1, y1 in pixels, inside the frame."""
    scores: NDArray[np.float32]
    """(N,) confidence in 0..1."""

    def __len__(self) -> int:
        """Count the boxes."""
        return len(self.scores)

    def above(self, confidence: float) -> "Detections":
        """Keep the boxes of at least this confidence."""
        keep = self.scores >= confidence
        return Detections(boxes=self.boxes[keep], scores=self.scores[keep])

    @classmethod
    def of(
        cls, boxes: NDArray[np.float32], scores: NDArray[np.float32], frame: NDArray[np.uint8]
    ) -> "Detections":
        """Clip boxes to a frame, drop noise and slivers, and sort by confidence.

        Args:
            boxes: (N, 4) x0, y0, x1, y1 in pixels of the frame.
            scores: (N,) confidence in 0..1.
            frame: (H, W, 3).
        """
        height, width = frame.shape[:2]
        boxes = np.clip(boxes, 0, np.array([width, height, width, height], dtype=np.float32))
        sides = boxes[:, 2:] - boxes[:, :2]
        keep = (scores >= FLOOR) & (sides > 1).all(axis=1)  # NaN compares as false
        boxes, scores = boxes[keep], scores[keep]
        order = np.argsort(-scores, kind="stable")
        return cls(boxes=boxes[order], scores=scores[order])


class Detector(ABC):
    """Finds people in frames. Another detector is a subclass with ``name`` and ``detect``."""

    name: str
    """Name of the network and hash of its weights."""
    stretched: tuple[int, int] | None = None
    """(H, W) to which every frame is stretched; None for a network that needs the whole frame."""

    def detect_frames(self, frames: Sequence[Frame]) -> list[Detections]:
        """Find the people in frames of a clip, in pixels of the frames.

        Frames that are stretched anyway are scaled by FFmpeg while they are still YUV.
        """
        if self.stretched is None:
            return self.detect([frame.image for frame in frames])
        found = self.detect([frame.resized(self.stretched) for frame in frames])
        return [
            replace(one, boxes=one.boxes * _ratio(self.stretched, frame.size))
            for one, frame in zip(found, frames, strict=True)
        ]

    @abstractmethod
    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Find the people in each frame.

        Args:
            frames: (H, W, 3) uint8 RGB each.

        Returns:
            One :class:`Detections` per frame, with weak boxes down to a confidence of 0.05.
        """

    def describe(self) -> dict[str, Any]:
        """Say what the network takes and gives, for ``passerby model-info``."""
        return {"detector": self.name}

    @staticmethod
    def load(detector: str | Path, *, precision: str = "fp32") -> "Detector":
        """Open a detector: a file (.xml or .onnx), a pulled name, or "default".

        The kind of output is found from its names and shapes; see ``docs/ingest.md``.

        Args:
            detector: The file or the name.
            precision: "fp32", or "bf16" where the processor computes with it; of a quantised
                network, the arithmetic of the layers in floating point.

        Raises:
            InputError: There is no such file or name, it is not pulled, it is no person detector
                whose output is known, or it has no such precision.
        """
        from passerby.ingest.detector_networks import NetworkDetector
        from passerby.ingest.detector_torch import TorchvisionDetector

        if precision not in ("fp32", "bf16"):
            raise InputError(f"a detector has no precision '{precision}'; choose fp32 or bf16")
        path, entry = find_detector(detector)
        if path.suffix == ".pth" and entry is not None:
            if precision != "fp32":
                raise InputError(f"'{path}' is run by PyTorch in fp32; leave --precision out")
            return TorchvisionDetector(path, entry.architecture)
        if path.suffix not in FILES:
            raise InputError(
                f"the detector '{path}' must be an OpenVINO .xml or an .onnx file, or a name of "
                "'passerby models list detection'"
            )
        return NetworkDetector(path, precision=precision)


def find_detector(detector: str | Path) -> tuple[Path, zoo.ZooEntry | None]:
    """Find the file of a detector, and its entry in the table of published ones.

    Args:
        detector: A path, the name of a pulled detector, or "default": the bundled detector if
            there is one, else the pulled ``person-detection-retail-0013``, else another pulled one.

    Raises:
        InputError: There is no such file, the name is no detector's, or it is not pulled yet.
    """
    if str(detector) == "default":
        return _default()
    path, name = Path(detector), str(detector)
    known = name in zoo.entries() or name.replace("_", "-") in zoo.entries()
    if known and not path.exists():
        entry = zoo.find(name)
        if not entry.detects:
            raise InputError(f"'{name}' is no person detector; it is a network for --model")
        pulled = zoo.pulled(entry.name)
        if pulled is None:
            raise InputError(
                f"the detector '{name}' is not here yet; run: passerby models pull {entry.name}"
            )
        return pulled, entry
    if not path.is_file() and not path.suffix and len(path.parts) == 1:
        raise InputError(
            f"there is no detector '{name}', neither a file nor a published name; "
            "'passerby models list detection' has the names"
        )
    return path, zoo.entries().get(path.stem)


def pull_default(
    say: Callable[[str], None],
    bars: Callable[[], AbstractContextManager[Callable[[str], Progress]]],
) -> None:
    """Download the default detector where no detector is bundled or pulled.

    Args:
        say: Gets one line that says what is downloaded, and what to do without a network.
        bars: Gives progress bars, as :func:`passerby.models.zoo.pull` takes them.

    Raises:
        InputError: It cannot be downloaded; the message says what to do by hand.
    """
    if _here() is not None:
        return
    entry = zoo.find(DEFAULT)
    megabytes = sum(file.size or 0 for file in entry.files) / 1e6
    say(
        f"no person detector is here; pulling {DEFAULT} ({megabytes:.1f} MB, "
        f"{entry.weights_licence}); offline give --detector FILE, or bring its files: "
        f"passerby models pull {DEFAULT} --from FOLDER"
    )
    with bars() as start:
        zoo.pull(DEFAULT, on_progress=start)


def _default() -> tuple[Path, zoo.ZooEntry | None]:
    found = _here()
    if found is None:
        raise InputError(
            f"no person detector is here; run: passerby models pull {DEFAULT}, or offline "
            f"{zoo.bring(zoo.find(DEFAULT))}, or give --detector FILE"
        )
    return found


def _here() -> tuple[Path, zoo.ZooEntry | None] | None:
    """The bundled detector, else the default one if pulled, else the first pulled one."""
    for path in sorted(BUNDLED.glob("*")):
        if path.suffix in FILES:
            return path, None
    names = (DEFAULT, *(entry.name for entry in zoo.entries().values() if entry.detects))
    found = ((zoo.pulled(name), zoo.find(name)) for name in names)
    return next(((path, entry) for path, entry in found if path), None)


def _ratio(size: tuple[int, int], wanted: tuple[int, int]) -> NDArray[np.float32]:
    """(4,) factors of x0, y0, x1, y1 from pictures of one (H, W) to those of another."""
    ratio: NDArray[np.float32] = np.tile(np.divide(wanted, size)[::-1], 2).astype(np.float32)
    return ratio
