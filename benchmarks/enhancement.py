"""Does enhancement help? Plain and enhanced crops that are clean, dark, noisy, blurred or small.

Poor crops are made from good ones and are the queries; the gallery stays as it was. In the
conditions ``gallery`` it is the other way round: every second camera of the gallery is dark. Each
rule sees all crops of a condition and decides itself which ones need it, so what it does to good
crops counts as well. Rank-1 and mAP of plain and enhanced are compared query by query; the interval
(95 %) of the difference comes from drawing people anew, with all their queries.

Data are of two kinds:

- simulated cities (Market-1501's protocol: crops of the query's own camera do not count);
- real clips: people cut out by the detector and told apart by their tracks, as in
  ``benchmarks/real_people.py``; crops within a quarter of the track do not count.

Rules and their numbers (``--candidates``) are chosen on other cities and another clip than those
they are reported on. ``shipped`` is the rule of :mod:`passerby.ingest.enhancement`, ``both`` the
mean of its vector and the plain one; the others were tried and given up.

Run: ``passerby bench enhancement --cities CITY ... --clips CLIP ... --detector NETWORK.xml``
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, median_filter

from benchmarks.common import write_result
from benchmarks.real_people import tracks
from passerby.data import read_any
from passerby.ingest.detector import Detector
from passerby.ingest.enhancement import brightness, enhance
from passerby.runtime import Embedder

Picture = NDArray[np.uint8]
Change = Callable[[Picture], Picture]
Poor = Callable[[Picture, np.random.Generator], Picture]
READ_NOISE = 1.5  # standard deviation of a dark crop's noise, in levels
NEAR = 0.25  # of a track
RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is measured, on which data."""

    cities: tuple[Path, ...] = ()
    """Simulated cities whose crops are judged."""
    clips: tuple[Path, ...] = ()
    """Real clips in which every person passes once."""
    detector: Path | None = None
    """A person detection network, .xml or .onnx; needed for clips."""
    model: str = "default"
    """Embedding network: default or a file."""
    candidates: bool = False
    """Also other numbers of the shipped rule."""
    queries: int = 80
    """Crops a city or a clip that are made poor, at most."""
    gallery: int = 300
    """Crops a city that are searched, at most."""
    draws: int = 3
    """Draws of the noise."""
    workers: int = 1
    """Processes; each measures a city or a clip."""
    out: Path | None = None
    """JSON file to write."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Q queries and G gallery crops of one city or clip."""

    name: str
    real: bool
    queries: list[Picture]
    gallery: list[Picture]
    dark: NDArray[np.bool_]
    """(G,) crops of the cameras that are dark in some conditions."""
    people: NDArray[np.int64]
    """(Q,) who each query shows."""
    same: NDArray[np.bool_]
    """(Q, G) the same person."""
    counts: NDArray[np.bool_]
    """(Q, G) pairs that count."""


def as_pixels(values: NDArray[Any]) -> Picture:
    """Values clipped and rounded to uint8."""
    pixels: Picture = np.clip(values, 0, 255).round().astype(np.uint8)
    return pixels


def smooth(image: Picture, sigma: float) -> NDArray[np.float32]:
    """Gaussian blur; ``sigma`` in pixels of a crop 128 pixels high."""
    scaled = sigma * len(image) / 128
    values: NDArray[np.float32] = gaussian_filter(image.astype(np.float32), (scaled, scaled, 0))
    return values


def noisy(image: NDArray[Any], sigma: float, rng: np.random.Generator) -> Picture:
    """A picture with Gaussian noise of ``sigma`` levels."""
    return as_pixels(image + rng.normal(0, sigma, image.shape).astype(np.float32))


def resized(image: Picture, height: int) -> Picture:
    """A picture of that height, by Lanczos."""
    size = (max(8, round(image.shape[1] * height / len(image))), height)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def dark(share: int) -> Poor:
    """A 1/share of the light, with the noise of reading."""
    return lambda image, rng: noisy(image / np.float32(share), READ_NOISE, rng)


CONDITIONS: dict[str, Poor] = {
    "clean": lambda image, _: image,
    "dark 1/3": dark(3),
    "dark 1/5": dark(5),
    "dark 1/12": dark(12),
    "noisy": lambda image, rng: noisy(image, 20, rng),
    "blurred": lambda image, _: as_pixels(smooth(image, 2)),
    "low resolution": lambda image, _: resized(image, 32),
}
DARK_GALLERY: dict[str, Poor] = {"gallery 1/5": dark(5), "gallery 1/12": dark(12)}
RANDOM = ("dark 1/3", "dark 1/5", "dark 1/12", "noisy")


def to_mean(target: float) -> Change:
    """The shipped rule with another number: darker crops are brought to this mean luma."""

    def change(image: Picture) -> Picture:
        present = brightness(image)
        return (
            image if present >= target else as_pixels(image * np.float32(target / max(present, 1)))
        )

    return change


def earlier(image: Picture) -> Picture:
    """The rule before: the brightest hundredth to 235, at most 8 times, and a mild blur."""
    if brightness(image) >= 40:
        return image
    gain = np.clip(235 / max(float(np.percentile(image.max(axis=2), 99)), 1.0), 1, 8)
    values = image.astype(np.float32) * np.float32(gain)
    return as_pixels(gaussian_filter(values, (0.6, 0.6, 0)) if len(image) >= 96 else values)


def sharper(amount: float) -> Change:
    """Unsharp mask."""

    def change(image: Picture) -> Picture:
        return as_pixels(image + amount * (image.astype(np.float32) - smooth(image, 2)))

    return change


GIVEN_UP: dict[str, dict[str, Change]] = {
    "clean": {"earlier": earlier},
    "dark": {"earlier": earlier},
    "gallery": {"earlier": earlier},
    "noisy": {
        "smoothed": lambda image: as_pixels(smooth(image, 1)),
        "median": lambda image: median_filter(image, (3, 3, 1)),
    },
    "blurred": {"sharpened": sharper(1.5)},
    "low resolution": {
        "enlarged": lambda image: resized(image, 128),
        "enlarged, sharpened": lambda image: sharper(1)(resized(image, 128)),
    },
}
NUMBERS: dict[str, Change] = {
    **{f"to mean {target}": to_mean(target) for target in (40, 60, 100)},
    "shipped, smoothed": lambda image: enhance(as_pixels(smooth(image, 0.7))),
}


def city_task(folder: Path, options: Options) -> Task:
    """Queries and gallery of a simulated city."""
    table, rng = read_any(folder), np.random.default_rng(0)
    queries, gallery = table.query, table.gallery
    chosen = np.sort(rng.permutation(len(queries))[: options.queries])
    # distractors (0) count as wrong; junk (-1) does not count
    usable = rng.permutation(np.flatnonzero(np.asarray(gallery.identity) >= 0))
    kept = np.sort(usable[: options.gallery])
    people, others = np.asarray(queries.identity)[chosen], np.asarray(gallery.identity)[kept]
    same = people[:, None] == others[None, :]
    camera = np.asarray(queries.camera)[chosen][:, None] == np.asarray(gallery.camera)[kept]
    return Task(
        name=folder.name,
        real=False,
        queries=[_read(queries.paths()[row]) for row in chosen],
        gallery=[_read(gallery.paths()[row]) for row in kept],
        dark=np.asarray(gallery.camera)[kept] % 2 == 1,
        people=people,
        same=same,
        counts=~(same & camera),
    )


def _read(path: Path) -> Picture:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def clip_task(clip: Path, detector: Detector, options: Options) -> Task:
    """The people of a clip: the same crops are queries, made poor, and gallery."""
    people = tracks(clip, detector)
    each = max(2, options.queries // max(1, len(people)))
    pictures: list[Picture] = []
    identity, moment = [], []
    for number, crops in enumerate(people):
        for at in np.linspace(0, len(crops) - 1, min(each, len(crops))).round().astype(int):
            pictures.append(crops[at])
            identity.append(number)
            moment.append(at / len(crops))
    who, when = np.array(identity), np.array(moment)
    same = who[:, None] == who[None, :]
    near = np.abs(when[:, None] - when[None, :]) < NEAR
    return Task(
        name=clip.name,
        real=True,
        queries=pictures,
        gallery=pictures,
        dark=np.arange(len(pictures)) % 2 == 1,
        people=who,
        same=same,
        counts=~(same & near),
    )


def score(task: Task, queries: NDArray[Any], gallery: NDArray[Any]) -> NDArray[np.float64]:
    """(Q, 2) rank-1 and average precision of each query; NaN where nothing can be found."""
    rows = np.full((len(queries), 2), np.nan)
    for row, order in enumerate(np.argsort(-(queries @ gallery.T), axis=1, kind="stable")):
        hits = task.same[row, order[task.counts[row, order]]]
        if hits.any():
            ranks = np.flatnonzero(hits) + 1
            rows[row] = hits[0], np.mean(np.arange(1, len(ranks) + 1) / ranks)
    return rows


def rules_of(condition: str, options: Options) -> dict[str, Change]:
    """The rules that are tried on a condition."""
    kind = condition.partition(" 1/")[0]
    rules: dict[str, Change] = {"plain": lambda image: image, "shipped": enhance, **GIVEN_UP[kind]}
    return rules | NUMBERS if options.candidates and kind in {"clean", "dark"} else rules


def vectors_of(
    rules: dict[str, Change], pictures: list[Picture], embedder: Embedder
) -> dict[str, NDArray[np.float32]]:
    """(N, D) of each rule; what a rule leaves as it is, is not embedded again."""
    plain = embedder.embed(pictures)
    result = {}
    for name, change in rules.items():
        changed = [change(picture) for picture in pictures]
        rows = [row for row, (a, b) in enumerate(zip(pictures, changed, strict=True)) if a is not b]
        vectors = plain.copy()
        if rows:
            vectors[rows] = embedder.embed([changed[row] for row in rows])
        result[name] = vectors
    return result


Scores = dict[str, dict[str, NDArray[np.float64]]]
"""Condition -> rule -> (draws, Q, 2)."""


def measure(task: Task, embedder: Embedder, options: Options) -> Scores:
    """All rules on all conditions of a task."""
    gallery = embedder.embed(task.gallery)
    result: Scores = {}
    for condition, make_poor in CONDITIONS.items():
        rows: dict[str, list[NDArray[np.float64]]] = {}
        for draw in range(options.draws if condition in RANDOM else 1):
            rng = np.random.default_rng(draw)
            poor = [make_poor(image, rng) for image in task.queries]
            vectors = vectors_of(rules_of(condition, options), poor, embedder)
            vectors["both"] = vectors["plain"] + vectors["shipped"]
            for name, some in vectors.items():
                rows.setdefault(name, []).append(score(task, some, gallery))
        result[condition] = {name: np.stack(draws) for name, draws in rows.items()}
        print(f"{task.name}: {condition}", flush=True)
    return result | _measure_gallery(task, gallery, embedder, options)


def _measure_gallery(
    task: Task, gallery: NDArray[np.float32], embedder: Embedder, options: Options
) -> Scores:
    """The conditions in which a part of the gallery is dark, one draw of the noise."""
    queries = embedder.embed(task.queries)
    result: Scores = {}
    for condition, make_poor in DARK_GALLERY.items():
        rng = np.random.default_rng(0)
        chosen = np.flatnonzero(task.dark)
        poor = [make_poor(task.gallery[row], rng) for row in chosen]
        result[condition] = {}
        for name, some in vectors_of(rules_of(condition, options), poor, embedder).items():
            mixed = gallery.copy()
            mixed[chosen] = some
            result[condition][name] = score(task, queries, mixed)[None]
        print(f"{task.name}: {condition}", flush=True)
    return result


def one(source: Path, options: Options) -> tuple[Task, Scores]:
    """Measure a city (a folder) or a clip."""
    embedder = Embedder.load(options.model)
    if source.is_dir():
        task = city_task(source, options)
    else:
        task = clip_task(source, Detector.load(options.detector or ""), options)
    return task, measure(task, embedder, options)


def summary(tasks: list[Task], scores: list[Scores]) -> dict[str, Any]:
    """Rank-1 and mAP over tasks of one kind, with the intervals of the differences from plain."""
    people = np.concatenate([1000 * n + task.people for n, task in enumerate(tasks)])
    table: dict[str, Any] = {}
    for condition in scores[0]:
        joined = {
            name: np.concatenate([one[condition][name] for one in scores], axis=1)
            for name in scores[0][condition]
        }
        table[condition] = {
            name: _row(values, joined["plain"], people) for name, values in joined.items()
        }
    return table


def _row(values: NDArray[Any], plain: NDArray[Any], people: NDArray[Any]) -> dict[str, Any]:
    """One rule on one condition."""
    by_draw = np.nanmean(values, axis=1)
    row: dict[str, Any] = {
        "rank1": round(float(by_draw[:, 0].mean()), 4),
        "mAP": round(float(by_draw[:, 1].mean()), 4),
        "rank1_draws": by_draw[:, 0].round(4).tolist(),
        "mAP_draws": by_draw[:, 1].round(4).tolist(),
    }
    if values is not plain:
        for column, key in enumerate(("rank1", "mAP")):
            change = (values - plain).mean(axis=0)[:, column]
            row[f"{key}_change"] = interval(change, people)
    return row


def interval(change: NDArray[Any], people: NDArray[Any]) -> list[float]:
    """Mean change and its 95 % interval, when people are drawn anew with all their queries."""
    valid = ~np.isnan(change)
    change, (_, person) = change[valid], np.unique(people[valid], return_inverse=True)
    sums, counts = np.bincount(person, change), np.bincount(person)
    drawn = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return [round(float(x), 4) for x in (change.mean(), low, high)]


def show(table: dict[str, Any]) -> None:
    """Print a table."""
    for condition, rules in table.items():
        for name, row in rules.items():
            line = f"{condition:<15} {name:<20} rank-1 {row['rank1']:.3f}  mAP {row['mAP']:.3f}"
            for key in ("rank1", "mAP"):
                if f"{key}_change" in row:
                    mean, low, high = row[f"{key}_change"]
                    line += f"  {key} {mean:+.3f} ({low:+.3f} to {high:+.3f})"
            print(line)


def main(options: Options) -> None:
    """Measure, print and write."""
    sources = (*options.cities, *options.clips)
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        done = list(pool.map(one, sources, [options] * len(sources)))
    result: dict[str, Any] = {"model": options.model, "draws": options.draws, "tables": {}}
    for kind, real in (("simulated", False), ("real", True)):
        some = [(task, scores) for task, scores in done if task.real is real]
        if not some:
            continue
        table = summary([task for task, _ in some], [scores for _, scores in some])
        result["tables"][kind] = {
            "data": [task.name for task, _ in some],
            "queries": sum(len(task.queries) for task, _ in some),
            "people": sum(len(np.unique(task.people)) for task, _ in some),
            "rules": table,
        }
        print(kind)
        show(table)
    write_result(options.out, "enhancement", result)
