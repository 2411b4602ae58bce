"""Render the listed crops, on one process or on several; the result is the same."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from passerby.simulate.crop import render_crop, render_junk
from passerby.simulate.observation import Observations
from passerby.simulate.options import SimulationOptions
from passerby.simulate.scene import View
from passerby.simulate.sensor import Sensor
from passerby.simulate.shots import BACKGROUND, PART, CropList, Shots
from passerby.simulate.wardrobe import Appearance
from passerby.simulate.world import CROP, Appearances, stream

QUALITY = 90  # of the JPEG files; the cameras' own compression is in the picture already
CHUNK = 24  # crops handed to a process at a time
Result = TypeVar("Result")


@dataclass(frozen=True)
class Renderer:
    """Everything a process needs to render any of the crops."""

    folder: Path
    options: SimulationOptions
    sensors: list[Sensor]
    appearances: Appearances
    shots: Shots
    crops: CropList

    def crop(self, row: int) -> np.ndarray:
        """Crop number ``row``: uint8 (256, 128, 3)."""
        crops, shots = self.crops, self.shots
        rng = stream(self.options.seed, CROP, row)
        sensor = self.sensors[crops.camera[row]]
        if crops.kind[row] == BACKGROUND:
            return render_junk(sensor, rng)
        shot = int(crops.shot[row])
        first, last = np.searchsorted(shots.other_of, [shot, shot + 1])
        people = [person_at(self.appearances, shots.seen, shot, sensor)]
        people += [
            person_at(self.appearances, shots.other_seen, i, sensor) for i in range(first, last)
        ]
        appearance, view = people[0]
        hard = self.options.difficulty
        picture = render_crop(appearance, view, sensor, rng, others=people[1:], difficulty=hard)
        return _cut_out(picture, crops.window[row]) if crops.kind[row] == PART else picture

    @cached_property
    def order(self) -> np.ndarray:
        """(N,) rows camera by camera: a process then keeps few background plates in memory."""
        return np.argsort(self.crops.camera, kind="stable")

    def write(self, places: range) -> list[int]:
        """Render and write the crops at some places of the order; returns their rows."""
        rows: list[int] = self.order[places.start : places.stop].tolist()
        for row in rows:
            path = self.folder / self.crops.path[row]
            Image.fromarray(self.crop(row)).save(path, quality=QUALITY)
        return rows


def person_at(
    appearances: Appearances, seen: Observations, index: int, sensor: Sensor
) -> tuple[Appearance, View]:
    """A person as they look and stand at the moment of one observation."""
    person, camera = int(seen.person[index]), int(seen.camera[index])
    aside = np.tan(seen.azimuth[index]) * sensor.focal / np.cos(sensor.tilt)
    view = View(
        heading=float(seen.heading[index]),
        elevation=float(seen.elevation[index]),
        distance=float(seen.distance[index]),
        phase=float(seen.phase[index]),
        pose=appearances.pose(person, camera),
        place=float(0.5 + aside / sensor.frame[0]),
    )
    return appearances.at(person, float(seen.time[index])), view


def _cut_out(picture: np.ndarray, window: np.ndarray) -> np.ndarray:
    """A part of a picture, enlarged to its full size, as a bad box shows it."""
    height, width = picture.shape[:2]
    box = tuple((window * [width, height, width, height]).tolist())
    size = (width, height)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR, box=box))


def render_all(renderer: Renderer, workers: int, *, progress: bool = True) -> None:
    """Render every crop of the list into the renderer's folder.

    Args:
        renderer: what to render, and where to.
        workers: processes; with 1 everything stays in this one.
        progress: show a bar on stderr.
    """
    count = len(renderer.crops)
    with tqdm(total=count, unit="crop", desc="rendering", disable=not progress) as bar:
        for _ in in_chunks(renderer.write, count, CHUNK, workers):
            bar.update()


def in_chunks(
    work: Callable[[range], list[Result]], count: int, chunk: int, workers: int
) -> Iterator[Result]:
    """Results of ``work`` for the rows 0 .. ``count``, in order.

    Args:
        work: results of some rows; it is sent to each process once, so that it may hold large
            arrays.
        count: number of rows.
        chunk: rows handed to a process at a time.
        workers: processes; with 1 everything stays in this one.
    """
    chunks = [range(i, min(i + chunk, count)) for i in range(0, count, chunk)]
    if workers == 1 or len(chunks) < 2:
        for results in map(work, chunks):
            yield from results
        return
    # fresh processes: a fork would copy locks held by threads of this one
    pool = ProcessPoolExecutor(
        min(workers, len(chunks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(work,),
    )
    try:
        for results in pool.map(_work, chunks):
            yield from results
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_task: Callable[[range], list[Any]] | None = None  # of a worker process


def _start_worker(work: Callable[[range], list[Any]]) -> None:
    """Store the work, ignore Ctrl-C, which the parent handles, and exit when the parent exits."""
    global _task  # noqa: PLW0603 - a process pool has no other place for its state
    _task = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(rows: range) -> list[Any]:
    assert _task is not None
    return _task(rows)
