"""How networks do on real people: two short clips, people told apart by their tracks.

The bundled network has seen simulated people alone; this is what it is worth on real ones. People
of the clips are detected in every second frame and tracked; a track is a person. Up to 24 crops of
each, evenly over the track, are query and gallery at once. Four protocols:

- ``near``: crops within a quarter of the track's length of the query do not count;
- ``far``: those within half of it do not, so that hardly anybody is seen from the same side;
- ``near, cameras`` and ``far, cameras``: the same after each crop went through one of six invented
  cameras (exposure, white balance, tone, saturation, resolution, blur, JPEG); in the first, crops
  of the query's own camera do not count either.

Thirteen people are few: differences of a few points between networks say little.

Run: ``passerby bench real-people --clips CLIP ... --detector NETWORK.xml --models default``
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks.common import write_result
from passerby.errors import InputError
from passerby.ingest.crops import cut
from passerby.ingest.detector import Detector
from passerby.ingest.tracker import Tracker
from passerby.ingest.video import open_clip
from passerby.runtime import Embedder
from passerby.simulate.sensor import compress

Picture = NDArray[np.uint8]
CAMERAS = 6
LEAST_HEIGHT = 60  # pixels of a box
LEAST_CROPS = 10  # of a track
LEAST_CONFIDENCE = 0.6


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which networks are judged on which clips."""

    clips: tuple[Path, ...]
    """Video files in which every person passes once."""
    detector: Path
    """A person detection network, .xml or .onnx."""
    models: tuple[str, ...] = ("default",)
    """Networks: default, or files."""
    crops: int = 24
    """Crops of a person."""
    seed: int = 5
    """Seed of the invented cameras."""
    out: Path | None = None
    """JSON file to write."""


@dataclass(frozen=True, kw_only=True)
class People:
    """N crops: pictures, who it is, when in the track (0..1), and which invented camera."""

    pictures: list[Picture]
    developed: list[Picture]
    identity: NDArray[np.int64]
    moment: NDArray[np.float64]
    camera: NDArray[np.int64]


def tracks(clip: Path, detector: Detector) -> list[list[Picture]]:
    """The crops of each person of a clip, in order."""
    tracker, found = Tracker(), defaultdict[int, list[Picture]](list)
    for frame in open_clip(clip).frames(every=2):
        seen = detector.detect([frame.image])[0]
        for box, score, number in zip(
            seen.boxes, seen.scores, tracker.update(frame.time, seen), strict=True
        ):
            if number >= 0 and score >= LEAST_CONFIDENCE and box[3] - box[1] >= LEAST_HEIGHT:
                found[int(number)].append(cut(frame.image, box))
    return [crops for crops in found.values() if len(crops) >= LEAST_CROPS]


def developed(picture: Picture, camera: int) -> Picture:
    """A picture as one of the invented cameras delivers it."""
    rng = np.random.default_rng(100 + camera)
    gain = np.exp(0.3 * rng.standard_normal()) * np.exp(0.08 * rng.standard_normal(3))
    gamma = np.exp(0.2 * rng.standard_normal())
    saturation = 1 + 0.25 * rng.standard_normal()
    height, quality = int(rng.integers(50, 160)), int(rng.integers(40, 90))
    blur = 0.8 * rng.random()
    toned = np.clip(picture / 255 * gain, 0, 1) ** gamma
    grey = toned.mean(axis=2, keepdims=True)
    image = Image.fromarray(
        (255 * np.clip(grey + saturation * (toned - grey), 0, 1)).astype(np.uint8)
    )
    height = min(height, image.height)
    size = (max(8, image.width * height // image.height), height)
    image = image.resize(size, Image.Resampling.BILINEAR).filter(ImageFilter.GaussianBlur(blur))
    return compress(np.asarray(image), quality)


def gather(options: Options) -> People:
    """The crops of all clips."""
    detector = Detector.load(options.detector)
    rng = np.random.default_rng(options.seed)
    pictures: list[Picture] = []
    identity, moment = [], []
    people = [crops for clip in options.clips for crops in tracks(clip, detector)]
    if len(people) < 2:
        raise InputError(f"{len(people)} people were found in the clips; two are needed")
    for number, crops in enumerate(people):
        count = min(options.crops, len(crops))
        for at in np.linspace(0, len(crops) - 1, count).round().astype(int):
            pictures.append(crops[at])
            identity.append(number)
            moment.append(at / len(crops))
    camera = rng.integers(CAMERAS, size=len(pictures))
    return People(
        pictures=pictures,
        developed=[developed(one, int(c)) for one, c in zip(pictures, camera, strict=True)],
        identity=np.array(identity),
        moment=np.array(moment),
        camera=camera,
    )


def score(people: People, vectors: NDArray[np.float32], apart: float, *, cameras: bool) -> Any:
    """MAP and rank-1 when crops nearer than ``apart`` (and of the same camera) do not count."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    precisions, firsts = [], []
    for query in range(len(unit)):
        same = people.identity == people.identity[query]
        close = np.abs(people.moment - people.moment[query]) < apart
        if cameras:
            close |= people.camera == people.camera[query]
        order = np.argsort(-similarity[query], kind="stable")
        hits = same[order[~(same & close)[order]]]
        if hits.any():
            ranks = np.flatnonzero(hits) + 1
            precisions.append(float(np.mean(np.arange(1, len(ranks) + 1) / ranks)))
            firsts.append(bool(hits[0]))
    return {"mAP": round(float(np.mean(precisions)), 4), "rank1": round(float(np.mean(firsts)), 4)}


def pixels(pictures: list[Picture]) -> NDArray[np.float32]:
    """The pictures themselves, 64 x 32, about their mean."""
    rows = np.stack([
        np.asarray(Image.fromarray(one).resize((32, 64), Image.Resampling.BILINEAR)).ravel()
        for one in pictures
    ]).astype(np.float32)  # fmt: skip
    return rows - rows.mean(axis=0)


def main(options: Options) -> None:
    """Judge pixels and networks, print and write."""
    people = gather(options)
    count = int(people.identity.max()) + 1
    matchers: dict[str, Callable[[list[Picture]], NDArray[np.float32]]] = {"pixels": pixels}
    for model in options.models:
        matchers[Path(model).stem] = Embedder.load(model).embed
    print(f"{len(people.pictures)} crops of {count} people; mAP (rank-1)")
    rows = {}
    for name, embed in matchers.items():
        plain, changed = embed(people.pictures), embed(people.developed)
        rows[name] = {
            "near": score(people, plain, 0.25, cameras=False),
            "far": score(people, plain, 0.5, cameras=False),
            "near, cameras": score(people, changed, 0.25, cameras=True),
            "far, cameras": score(people, changed, 0.5, cameras=False),
        }
        told = [f"{key} {one['mAP']:.3f} ({one['rank1']:.3f})" for key, one in rows[name].items()]
        print(f"{name:<36}" + "   ".join(told))
    clips = [path.name for path in options.clips]
    result = {"clips": clips, "people": count, "crops": len(people.pictures), "rows": rows}
    write_result(options.out, "real_people", result)
