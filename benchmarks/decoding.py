"""From JPEG bytes to RGB pixels at a network's size: images a second of each decoder and resizer.

All decode and resize the same pictures, in rounds that go through all of them, so that other work
on the machine meets them all; the median of the rounds counts. Beside the speed stands how far the
pixels are from Pillow's, which are those of training: a decoder or resizer with other pixels would
give the same picture another vector.

Run: ``passerby bench decoding --out benchmarks/results/decoding.json`` (about three minutes).
OpenCV and simplejpeg are measured where they are installed; Passerby needs neither. torchvision.io
is there for comparison: since torchvision 0.29 its decoders are deprecated.
"""

import importlib.util
import io
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, features
from torchvision import io as torchvision_io
from torchvision.transforms.v2 import functional

from benchmarks.common import write_result
from passerby.data.listing import find_pictures
from passerby.errors import InputError
from passerby.runtime import read_image, resize

Pixels = np.ndarray
Job = Callable[[Any], Pixels]
MADE = {"128 x 64": (128, 64), "256 x 128": (256, 128), "400 x 160": (400, 160)}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is timed on which pictures."""

    folder: Path | None = None
    """Folder of JPEG crops (the first 256); made pictures of three sizes without it."""
    size: tuple[int, int] = (256, 128)
    """Height and width to resize to."""
    pictures: int = 64
    """Made pictures of each size."""
    threads: tuple[int, ...] = (1, 2)
    """Numbers of threads."""
    seconds: float = 0.5
    """Time of a cell in a round."""
    rounds: int = 5
    """Rounds; the median counts."""
    out: Path | None = None
    """JSON file to write."""


def with_pillow(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def with_torchvision(data: bytes) -> Pixels:
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    decoded = torchvision_io.decode_jpeg(encoded, mode=torchvision_io.ImageReadMode.RGB)
    return decoded.permute(1, 2, 0).numpy()


def with_opencv(data: bytes) -> Pixels:
    import cv2

    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), 1), cv2.COLOR_BGR2RGB)


def with_simplejpeg(data: bytes, fast: bool = False) -> Pixels:
    import simplejpeg

    return simplejpeg.decode_jpeg(data, "RGB", fastdct=fast, fastupsample=fast)


def decoders() -> dict[str, Job]:
    """By name; the last is what Passerby does: simplejpeg where it agrees with Pillow."""
    found: dict[str, Job] = {"Pillow": with_pillow, "torchvision.io": with_torchvision}
    if importlib.util.find_spec("cv2"):
        import cv2

        cv2.setNumThreads(1)
        found["OpenCV"] = with_opencv
    if importlib.util.find_spec("simplejpeg"):
        found["simplejpeg"] = with_simplejpeg
        found["simplejpeg, fast"] = partial(with_simplejpeg, fast=True)
    return {**found, "passerby": read_image}


def torchvision_resize(image: Pixels, size: tuple[int, int]) -> Pixels:
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    return functional.resize(tensor, list(size), antialias=True).permute(1, 2, 0).numpy()


def opencv_resize(image: Pixels, size: tuple[int, int]) -> Pixels:
    import cv2

    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def resizers(size: tuple[int, int]) -> dict[str, Job]:
    """By name, all bilinear; Passerby resizes with Pillow."""
    found: dict[str, Job] = {
        "Pillow": lambda image: resize(image, size),
        "torchvision": lambda image: torchvision_resize(image, size),
    }
    if importlib.util.find_spec("cv2"):
        found["OpenCV"] = lambda image: opencv_resize(image, size)
    return found


def made(height: int, width: int, number: int) -> list[bytes]:
    """JPEG files of smooth noise with some grain, quality 85, colours subsampled as usual."""
    rng = np.random.default_rng(height)
    files = []
    for _ in range(number):
        coarse = rng.integers(0, 256, (height // 10, width // 10, 3)).astype(np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        grain = rng.normal(0, 6, (height, width, 3))
        file = io.BytesIO()
        pixels = (np.asarray(smooth) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(file, "JPEG", quality=85)
        files.append(file.getvalue())
    return files


def images_per_second(job: Job, values: Sequence[Any], threads: int, seconds: float) -> float:
    """Do ``values`` over and over for about ``seconds``."""
    done, begin = 0, time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        while (spent := time.perf_counter() - begin) < seconds or not done:
            done += len(list(pool.map(job, values)))
    return done / spent


def distance(results: Sequence[Pixels], exact: Sequence[Pixels]) -> dict[str, Any]:
    """Levels of 0..255 between pixels."""
    gaps = [np.abs(a.astype(np.int16) - b) for a, b in zip(results, exact, strict=True)]
    return {
        "most_levels": max(int(gap.max()) for gap in gaps),
        "share_of_other_values": round(float(np.mean([(gap > 0).mean() for gap in gaps])), 6),
    }


def compare(
    jobs: dict[str, Job], values: Sequence[Any], exact: Sequence[Pixels], options: Options
) -> list[dict[str, Any]]:
    """A row for each job: its speed by threads, and how far it is from the exact pixels."""
    speeds: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for name, job in jobs.items():
            for threads in options.threads:
                speed = images_per_second(job, values, threads, options.seconds)
                speeds.setdefault((name, threads), []).append(speed)
    rows = []
    for name, job in jobs.items():
        row: dict[str, Any] = {"name": name, **distance([job(v) for v in values], exact)}
        for threads in options.threads:
            median = statistics.median(speeds[name, threads])
            row[f"images_per_second_{threads}"] = round(median, 0)
        rows.append(row)
    return rows


def inputs(options: Options) -> dict[str, list[bytes]]:
    """Encoded pictures by what they are."""
    if options.folder is None:
        return {name: made(*size, options.pictures) for name, size in MADE.items()}
    paths = [p for p in find_pictures(options.folder) if p.suffix.lower() in (".jpg", ".jpeg")]
    if not paths:
        raise InputError(f"there are no JPEG files in '{options.folder}'")
    return {options.folder.name: [path.read_bytes() for path in paths[:256]]}


def show(what: str, rows: Sequence[dict[str, Any]], threads: Sequence[int]) -> None:
    heads = "".join(f"{f'{n} thread' + 's' * (n > 1):>12}" for n in threads)
    print(f"{what:<36}{heads}{'most levels':>13}{'other values':>14}")
    for row in rows:
        speeds = "".join(f"{row[f'images_per_second_{n}']:>12.0f}" for n in threads)
        share = f"{100 * row['share_of_other_values']:.2f} %"
        print(f"  {row['name']:<34}{speeds}{row['most_levels']:>13}{share:>14}")


def main(options: Options) -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DeprecationWarning)  # torchvision's, of its decoders
    result: dict[str, Any] = {
        "size": options.size,
        "libjpeg_turbo_of_pillow": features.version("libjpeg_turbo"),
    }
    for name, files in inputs(options).items():
        exact = [with_pillow(data).copy() for data in files]  # torch wants them writable
        decoded = compare(decoders(), files, exact, options)
        show(f"decoding {name}", decoded, options.threads)
        sized = [resize(image, options.size) for image in exact]
        resized = compare(resizers(options.size), exact, sized, options)
        show(f"resizing {name} to {options.size}", resized, options.threads)
        both: dict[str, Job] = {
            "Pillow alone": lambda data: resize(with_pillow(data), options.size),
            "passerby": lambda data: resize(read_image(data), options.size),
        }
        whole = compare(both, files, sized, options)
        show(f"{name}, decoded and resized", whole, options.threads)
        result[name] = {"decoding": decoded, "resizing": resized, "both": whole}
    write_result(options.out, "decoding", result)
