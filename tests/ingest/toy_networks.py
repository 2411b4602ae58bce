"""Small networks in ONNX that find what is red, with the outputs of published detectors.

They look at the pixels that arrive, so that a wrong colour order, range or shape of the input finds
nothing or another box. Each layout is written as its publisher documents it.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
RED = (220, 30, 30)
Box = tuple[int, int, int, int]
CELL = 40  # of YOLOX's grid, where the box is written
STRIDES = (8, 16, 32)


def scene(size: tuple[int, int], box: Box | None) -> NDArray[np.uint8]:
    """A grey picture (H, W) with a red rectangle."""
    image = np.full((*size, 3), 120, dtype=np.uint8)
    if box:
        image[box[1] : box[3], box[0] : box[2]] = RED
    return image


class RedFinder(nn.Module):
    """The box around what is red, in pixels of the input, as a layout writes it."""

    def __init__(
        self,
        size: tuple[int, int],
        layout: Callable[[Tensor, Tensor, tuple[int, int]], tuple[Tensor, ...]],
        *,
        bgr: bool,
        white: float,
        imagenet: bool = False,
    ) -> None:
        super().__init__()
        self.size, self.layout, self.bgr, self.white = size, layout, bgr, white
        mean, std = IMAGENET if imagenet else ([0.0] * 3, [1.0] * 3)
        self.mean, self.std = torch.tensor(mean), torch.tensor(std)

    def forward(self, pictures: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
        x = pictures.reshape(1, 3, *self.size) * self.std[:, None, None] + self.mean[:, None, None]
        blue, green, red = x[0] if self.bgr else x[0].flip(0)
        low, high = 0.4 * self.white, 0.7 * self.white
        fits = (red > high) & (red < 1.01 * self.white) & (green < low) & (blue < low)
        found = fits.float()
        height, width = self.size
        columns, rows = found.amax(0), found.amax(1)
        across, down = torch.arange(width).float(), torch.arange(height).float()
        box = torch.stack(
            [
                width - (columns * (width - across)).amax(),
                height - (rows * (height - down)).amax(),
                (columns * (across + 1)).amax(),
                (rows * (down + 1)).amax(),
            ]
        )
        score = 0.9 * found.amax()
        if sizes is not None:  # RT-DETR scales its boxes to (width, height)
            scale = sizes.reshape(2).float().repeat(2)
            box = box / torch.tensor([width, height, width, height]) * scale
        return self.layout(box, score, self.size)


def write(network: RedFinder, path: Path, outputs: list[str], *, batch: bool = True) -> Path:
    """Export a finder to ONNX; ``sizes`` as a second input for the layout of RT-DETR."""
    picture = torch.zeros(3, *network.size)
    inputs: tuple[Tensor, ...] = (picture[None] if batch else picture,)
    names = ["images"]
    if network.layout is lists_sized:
        inputs, names = (*inputs, torch.tensor([[64, 64]])), [*names, "orig_target_sizes"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            inputs,
            str(path),
            input_names=names,
            output_names=outputs,
            opset_version=17,
            dynamo=False,
        )
    return path


def _row(*values: float | Tensor) -> Tensor:
    return torch.stack([torch.as_tensor(value, dtype=torch.float32) for value in values])


def ssd(person: int) -> Callable[[Tensor, Tensor, tuple[int, int]], tuple[Tensor, ...]]:
    """[1, 1, N, 7]; a row with a negative image ends the list."""

    def layout(box: Tensor, score: Tensor, size: tuple[int, int]) -> tuple[Tensor, ...]:
        x0, y0, x1, y1 = box / torch.tensor([size[1], size[0], size[1], size[0]])
        rows = [
            _row(0, person + 2, 0.99, 0.5, 0.5, 0.9, 0.9),  # another class
            _row(0, person, score, x0, y0, x1, y1),
            _row(0, person, 0.01, 0.1, 0.1, 0.9, 0.9),  # noise
            _row(-1, 0, 0, 0, 0, 0, 0),
            _row(0, person, 0.95, 0.1, 0.1, 0.2, 0.2),  # behind the end
        ]
        return (torch.stack(rows)[None, None],)

    return layout


def lists(person: int) -> Callable[[Tensor, Tensor, tuple[int, int]], tuple[Tensor, ...]]:
    """Boxes [N, 4], labels [N], scores [N]: torchvision."""

    def layout(box: Tensor, score: Tensor, _size: tuple[int, int]) -> tuple[Tensor, ...]:
        other = torch.tensor([1.0, 2.0, 30.0, 40.0])
        scores = torch.stack([torch.tensor(0.99), score])
        labels = torch.tensor([person + 2, person]) + 0 * box[:1].long()
        return torch.stack([other, box]), labels, scores

    return layout


def lists_sized(box: Tensor, score: Tensor, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Labels, boxes and scores with a batch, as RT-DETR's own export has them."""
    boxes, labels, scores = lists(0)(box, score, size)
    return labels[None], boxes[None], scores[None]


def atss(box: Tensor, score: Tensor, _size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Boxes [N, 5] with their scores, labels [N]: Intel's 0203. A near copy is to be suppressed."""
    rows = [torch.cat([box + shift, (score * share)[None]]) for shift, share in ((0, 1), (1, 0.5))]
    return torch.stack(rows), torch.tensor([1, 1]) + 0 * box[:1].long()


def _centre(box: Tensor, size: tuple[int, int]) -> Tensor:
    x0, y0, x1, y1 = box / torch.tensor([size[1], size[0], size[1], size[0]])
    return torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])


def detr(classes: int, person: int) -> Callable[..., tuple[Tensor, ...]]:
    """Logits [1, Q, C] and boxes [1, Q, 4]; with 92 classes the last means "no object"."""

    def layout(box: Tensor, score: Tensor, size: tuple[int, int]) -> tuple[Tensor, ...]:
        queries = torch.full((5, classes), -6.0)
        if classes == 92:
            queries[:, -1] = 9.0
            queries[3, person] = 4.0  # the person's sigmoid is high, the softmax is not
        hit = torch.zeros(5, classes)
        hit[1, person] = 1.0
        queries = queries + hit * (score * 20.0)
        boxes = torch.full((5, 4), 0.5)
        place = torch.zeros(5, 1)
        place[1] = 1.0
        return queries[None], (boxes * (1 - place) + place * _centre(box, size))[None]

    return layout


def detr_in_one(box: Tensor, score: Tensor, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """[1, Q, 84]: box and the probabilities of 80 classes."""
    row = torch.cat([_centre(box, size), score[None], torch.full((79,), 0.02)])
    other = torch.cat([torch.tensor([0.5, 0.5, 0.2, 0.2, 0.01]), torch.full((79,), 0.9)])
    return (torch.stack([other, row])[None],)


def yolox(*, decoded: bool) -> Callable[..., tuple[Tensor, ...]]:
    """[1, A, 85] with objectness; a weaker copy of the box is to be suppressed."""

    def layout(box: Tensor, score: Tensor, size: tuple[int, int]) -> tuple[Tensor, ...]:
        cells = [
            (x, y, stride)
            for stride in STRIDES
            for y in range(size[0] // stride)
            for x in range(size[1] // stride)
        ]
        grid = torch.tensor(cells).float()
        middle = (box[:2] + box[2:]) / 2
        sides = (box[2:] - box[:2]).clamp(min=1)
        hit = torch.zeros(len(cells), 1)
        hit[CELL], hit[CELL + 1] = 1.0, 0.6
        here = (hit > 0).float()
        if decoded:
            first = (grid[:, :2] + 0.5) * grid[:, 2:]
            places = torch.cat([first, grid[:, 2:].repeat(1, 2)], dim=1)
            wanted = torch.cat([middle, sides]).expand(len(cells), 4)
        else:
            places = torch.full((len(cells), 4), 0.5)
            offsets = middle / grid[:, 2:] - grid[:, :2]
            wanted = torch.cat([offsets, torch.log(sides / grid[:, 2:])], dim=1)
        places = places * (1 - here) + here * wanted
        classes = torch.full((len(cells), 80), 0.01)
        person = torch.full((len(cells), 1), 1.0)
        rows = torch.cat([places, hit * score, person, classes[:, 1:]], dim=1)
        return (rows[None],)

    return layout
