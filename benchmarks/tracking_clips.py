"""Simulated clips with truth, and made detections, for ``benchmarks/tracking.py``."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq

from benchmarks.common import ROOT
from passerby.ingest.boxes import overlaps
from passerby.ingest.detector import Detections
from passerby.simulate.clips import SIZE, record_clips
from passerby.simulate.options import SimulationOptions
from passerby.simulate.world import appearances_of, build_world

WORLDS = ((100, 2), (400, 3), (1500, 3), (4000, 2))  # people of a city, clips recorded in it
GRID = 4  # pixels of a cell in which visibility is counted


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The people of one frame: numbers (N,), boxes (N, 4), visible shares and visible boxes."""

    people: np.ndarray
    boxes: np.ndarray
    visible: np.ndarray
    parts: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip, the pillars painted into it ((x0, x1) each), and its truth."""

    name: str
    path: Path
    pillars: list[tuple[int, int]]
    truth: list[Truth]

    def frames(self) -> Iterator[np.ndarray]:
        """(540, 960, 3) uint8 pictures with the pillars."""
        grain = np.random.default_rng(1).normal(0, 6, (SIZE[1], SIZE[0], 3))
        with av.open(str(self.path)) as container:
            for frame in container.decode(video=0):
                image = frame.to_ndarray(format="rgb24")
                for x0, x1 in self.pillars:
                    image[:, x0:x1] = (96 + grain[:, x0:x1]).clip(0, 255)
                yield image


def read_clips(seed: int, workers: int) -> list[Clip]:
    """The ten clips of a seed, rendered on first use into ``datasets/tracking``."""
    clips = []
    for number, (people, count) in enumerate(WORLDS):
        folder = ROOT / "datasets" / "tracking" / str(seed + number)
        if not (folder / "clips.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            options = SimulationOptions(
                people=people, cameras=6, hours=1, seed=seed + number, clips=count
            )
            world = build_world(options)
            made = record_clips(folder, world, appearances_of(world), workers=workers)
            (folder / "clips.json").write_text(json.dumps(made), encoding="utf-8")
        for row in json.loads((folder / "clips.json").read_text("utf-8")):
            name = f"{people} people, {row['camera']}"
            clips.append(_read(name, folder, row, pillars=len(clips) % 2 == 1))
    return clips


def _read(name: str, folder: Path, row: dict[str, Any], *, pillars: bool) -> Clip:
    table = pq.read_table(folder / row["truth"]).to_pydict()
    frame, people = np.array(table["frame"]), np.array(table["identity"])
    boxes = np.array([table[c] for c in ("x0", "y0", "x1", "y1")], dtype=np.float64).T
    hidden = [(250, 310), (640, 690)] if pillars else []
    truth = []
    for n in range(row["frames"]):
        own = np.flatnonzero(frame == n)  # the nearest first
        visible, parts = visibility(boxes[own], hidden)
        truth.append(Truth(people=people[own], boxes=boxes[own], visible=visible, parts=parts))
    return Clip(name=name, path=folder / row["video"], pillars=hidden, truth=truth)


def visibility(boxes: np.ndarray, pillars: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Visible shares (N,) and boxes (N, 4) of people, who fill ellipses, the nearest first."""
    free = np.ones((SIZE[1] // GRID, SIZE[0] // GRID), dtype=bool)
    for x0, x1 in pillars:
        free[:, x0 // GRID : x1 // GRID] = False
    shares, parts = np.zeros(len(boxes)), boxes.copy()
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        left, top = int(x0 // GRID), int(y0 // GRID)
        cells = free[top : int(y1 // GRID) + 1, left : int(x1 // GRID) + 1]
        y, x = np.mgrid[: cells.shape[0], : cells.shape[1]]
        a, b = (cells.shape[1] - 1) / 2, (cells.shape[0] - 1) / 2
        body = ((x - a) / (a + 0.5)) ** 2 + ((y - b) / (b + 0.5)) ** 2 <= 1
        rows, columns = np.nonzero(body & cells)
        shares[i] = len(rows) / max(body.sum(), 1)
        if 0 < shares[i] < 0.98:
            edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            part = (np.array([left, top, left, top]) + edges) * GRID
            parts[i] = np.concatenate(
                [np.maximum(part[:2], boxes[i, :2]), np.minimum(part[2:], boxes[i, 2:])]
            )
        cells &= ~body
    return shares, parts


class MadeDetector:
    """Boxes as a detector gives them, made from the truth and a seed.

    Confidence falls with height and with what is hidden, and drifts; faint people are missed. Edges
    jitter. The box of a half-hidden person tends to the visible part. Of two boxes that overlap by
    half one goes, and at times the other becomes the hull of both. False boxes: three fixed things
    of wavering confidence, single flashes, and upper bodies.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([seed, 17])
        self.drift: dict[int, np.ndarray] = {}
        size = np.array([SIZE[0], SIZE[1]])
        corner = self.rng.uniform(0.1, 0.8, (3, 2)) * size
        sides = self.rng.uniform(0.6, 1.4, (3, 1)) * [35, 90]
        self.things = np.concatenate([corner, corner + sides], axis=1)

    def wander(self, key: int, spread: float = 1.0) -> np.ndarray:
        """(5,) values that change slowly: of unit variance, with a memory of about five frames."""
        before = self.drift.get(key, self.rng.normal(size=5))
        self.drift[key] = 0.8 * before + 0.6 * self.rng.normal(size=5)
        return self.drift[key] * spread

    def detect(self, truth: Truth) -> Detections:
        rows = []
        for person, box, visible, part in zip(
            truth.people.tolist(), truth.boxes, truth.visible, truth.parts, strict=True
        ):
            noise = self.wander(person)
            height = box[3] - box[1]
            score = 1.05 * visible**0.7 * min(1.0, height / 60) ** 0.5 - 0.1 + 0.08 * noise[4]
            hull = box if visible > 0.9 else 0.4 * box + 0.6 * part
            sides = np.tile(hull[2:] - hull[:2], 2)
            jitter = sides * (0.025 * noise[:4] + self.rng.normal(0, 0.015, 4))
            rows.append([*(hull + jitter), score])
            if self.rng.random() < 0.02:
                rows.append([*box[:3], box[1] + 0.5 * height, 0.45 + 0.2 * self.rng.random()])
        for number, thing in enumerate(self.things):
            noise = self.wander(-1 - number)
            rows.append([*(thing + 2 * noise[:4]), 0.3 + 0.12 * noise[4]])
        if self.rng.random() < 0.08:
            x, y = self.rng.uniform([0, 0], [900, 440])
            rows.append([x, y, x + 30, y + 80, self.rng.uniform(0.1, 0.7)])
        return self._suppressed(np.array(rows))

    def _suppressed(self, rows: np.ndarray) -> Detections:
        rows[:, :4] = np.clip(rows[:, :4], 0, [SIZE[0], SIZE[1]] * 2)
        rows = rows[(rows[:, 4] > 0.05) & (rows[:, 2:4] - rows[:, :2] > 4).all(axis=1)]
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        kept: list[np.ndarray] = []
        for row in rows:
            near = overlaps(row[None, :4], np.array([k[:4] for k in kept]).reshape(-1, 4))[0]
            if not len(near) or near.max() <= 0.5:
                kept.append(row)
            elif self.rng.random() < 0.3:
                other = kept[int(near.argmax())]
                other[:2] = np.minimum(other[:2], row[:2])
                other[2:4] = np.maximum(other[2:4], row[2:4])
        table = np.array(kept, dtype=np.float32).reshape(-1, 5)
        return Detections(boxes=table[:, :4], scores=np.clip(table[:, 4], 0, 0.99))
