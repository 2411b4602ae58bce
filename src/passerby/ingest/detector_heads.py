"""The outputs of published detection networks: told apart by names and shapes, and decoded.

Each family has one recogniser. It looks at the ports of a network and returns a :class:`Head`: how
a frame is prepared, which class is people, and a function from output arrays to boxes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.models.zoo.table import ANY_CLASS

Arrays = Sequence[NDArray[np.float32]]
Boxes = tuple[NDArray[np.float32], NDArray[np.float32]]
"""(N, 4) x0, y0, x1, y1 as shares 0..1 of the network's input, and (N,) scores."""
Decode = Callable[[Arrays], Boxes]

GRIDS = ((8, 16, 32), (8, 16, 32, 64))  # strides of YOLOX; the larger networks have four
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
COCO = {80: 0, 91: 1, 92: 1}  # number of classes -> that of people; 91 and 92 leave gaps as COCO
# overlaps above which the weaker box goes, where the network leaves this to its user
YOLOX_OVERLAP = 0.45  # as in YOLOX's own ONNX demo
ATSS_OVERLAP = 0.6  # as in the zoo's accuracy check of person-detection-0203


@dataclass(frozen=True, kw_only=True)
class Port:
    """An input or output of a network."""

    name: str
    shape: tuple[int | None, ...]
    """None where a side is left open."""
    whole: bool = False
    """Whether its values are whole numbers."""

    def __str__(self) -> str:
        """Its name and shape, such as "logits [1, 300, 80]"."""
        sides = ", ".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.name or 'unnamed'} [{sides}]"


@dataclass(frozen=True, kw_only=True)
class Ports:
    """What a recogniser may look at."""

    size: tuple[int, int]
    """(H, W) of the input picture."""
    outputs: tuple[Port, ...]
    sizes_wanted: bool = False
    """Whether a second input takes the size of the picture."""
    person: int | None = None
    """Class of people that the table of published detectors knows for this file."""
    classes: tuple[int, ...] = ()
    """Classes of a DetectionOutput operation without its background; empty without such."""
    probe: Callable[[], Arrays] = tuple
    """The outputs for a grey picture."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """How a family of detection networks is used."""

    family: str
    """As ``passerby model-info`` prints it."""
    decode: Decode
    person: int
    """Class of people; -1 where every class counts."""
    letterbox: bool = False
    """Keep the shape of the picture and fill the rest with grey 114; else stretch it."""
    colour: str = "RGB"
    scale: float = 1.0
    """Value of white in the input: 1 or 255."""
    mean: tuple[float, float, float] = PLAIN[0]
    std: tuple[float, float, float] = PLAIN[1]
    overlap: float | None = None
    """Of two boxes that overlap by more (IoU) the weaker is left out; None: the network does it."""

    @property
    def takes_bytes(self) -> bool:
        """Whether it takes BGR 0..255, as it is."""
        return self.colour == "BGR" and self.scale > 1 and not any(self.mean)


KNOWN = (
    "SSD (one output [1, 1, N, 7]); boxes [N, 4] with scores [N] and labels [N] (torchvision, "
    "RT-DETR with its sizes input); boxes [N, 5] with labels [N] (Intel's ATSS); DETR (logits "
    "[1, N, 80, 91 or 92] with boxes [1, N, 4], or both in one [1, N, 84]); YOLOX (one output "
    "[1, A, 5 + classes], A the cells of the strides 8, 16, 32)"
)


def recognise(ports: Ports) -> Head | None:
    """Find the family of a network; None when no family has such outputs."""
    for family in (_ssd, _lists, _atss, _detr, _detr_in_one, _yolox):
        if head := family(ports):
            return head
    return None


def _ssd(ports: Ports) -> Head | None:
    """Rows of image, class, confidence and a box in 0..1: Caffe's DetectionOutput."""
    if len(ports.outputs) != 1 or ports.outputs[0].shape[-1:] != (7,):
        return None
    person = ports.person
    if person is None:  # 1 is people where the only other class, 0, is the background, and in COCO
        person = ports.classes[0] if len(ports.classes) == 1 else 1

    def decode(outputs: Arrays) -> Boxes:
        rows = outputs[0].reshape(-1, 7)
        ends = np.flatnonzero(rows[:, 0] < 0)  # a negative image number ends the list
        rows = _of_class(rows[: ends[0]] if len(ends) else rows, 1, person)
        return rows[:, 3:7], rows[:, 2]

    return Head(family="SSD", decode=decode, person=person, colour="BGR", scale=255.0)


def _lists(ports: Ports) -> Head | None:
    """Boxes in pixels, scores and labels, after non-maximum suppression."""
    found = _find_lists(ports.outputs)
    if found is None:
        return None
    boxes, scores, labels = found
    person = ports.person if ports.person is not None else int(not ports.sizes_wanted)
    height, width = ports.size
    scale = np.array([width, height, width, height], dtype=np.float32)

    def decode(outputs: Arrays) -> Boxes:
        rows = np.column_stack(
            [
                outputs[labels].reshape(-1),
                outputs[scores].reshape(-1),
                outputs[boxes].reshape(-1, 4),
            ]
        ).astype(np.float32)
        rows = _of_class(rows, 0, person)
        return rows[:, 2:] / scale, rows[:, 1]

    if ports.sizes_wanted:
        return Head(family="boxes, scores, labels (RT-DETR)", decode=decode, person=person)
    family = "boxes, scores, labels (torchvision)"
    return Head(family=family, decode=decode, person=person, letterbox=True)


def _find_lists(outputs: Sequence[Port]) -> tuple[int, int, int] | None:
    """Indices of boxes, scores and labels."""
    names = [port.name.lower() for port in outputs]
    if {"boxes", "scores", "labels"} <= set(names):  # others may be there, such as masks
        return names.index("boxes"), names.index("scores"), names.index("labels")
    boxes = [i for i, port in enumerate(outputs) if port.shape[-1:] == (4,)]
    if len(outputs) != 3 or len(boxes) != 1:
        return None
    rank = len(outputs[boxes[0]].shape)
    others = [i for i in range(3) if i != boxes[0] and len(outputs[i].shape) == rank - 1]
    labels = [i for i in others if outputs[i].whole or "label" in names[i] or "class" in names[i]]
    if len(others) != 2 or len(labels) != 1:
        return None
    return boxes[0], next(i for i in others if i != labels[0]), labels[0]


def _atss(ports: Ports) -> Head | None:
    """Intel's person-detection-0203 and its like: box and score in one row, labels apart."""
    shapes = [port.shape for port in ports.outputs]
    if sorted(map(len, shapes)) != [1, 2]:
        return None
    boxes = [len(shape) for shape in shapes].index(2)
    if shapes[boxes][1] != 5:
        return None
    person = 1 if ports.person is None else ports.person
    height, width = ports.size
    scale = np.array([width, height, width, height], dtype=np.float32)

    def decode(outputs: Arrays) -> Boxes:
        columns = (outputs[1 - boxes].reshape(-1, 1), outputs[boxes].reshape(-1, 5))
        rows = _of_class(np.hstack(columns).astype(np.float32), 0, person)
        return rows[:, 1:5] / scale, rows[:, 5]

    return Head(
        family="boxes [N, 5] and labels (ATSS)",
        decode=decode,
        person=person,
        colour="BGR",
        scale=255.0,
        overlap=ATSS_OVERLAP,
    )


def _detr(ports: Ports) -> Head | None:
    """Logits, and boxes as centre and size in 0..1: DETR, Deformable DETR, RF-DETR, RT-DETR."""
    shapes = [port.shape for port in ports.outputs]
    boxes = [i for i, shape in enumerate(shapes) if len(shape) == 3 and shape[-1] == 4]
    logits = [i for i, shape in enumerate(shapes) if len(shape) == 3 and shape[-1] in COCO]
    if len(boxes) != 1 or len(logits) != 1:
        return None
    classes = shapes[logits[0]][-1] or 0
    person = COCO[classes]
    softmax = classes == 92  # DETR's own last class is "no object"

    def decode(outputs: Arrays) -> Boxes:
        values = outputs[logits[0]].reshape(-1, classes)
        scores = _softmax(values) if softmax else 1 / (1 + np.exp(-values))
        return _corners(outputs[boxes[0]].reshape(-1, 4)), scores[:, person].astype(np.float32)

    # RT-DETR is trained without normalisation; the others with that of ImageNet
    mean, std = PLAIN if classes == 80 else IMAGENET
    family = f"DETR (logits of {classes} classes, boxes)"
    return Head(family=family, decode=decode, person=person, mean=mean, std=std)


def _detr_in_one(ports: Ports) -> Head | None:
    """Box and probabilities of 80 classes in one row, as some exports of RT-DETR have them."""
    shape = ports.outputs[0].shape if len(ports.outputs) == 1 else ()
    if len(shape) != 3 or shape[-1] != 84:
        return None

    def decode(outputs: Arrays) -> Boxes:
        rows = outputs[0].reshape(-1, 84)
        return _corners(rows[:, :4]), rows[:, 4]

    return Head(family="DETR (boxes and 80 probabilities in one)", decode=decode, person=0)


def _yolox(ports: Ports) -> Head | None:
    """One row a cell of the grids: centre, size, objectness, class probabilities."""
    shape = ports.outputs[0].shape if len(ports.outputs) == 1 else ()
    grids = (_grid(ports.size, strides) for strides in GRIDS)
    grid = next((g for g in grids if len(shape) == 3 and shape[1] == len(g)), None)
    columns = shape[-1] if shape else None
    if grid is None or columns is None or columns < 6:
        return None
    cells, strides = grid[:, :2], grid[:, 2:]
    # raw centres are offsets within a cell; decoded ones are pixels all over the picture
    centres = ports.probe()[0].reshape(-1, columns)[:, :2]
    decoded = bool(np.percentile(centres, 99) > max(ports.size) / 2)
    height, width = ports.size
    scale = np.array([width, height, width, height], dtype=np.float32)

    def decode(outputs: Arrays) -> Boxes:
        rows = outputs[0].reshape(-1, columns)
        scores = rows[:, 4] * rows[:, 5]
        middle, size = rows[:, :2], rows[:, 2:4]
        if not decoded:
            middle, size = (middle + cells) * strides, np.exp(np.minimum(size, 20)) * strides
        return _corners(np.hstack([middle, size]) / scale), scores

    return Head(
        family=f"YOLOX ({'decoded' if decoded else 'raw grids'}, {columns - 5} classes)",
        decode=decode,
        person=0,
        letterbox=True,
        colour="BGR",
        scale=255.0,
        overlap=YOLOX_OVERLAP,
    )


def _grid(size: tuple[int, int], strides: Sequence[int]) -> NDArray[np.float32]:
    """Column, row and stride of each cell, (A, 3)."""
    parts = []
    for stride in strides:
        rows, columns = np.mgrid[: size[0] // stride, : size[1] // stride]
        parts.append(np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], axis=1))
    return np.concatenate(parts).astype(np.float32)


def _of_class(rows: NDArray[np.float32], column: int, person: int) -> NDArray[np.float32]:
    return rows if person == ANY_CLASS else rows[rows[:, column] == person]


def _corners(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centre and size (N, 4) to corners."""
    half = boxes[:, 2:] / 2
    return np.hstack([boxes[:, :2] - half, boxes[:, :2] + half]).astype(np.float32)


def _softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return shares
