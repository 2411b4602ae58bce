"""Crops: their quality, and the best few of a tracklet."""

import io
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.ingest.boxes import area, intersections
from passerby.ingest.detector import Detections
from passerby.ingest.scenes import Scene
from passerby.runtime import resize

JPEG_QUALITY = 92
FULL_HEIGHT = 192.0  # pixels above which more height adds little for re-identification
FULL_SHARPNESS = 120.0  # variance of the Laplacian of a crisp crop at 128 pixels of height
BORDER = 2.0  # pixels from the frame's edge at which a box counts as cut off
POOL = 12  # crops of a tracklet held in memory
FULL_CHANGE = 0.15  # mean difference of two thumbnails (0..1) that show different views
SAME = 0.03  # two thumbnails that differ by less show the same view
SURE = 0.3  # confidence from which a box counts as a person in front; weaker ones are often noise


@dataclass(frozen=True, kw_only=True)
class Crop:
    """One picture of one person, cut from a frame."""

    frame: int
    """Number of the frame in the clip."""
    time: int
    """Milliseconds since the epoch, UTC."""
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 in pixels of the frame."""
    quality: float
    """0..1, see :func:`qualities`."""
    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    scene: Scene | None = None
    """The whole frame, small, and its place in the clip; None where the crop is of no clip."""


def cut(image: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut a box (x0, y0, x1, y1) out of a frame, at least one pixel wide and high."""
    height, width = image.shape[:2]
    x0, y0 = np.floor(np.clip(box[:2], 0, [width - 1, height - 1])).astype(int)
    x1, y1 = np.ceil(np.clip(box[2:], [x0 + 1, y0 + 1], [width, height])).astype(int)
    return image[y0:y1, x0:x1].copy()


def qualities(
    image: NDArray[np.uint8], detections: Detections, which: NDArray[np.int64]
) -> list[float]:
    """How good each box is for re-identification, 0..1.

    The quality is a product of six factors: the confidence of the detector; the root of the height,
    1 from 192 pixels; the sharpness (variance of the Laplacian); the part of the person that the
    edge of the frame leaves; the part that other people leave; and how likely the box holds one
    person and not several. The height counts by its root, because a box around two people is higher
    and wider than that of one.

    Args:
        image: The frame, (H, W, 3) RGB.
        detections: All people of the frame.
        which: Indices of the boxes to rate.
    """
    hidden, single = hindrances(detections)
    result = []
    for index in which:
        box = detections.boxes[index]
        size = min(1.0, float(box[3] - box[1]) / FULL_HEIGHT) ** 0.5
        clear = min(1.0, sharpness(cut(image, box)) / FULL_SHARPNESS)
        whole = wholeness(box, image.shape[1], image.shape[0])
        value = detections.scores[index] * size * (0.4 + 0.6 * clear) * whole
        result.append(round(float(np.clip(value * (1 - hidden[index]) * single[index], 0, 1)), 4))
    return result


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the luma at 128 pixels of height; low for a blurred crop."""
    grey = Image.fromarray(crop).convert("L")
    width = max(8, round(grey.width * 128 / grey.height))
    values = np.asarray(grey.resize((width, 128), Image.Resampling.BILINEAR), dtype=np.float64)
    inner = values[1:-1, 1:-1]
    around = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    return float((around - 4 * inner).var())


def wholeness(box: NDArray[np.float32], width: int, height: int) -> float:
    """1 for a person inside the frame; less for each edge of the frame that cuts the box."""
    value = 1.0
    value *= 0.7 if box[1] <= BORDER else 1.0
    value *= 0.5 if box[3] >= height - BORDER else 1.0
    value *= 0.5 if box[0] <= BORDER or box[2] >= width - BORDER else 1.0
    # a whole person is about 2.5 times as high as wide; a flat box or a sliver shows a part
    shape = (box[3] - box[1]) / max(float(box[2] - box[0]), 1.0)
    return float(value * min(1.0, (shape / 2) ** 2, 4.5 / shape))


def hindrances(detections: Detections) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What other boxes say of each box (N).

    Returns:
        (N,) share that nearer people cover, which are those with lower feet, at most 0.9; and (N,)
        1 for a box of one person, 0.3 for one that holds two boxes of about its own height.
    """
    boxes = detections.boxes.astype(np.float64)
    shared = intersections(boxes, boxes) * (detections.scores >= SURE)[None, :]
    areas = np.maximum(area(boxes), 1e-9)
    heights = boxes[:, 3] - boxes[:, 1]
    inside = (shared / areas[None, :] > 0.7) & (heights[None, :] > 0.5 * heights[:, None])
    np.fill_diagonal(inside, False)
    merged = inside.sum(axis=1) >= 2
    nearer = (boxes[None, :, 3] > boxes[:, None, 3]) & ~merged[None, :]
    hidden: NDArray[np.float64] = np.clip((shared * nearer / areas[:, None]).sum(axis=1), 0, 0.9)
    return hidden, np.where(merged, 0.3, 1.0)


class CropPool:
    """The best crops of a tracklet that has not ended: good and different ones, at most 12."""

    def __init__(self) -> None:
        """Start empty."""
        self.crops: list[Crop] = []
        self._thumbnails: list[NDArray[np.float32]] = []

    def add(self, crop: Crop) -> None:
        """Add a crop. A full pool drops the worse of the two successive crops most alike."""
        self.crops.append(crop)
        self._thumbnails.append(thumbnail(crop.image))
        if len(self.crops) <= POOL:
            return
        changes = np.abs(np.diff(self._thumbnails, axis=0)).mean(axis=(1, 2, 3))
        pair = (int(np.argmin(changes)), int(np.argmin(changes)) + 1)
        worse = min(pair, key=lambda index: self.crops[index].quality)
        del self.crops[worse], self._thumbnails[worse]

    def best(self, count: int) -> list[Crop]:
        """Choose up to ``count`` good crops that differ in time and appearance, in order of time.

        The best crop is chosen first. Each further one has the highest product of quality and
        novelty among the crops that are some time away from all chosen ones. From the third on, a
        crop that shows the same view as a chosen one is left out, so someone who stands still has
        two crops, and someone who turns has more.

        A crop whose shape differs from the tracklet's usual one loses quality: a box around two
        people is wider, and that of a half-hidden person narrower.
        """
        if not self.crops:
            return []
        crops = self._by_shape()
        apart = (crops[-1].time - crops[0].time) / (2 * count)
        floor = 0.3 * max(crop.quality for crop in crops)  # a bad crop is worse than none
        chosen = [max(range(len(crops)), key=lambda index: crops[index].quality)]
        while len(chosen) < count:
            values = [
                0.0 if crop.quality < floor else crop.quality * self._novelty(index, chosen, apart)
                for index, crop in enumerate(crops)
            ]
            if max(values) <= 0:
                break
            chosen.append(int(np.argmax(values)))
        return [crops[index] for index in sorted(chosen)]

    def _by_shape(self) -> list[Crop]:
        """The crops, with less quality where width / height differs from the usual one."""
        shapes = np.array([(c.box[2] - c.box[0]) / (c.box[3] - c.box[1]) for c in self.crops])
        ratio = shapes / np.median(shapes)
        factors = np.minimum(1.0, (np.minimum(ratio, 1 / ratio) / 0.8) ** 2)
        return [
            replace(crop, quality=round(crop.quality * float(factor), 4))
            for crop, factor in zip(self.crops, factors, strict=True)
        ]

    def _novelty(self, index: int, chosen: list[int], apart: float) -> float:
        """How much a crop adds to the chosen; 0 when too near in time or, from the third, alike."""
        near = min(abs(self.crops[index].time - self.crops[other].time) for other in chosen)
        change = min(
            difference(self._thumbnails[index], self._thumbnails[other]) for other in chosen
        )
        if index in chosen or near < apart or (len(chosen) > 1 and change < SAME):
            return 0.0
        return 0.2 + min(1.0, change / FULL_CHANGE)


def difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Mean difference of two thumbnails, 0..1."""
    return float(np.abs(a - b).mean())


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A picture as (16, 8, 3) in 0..1, to compare whether two crops show the same view."""
    small: NDArray[np.float32] = resize(image, (16, 8)).astype(np.float32) / np.float32(255)
    return small


def encode_jpeg(image: NDArray[np.uint8], comment: bytes = b"") -> bytes:
    """Encode (H, W, 3) RGB as JPEG; the same picture and comment always give the same bytes."""
    buffer = io.BytesIO()
    options = {"comment": comment} if comment else {}
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0, **options)
    return buffer.getvalue()
