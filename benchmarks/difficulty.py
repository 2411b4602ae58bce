"""How hard is a simulated benchmark? Colour histograms and raw pixels against the Market protocol.

A benchmark on which clothes' colours alone find the person measures nothing. Three matchers that
learn nothing are judged by the same protocol as any network:

- ``histogram``: one HSV histogram of the whole crop, Bhattacharyya distance;
- ``stripes``: the same in six horizontal stripes, side by side (the classical hand-made feature);
- ``pixels``: the crop at 64 x 32, per-channel standardised, cosine distance.

Run: ``passerby bench difficulty --data simcity-s --out benchmarks/results/difficulty.json``
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import resolve_data, write_result
from passerby.data import CropTable
from passerby.metrics import evaluate_features


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the measurement."""

    data: str = "simcity-s"
    """A named simulated set or a folder."""
    out: Path | None = None
    """Where to write the JSON."""


def hsv_histogram(pixels: np.ndarray, bins: tuple[int, int, int] = (16, 6, 6)) -> np.ndarray:
    """Square roots of a normalised HSV histogram of ``pixels`` (..., 3) uint8 -> (prod bins,).

    The inner product of two such vectors is the Bhattacharyya coefficient.
    """
    scaled = (pixels.reshape(-1, 3).astype(np.int64) * bins) >> 8
    index = (scaled[:, 0] * bins[1] + scaled[:, 1]) * bins[2] + scaled[:, 2]
    counts = np.bincount(index, minlength=int(np.prod(bins))).astype(np.float64)
    return np.sqrt(counts / counts.sum())


def features(path: Path) -> dict[str, np.ndarray]:
    """The three hand-made features of one crop."""
    with Image.open(path) as picture:
        rgb = picture.convert("RGB").resize((64, 128), Image.Resampling.BILINEAR)
    hsv = np.asarray(rgb.convert("HSV"))
    small = np.asarray(rgb.resize((32, 64), Image.Resampling.BILINEAR), dtype=np.float64)
    small = (small - small.mean((0, 1))) / (small.std((0, 1)) + 1.0)
    return {
        "histogram": hsv_histogram(hsv),
        "stripes": np.concatenate([hsv_histogram(s) for s in np.array_split(hsv, 6)]) / 6**0.5,
        "pixels": small.ravel(),
    }


def measure(table: CropTable) -> dict[str, dict[str, float]]:
    """mAP and rank-1 of each matcher on ``table``."""
    made = {
        split: [features(p) for p in t.paths()]
        for split, t in (("query", table.query), ("gallery", table.gallery))
    }
    rows = {}
    for name in ("histogram", "stripes", "pixels"):
        report = evaluate_features(
            np.stack([f[name] for f in made["query"]]).astype(np.float32),
            np.stack([f[name] for f in made["gallery"]]).astype(np.float32),
            *table.match_labels(),
        )
        rows[name] = {"mAP": report.mAP, "rank1": report.cmc[1]}
        print(f"{name:10s} mAP {100 * report.mAP:5.1f} %   rank-1 {100 * report.cmc[1]:5.1f} %")
    return rows


def main(options: Options) -> None:
    """Measure and write."""
    table = resolve_data(options.data)
    rows = measure(table)
    counts = {"queries": len(table.query), "gallery": len(table.gallery)}
    write_result(options.out, "difficulty", {"data": options.data, **counts, "matchers": rows})
