"""Person detection: the interface of a detector, and OpenVINO networks with an SSD head."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.files import sha256
from passerby.ingest.frames import Frame
from passerby.runtime import resize
from passerby.runtime.openvino_backend import PRECISIONS
from passerby.runtime.openvino_models import compile_network, import_openvino, read_openvino

PERSON = 1  # the class of people in the retail and pedestrian networks
FLOOR = 0.05  # a box of less confidence is noise, also for a tracker that uses weak boxes


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

    @staticmethod
    def load(path: str | Path, *, precision: str = "fp32") -> "Detector":
        """Open a detection network with an SSD head (.xml or .onnx).

        Args:
            path: The network's file.
            precision: "fp32", or "bf16" where the processor computes with it; of a quantised
                network, the arithmetic of the layers in floating point.

        Raises:
            InputError: There is no such file, or it is no detection network; no such precision.
        """
        return SsdDetector(path, precision=precision)


class SsdDetector(Detector):
    """OpenVINO networks with an SSD head, such as person-detection-retail-0013.

    Input (1, 3, H, W) BGR 0..255; output (1, 1, N, 7) rows of image, class, confidence and
    x0, y0, x1, y1 in 0..1. Frames run as parallel requests, one on each of a few cores, which is
    faster than one frame on all cores.
    """

    def __init__(self, path: str | Path, *, precision: str = "fp32") -> None:
        """Open the network; see :meth:`Detector.load`."""
        if precision not in ("fp32", "bf16"):
            raise InputError(f"a detector has no precision '{precision}'; choose fp32 or bf16")
        openvino = import_openvino()
        path = Path(path)
        if path.suffix not in (".xml", ".onnx"):
            raise InputError(f"the detector '{path}' must be an OpenVINO .xml or an .onnx file")
        model = read_openvino(path)
        self.name = _name(path) + ("" if precision == "fp32" else f"-{precision}")
        self.size = self.stretched = _input_size(model, path)
        arithmetic = PRECISIONS[precision]
        options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": arithmetic}
        compiled = compile_network(_with_pixels(openvino, model), options)
        self._queue = openvino.AsyncInferQueue(compiled)
        self._queue.set_callback(_keep_rows)
        self._lock = Lock()  # the queue serves one caller at a time

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Find people; see :meth:`Detector.detect`."""
        rows: list[NDArray[np.float32]] = [np.empty((0, 7), np.float32)] * len(frames)
        with self._lock:
            for index, frame in enumerate(frames):
                self._queue.start_async(resize(frame, self.size)[None], (rows, index))
            self._queue.wait_all()
        return [_from_rows(found, frame) for found, frame in zip(rows, frames, strict=True)]


def _ratio(size: tuple[int, int], wanted: tuple[int, int]) -> NDArray[np.float32]:
    """(4,) factors of x0, y0, x1, y1 from pictures of one (H, W) to those of another."""
    ratio: NDArray[np.float32] = np.tile(np.divide(wanted, size)[::-1], 2).astype(np.float32)
    return ratio


def _name(path: Path) -> str:
    """The file's name and a hash of the weights."""
    weights = path.with_suffix(".bin") if path.suffix == ".xml" else path
    return f"{path.stem}-{sha256(weights)[:12]}"


def _input_size(model: Any, path: Path) -> tuple[int, int]:
    """Return (H, W) of the input; InputError when the network is no SSD person detector."""
    if len(model.inputs) == len(model.outputs) == 1:
        entry, result = (port.get_partial_shape() for port in (model.input(), model.output()))
        if entry.is_static and result.rank.is_static and len(entry) == 4:
            channels, height, width = (side.get_length() for side in list(entry)[1:])
            if channels == 3 and str(list(result)[-1]) == "7":
                return height, width
    raise InputError(
        f"'{path}' is not a person detector: one takes a picture 1x3xHxW and gives rows of 7 "
        "values, as person-detection-retail-0013 does"
    )


def _with_pixels(openvino: Any, model: Any) -> Any:
    """Add a conversion to the graph, so that its input is uint8 RGB (1, H, W, 3)."""
    from openvino.preprocess import ColorFormat, PrePostProcessor

    steps = PrePostProcessor(model)
    entry = steps.input()
    entry.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    entry.tensor().set_color_format(ColorFormat.RGB)
    entry.model().set_layout(openvino.Layout("NCHW"))
    entry.preprocess().convert_element_type(openvino.Type.f32).convert_color(ColorFormat.BGR)
    return steps.build()


def _keep_rows(request: Any, place: tuple[list[NDArray[np.float32]], int]) -> None:
    rows, index = place
    rows[index] = request.get_output_tensor(0).data.reshape(-1, 7).copy()


def _from_rows(rows: NDArray[np.float32], frame: NDArray[np.uint8]) -> Detections:
    """The boxes of people, more than a pixel wide and high, in pixels and clipped to the frame."""
    ends = np.flatnonzero(rows[:, 0] < 0)  # a negative image number ends the list
    rows = rows[: ends[0]] if len(ends) else rows
    rows = rows[(rows[:, 1] == PERSON) & (rows[:, 2] >= FLOOR)]
    height, width = frame.shape[:2]
    scale = np.array([width, height, width, height], dtype=np.float32)
    boxes = np.clip(rows[:, 3:7] * scale, 0, scale)
    sides = boxes[:, 2:] - boxes[:, :2]
    keep = (sides > 1).all(axis=1)
    boxes, scores = boxes[keep], rows[keep, 2]
    order = np.argsort(-scores, kind="stable")
    return Detections(boxes=boxes[order], scores=scores[order])
