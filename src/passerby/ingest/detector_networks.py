"""Detectors in OpenVINO and ONNX files: a frame in, the network, the boxes of its head out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import nms

from passerby.errors import InputError, one_line
from passerby.files import sha256
from passerby.ingest.detector import FLOOR, Detections, Detector
from passerby.ingest.detector_heads import KNOWN, Arrays, Head, Port, Ports, recognise
from passerby.models import zoo
from passerby.models.zoo.table import ANY_CLASS
from passerby.runtime import resize
from passerby.runtime.openvino_backend import PRECISIONS
from passerby.runtime.openvino_models import compile_network, import_openvino, read_openvino

OPEN_SIZE = (640, 640)  # height and width where a network leaves them open
GREY = 114  # around a picture that keeps its shape, as YOLOX was trained

Request = dict[int, NDArray[Any]]
"""Number of an input -> its values."""


class NetworkDetector(Detector):
    """A detection network in an OpenVINO or ONNX file, of any family whose head is known."""

    def __init__(self, path: Path, *, precision: str = "fp32") -> None:
        """Open the network; see :meth:`Detector.load`."""
        model = read_openvino(path)
        self.name = network_name(path) + ("" if precision == "fp32" else f"-{precision}")
        self.entry = Entry.of(model, path)
        self.head = _recognise(model, self.entry, path)
        self.stretched = None if self.head.letterbox else self.entry.size
        self._infer = Inference(with_pixels(model, self.entry, self.head), precision)

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Find people; see :meth:`Detector.detect`."""
        requests = (self.entry.request(frame, letterbox=self.head.letterbox) for frame in frames)
        outputs = self._infer(requests, len(frames))
        return [self._people(found, frame) for found, frame in zip(outputs, frames, strict=True)]

    def describe(self) -> dict[str, Any]:
        """Say what the network takes and gives."""
        head, (height, width) = self.head, self.entry.size
        values = "0..255" if head.scale > 1 else "0..1"
        values += ", normalised as for ImageNet" if any(head.mean) else ""
        shape = "its shape kept, grey right or below" if head.letterbox else "stretched"
        return {
            "detector": self.name,
            "output": head.family,
            "people": "every class" if head.person == ANY_CLASS else f"class {head.person}",
            "input": f"{width} x {height} pixels, {head.colour} {values}, {shape}",
            "overlap": "left to the network" if head.overlap is None else head.overlap,
        }

    def _people(self, outputs: Arrays, frame: NDArray[np.uint8]) -> Detections:
        boxes, scores = self.head.decode(outputs)
        keep = scores >= FLOOR
        boxes, scores = boxes[keep], scores[keep]
        height, width = frame.shape[:2]
        if self.head.letterbox:
            ratio = fit(frame, self.entry.size)
            height, width = self.entry.size[0] / ratio, self.entry.size[1] / ratio
        boxes = boxes * np.array([width, height, width, height], dtype=np.float32)
        if self.head.overlap is not None:
            kept = nms(torch.from_numpy(boxes), torch.from_numpy(scores), self.head.overlap).numpy()
            boxes, scores = boxes[kept], scores[kept]
        return Detections.of(boxes, scores, frame)


class Inference:
    """A compiled network that runs requests in parallel: OpenVINO on the CPU.

    Each request runs on one of a few cores, which is faster than one request on all cores.
    """

    def __init__(self, model: Any, precision: str = "fp32") -> None:
        """Compile a network."""
        arithmetic = PRECISIONS[precision]
        options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": arithmetic}
        compiled = compile_network(model, options)
        self._queue = import_openvino().AsyncInferQueue(compiled)
        self._queue.set_callback(_keep_outputs)
        self._lock = Lock()  # the queue serves one caller at a time

    def __call__(self, requests: Iterable[Request], count: int) -> list[Arrays]:
        """Run ``count`` requests and return the outputs of each."""
        found: list[Arrays] = [()] * count
        with self._lock:
            for index, request in enumerate(requests):
                self._queue.start_async(request, (found, index))
            self._queue.wait_all()
        return found


def _keep_outputs(request: Any, place: tuple[list[Arrays], int]) -> None:
    found, index = place
    found[index] = [tensor.data.copy() for tensor in request.output_tensors]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The inputs of a detection network: a picture, and for some its size."""

    picture: int
    """Number of the input that takes the picture."""
    rank: int
    """4 with a batch, 3 without."""
    size: tuple[int, int]
    """(H, W)."""
    sizes: Request
    """The value of the other input, if there is one; RT-DETR wants the width first."""

    @classmethod
    def of(cls, model: Any, path: Path) -> "Entry":
        """Find the inputs, and fix what a network leaves open: one picture, 640 x 640.

        Raises:
            InputError: There is no input for a picture, or one of another kind.
        """
        ports = [_port(port) for port in model.inputs]
        pictures = [i for i, port in enumerate(ports) if port.shape[-3:-2] in ((3,), (None,))]
        others = [i for i in range(len(ports)) if i not in pictures]
        ranks = [len(ports[i].shape) for i in pictures]
        if ranks not in ([3], [4]) or any(ports[i].shape[-1:] != (2,) for i in others):
            raise InputError(
                f"'{path}' is not a person detector that is known: it takes "
                f"{', '.join(map(str, ports))}; one takes a picture [1, 3, H, W], and RT-DETR its "
                "size [1, 2] as well"
            )
        sides = ports[pictures[0]].shape
        height, width = sides[-2] or OPEN_SIZE[0], sides[-1] or OPEN_SIZE[1]
        shape = [1, 3, height, width][-ranks[0] :]
        shapes = {model.input(pictures[0]): shape, **{model.input(i): [1, 2] for i in others}}
        try:
            model.reshape(shapes)
        except RuntimeError as error:
            raise InputError(f"'{path}' cannot take one picture: {one_line(error)}") from None
        size = np.array([[width, height]])
        sizes = {i: size.astype(model.input(i).get_element_type().to_dtype()) for i in others}
        return cls(picture=pictures[0], rank=ranks[0], size=(height, width), sizes=sizes)

    def request(self, frame: NDArray[np.uint8], *, letterbox: bool) -> Request:
        """Make the inputs for a frame (H, W, 3)."""
        image = letterboxed(frame, self.size) if letterbox else resize(frame, self.size)
        return {self.picture: image if self.rank == 3 else image[None], **self.sizes}


def fit(frame: NDArray[np.uint8], size: tuple[int, int]) -> float:
    """The factor that makes a frame fit into (H, W) with its shape kept."""
    height, width = frame.shape[:2]
    return float(min(size[0] / height, size[1] / width))


def letterboxed(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Fit a frame into the upper left corner of a grey picture of (H, W)."""
    ratio = fit(frame, size)
    inner = (max(1, int(frame.shape[0] * ratio)), max(1, int(frame.shape[1] * ratio)))
    canvas = np.full((*size, 3), GREY, dtype=np.uint8)
    canvas[: inner[0], : inner[1]] = resize(frame, inner)
    return canvas


def network_name(path: Path) -> str:
    """The file's name and a hash of the weights."""
    weights = path.with_suffix(".bin") if path.suffix == ".xml" else path
    return f"{path.stem}-{sha256(weights)[:12]}"


def with_pixels(model: Any, entry: Entry, head: Head | None) -> Any:
    """Add a conversion to the graph, in place, so that it takes uint8 RGB (1, H, W, 3).

    Args:
        model: The network.
        entry: Its inputs.
        head: Colour order, range and normalisation; None for BGR 0..255.
    """
    from openvino.preprocess import PrePostProcessor

    openvino = import_openvino()
    tensor, inner = ("NHWC", "NCHW") if entry.rank == 4 else ("HWC", "CHW")
    steps = PrePostProcessor(model)
    port = steps.input(entry.picture)
    port.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout(tensor))
    port.model().set_layout(openvino.Layout(inner))
    port.preprocess().convert_element_type(openvino.Type.f32)
    if head is None or head.colour == "BGR":
        port.preprocess().reverse_channels()
    if head is not None and any(head.mean):
        port.preprocess().mean([255.0 / head.scale * value for value in head.mean])
    if head is not None and head.scale < 255:
        port.preprocess().scale([255.0 / head.scale * value for value in head.std])
    return steps.build()


def _recognise(model: Any, entry: Entry, path: Path) -> Head:
    """Find the family of a network.

    Raises:
        InputError: No family has such outputs; the message says what was found and what is known.
    """

    def probe() -> Arrays:
        grey = np.full((*entry.size, 3), GREY, dtype=np.uint8)
        infer = Inference(with_pixels(model.clone(), entry, None))
        return infer([entry.request(grey, letterbox=False)], 1)[0]

    published = zoo.entries().get(path.stem)
    outputs = tuple(_port(port) for port in model.outputs)
    head = recognise(
        Ports(
            size=entry.size,
            outputs=outputs,
            sizes_wanted=bool(entry.sizes),
            person=published.person if published else None,
            classes=_classes(model),
            probe=probe,
        )
    )
    if head is None:
        raise InputError(
            f"'{path}' is not a person detector that is known: it gives "
            f"{', '.join(map(str, outputs))}; known are {KNOWN}"
        )
    return head


def _port(port: Any) -> Port:
    shape = port.get_partial_shape()
    sides = list(shape) if shape.rank.is_static else []
    names = sorted(port.get_names())
    return Port(
        name=names[0] if names else "",
        shape=tuple(None if side.is_dynamic else side.get_length() for side in sides),
        whole=port.get_element_type().is_integral_number(),
    )


def _classes(model: Any) -> tuple[int, ...]:
    """The classes of a DetectionOutput operation, without the background."""
    for node in model.get_ops():
        if node.get_type_name() == "DetectionOutput":
            facts = node.get_attributes()
            count, background = facts.get("num_classes", 0), facts["background_label_id"]
            return tuple(index for index in range(count) if index != background)
    return ()
