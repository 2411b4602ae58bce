"""Render the listed crops, on one process or on several; the result is the same."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from passerby.simulate.appearance import Appearance
from passerby.simulate.crop import render_crop, render_junk
from passerby.simulate.looks import Looks
from passerby.simulate.observation import Observations
from passerby.simulate.pool import run_chunks
from passerby.simulate.scene import View
from passerby.simulate.sensor import Difficulty, Sensor
from passerby.simulate.shots import Shots
from passerby.simulate.tree import BACKGROUND, PART, CropList
from passerby.simulate.world import CROP, stream

QUALITY = 90  # of the JPEG files; the cameras' own compression is in the picture already
CHUNK = 24  # crops handed to a process at a time


@dataclass(frozen=True, kw_only=True)
class Renderer:
    """Everything a process needs to render any of the crops."""

    folder: Path
    seed: int
    difficulty: Difficulty
    sensors: list[Sensor]
    looks: Looks
    shots: Shots
    crops: CropList

    def crop(self, row: int) -> np.ndarray:
        """Crop number ``row``: uint8 (256, 128, 3)."""
        crops = self.crops
        rng = stream(self.seed, CROP, row)
        sensor = self.sensors[crops.camera[row]]
        if crops.kind[row] == BACKGROUND:
            return render_junk(sensor, rng)
        shot = int(crops.shot[row])
        shots = self.shots
        first, last = np.searchsorted(shots.other_of, [shot, shot + 1])
        others = [
            self._figure(int(shots.other_person[i]), shot, shots.other_seen, int(i))
            for i in range(first, last)
        ]
        appearance, view = self._figure(int(shots.person[shot]), shot, shots.seen, shot)
        picture = render_crop(
            appearance, view, sensor, rng, others=others, difficulty=self.difficulty
        )
        return _cut_out(picture, crops.window[row]) if crops.kind[row] == PART else picture

    def _figure(
        self, person: int, shot: int, seen: Observations, index: int
    ) -> tuple[Appearance, View]:
        """A person as they look and stand at the moment of a shot."""
        appearance = self.looks.appearance(person, float(self.shots.time[shot]))
        camera = int(self.shots.camera[shot])
        pose = self.looks.pose(person, camera)
        return appearance, view_of(seen, index, pose, self.sensors[camera])

    @cached_property
    def order(self) -> np.ndarray:
        """(N,) rows camera by camera: a process then keeps few background plates in memory."""
        return np.argsort(self.crops.camera, kind="stable")

    def write(self, places: range) -> int:
        """Render and write the crops at some places of the order; returns how many."""
        for row in self.order[places.start : places.stop].tolist():
            path = self.folder / self.crops.path[row]
            Image.fromarray(self.crop(row)).save(path, quality=QUALITY)
        return len(places)


def view_of(seen: Observations, index: int, pose: str, sensor: Sensor) -> View:
    """One observation in the renderer's terms."""
    aside = np.tan(seen.azimuth[index]) * sensor.focal / np.cos(sensor.tilt)
    return View(
        heading=float(seen.heading[index]),
        elevation=float(seen.elevation[index]),
        distance=float(seen.distance[index]),
        phase=float(seen.phase[index]),
        pose=pose,
        place=float(0.5 + aside / sensor.frame[0]),
    )


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
    chunks = [range(i, min(i + CHUNK, count)) for i in range(0, count, CHUNK)]
    with tqdm(total=count, unit="crop", desc="rendering", disable=not progress) as bar:
        for done in run_chunks(renderer.write, chunks, workers):
            bar.update(done)
