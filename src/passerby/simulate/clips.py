"""Clips of single cameras, with everyone's box in every frame as truth."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from passerby.errors import MissingExtraError
from passerby.simulate import tables
from passerby.simulate.crop import bounds
from passerby.simulate.mesh import Figure
from passerby.simulate.observation import Observations, area, clip_boxes, observe
from passerby.simulate.rendering import in_chunks, person_at
from passerby.simulate.scene import Scene, place, populate
from passerby.simulate.sensor import Sensor, develop
from passerby.simulate.world import CLIP, Appearances, World, stream

SIZE = (960, 540)  # pixels, width and height
RATE = 10  # frames a second
BEYOND = 1.5  # ranges up to which people are drawn, and boxes given
SMALLEST = 16.0  # pixels: smaller people are not drawn
CHUNK = 8  # frames handed to a process at a time
BIT_RATE = 4_000_000


@dataclass(frozen=True)
class FrameRenderer:
    """Everything a process needs to draw any frame of one clip.

    Attributes:
        camera: index of the camera.
        frame: (V,) ascending, the frame of each observation.
        seen: (V,) people in the frames, the nearest first.
    """

    seed: int
    camera: int
    sensor: Sensor
    appearances: Appearances
    frame: np.ndarray
    seen: Observations

    def frames(self, numbers: range) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pictures (540, 960, 3) uint8 and boxes (people of the frame, 4) of some frames."""
        return [self._frame(number) for number in numbers]

    def _frame(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        first, last = np.searchsorted(self.frame, [number, number + 1])
        figure, sensor = Figure(), self.sensor
        people = [
            place(*person_at(self.appearances, self.seen, i, sensor), sensor)
            for i in range(first, last)
        ]
        feet, ends = populate(figure, people)
        ground = np.array([[p.x, p.z] for p in people] or [[0.0, 0.0]])
        x, z = ((ground.min(0) + ground.max(0)) / 2).tolist()
        extent = float(np.ptp(ground, axis=0).max()) / 2 + 1.6
        scene = Scene(figure, feet, sensor, sensor.light, sensor.height, (x, z), extent)
        frame, size = (0.0, 0.0, float(sensor.frame[0]), float(sensor.frame[1])), SIZE[::-1]
        picture = develop(
            scene.draw(frame, size, person_pixels=150.0),
            sensor,
            stream(self.seed, CLIP, self.camera, number),
            native=size,
        )
        camera = scene.window(frame, size).vector()
        boxes = [bounds(figure.vertices[a:b], camera) for a, b in pairwise([0, *ends])]
        return picture, clip_boxes(np.array(boxes).reshape(-1, 4), np.array(SIZE))


def record_clips(
    folder: Path,
    world: World,
    appearances: Appearances,
    *,
    workers: int = 1,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Record the busiest cameras in their busiest seconds.

    Writes ``clips/<camera>.mp4`` and ``clips/<camera>.parquet`` (frame, identity, x0, y0, x1, y1,
    pixels of the clip; people far behind the camera's range have no box).

    The result does not depend on ``workers``.

    Returns:
        For each clip its camera, files, start (ms since the epoch), frame rate and frame count.
    """
    busy = np.bincount(world.passages.camera, minlength=len(world.cameras))
    chosen = np.argsort(-busy, kind="stable")[: world.options.clips]
    (folder / "clips").mkdir()
    count = round(world.options.clip_seconds * RATE)
    clips = []
    for index in sorted(chosen.tolist()):
        camera = world.cameras[index]
        start = busiest_start(world, index)
        frame, seen = people_in_clip(world, index, start, appearances.statures)
        seed = world.options.seed
        renderer = FrameRenderer(seed, index, camera.sensor, appearances, frame, seen)
        video, truth = f"clips/{camera.id}.mp4", f"clips/{camera.id}.parquet"
        frames = in_chunks(renderer.frames, count, CHUNK, workers)
        bar = tqdm(frames, total=count, unit="frame", desc="clip", disable=not progress)
        boxes = encode(folder / video, bar)
        tables.write_parquet(
            folder / truth,
            {"frame": frame, "identity": seen.person + 1, **tables.box_columns(boxes)},
        )
        clips.append(
            {
                "camera": camera.id,
                "video": video,
                "truth": truth,
                "start": int(tables.milliseconds(world, np.array(start))),
                "frames_per_second": RATE,
                "frames": count,
            }
        )
    return clips


def busiest_start(world: World, camera: int) -> float:
    """Seconds at which the clip starts that shows most of the camera's passages."""
    own = world.passages.camera == camera
    enter, leave = world.passages.enter[own], world.passages.leave[own]
    length = world.options.clip_seconds
    last = max(world.options.hours * 3600.0 - length, 0.0)
    starts = np.clip(enter - 1.0, 0.0, last)
    if len(starts) == 0:
        return 0.0
    overlap = np.minimum(leave, starts[:, None] + length) - np.maximum(enter, starts[:, None])
    return float(np.floor(starts[np.argmax(np.maximum(overlap, 0.0).sum(1))]))


def people_in_clip(
    world: World, camera: int, start: float, statures: np.ndarray
) -> tuple[np.ndarray, Observations]:
    """Everyone outdoors who falls into the frame at every moment of a clip.

    Returns:
        (V,) frame numbers, ascending, and the observations in them, the nearest first.
    """
    frames = np.arange(round(world.options.clip_seconds * RATE))
    frame = np.repeat(frames, len(world.population))
    person = np.tile(np.arange(len(world.population)), len(frames))
    time = start + frame / RATE
    pole = world.cameras[camera]
    offset = world.walks.position(person, time) - pole.place
    close = np.flatnonzero(np.hypot(*offset.T) < BEYOND * pole.range)
    close = close[world.walks.outdoors(person[close], time[close])]
    frame = frame[close]
    seen = observe(
        world.walks, world.cameras, person=person[close], camera=np.full(len(close), camera),
        time=time[close], stature=statures,
    )  # fmt: skip
    scale = SIZE[0] / pole.frame[0]
    box = seen.box * scale
    visible = area(clip_boxes(box, np.array(SIZE))) > 0.05 * area(box)
    drawn = visible & (np.abs(seen.azimuth) < 1.4) & (box[:, 3] - box[:, 1] > SMALLEST)
    keep = np.flatnonzero(drawn)
    keep = keep[np.lexsort((seen.distance[keep], frame[keep]))]
    return frame[keep], seen.take(keep)


def encode(path: Path, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Write pictures as MPEG-4 part 2, which FFmpeg encodes under the LGPL.

    Returns:
        The boxes of all frames, one after the other: (V, 4).
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("av", "simulate") from error
    boxes = [np.empty((0, 4))]
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=Fraction(RATE))
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        video.bit_rate = BIT_RATE
        for picture, own in frames:
            boxes.append(own)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
    return np.concatenate(boxes)
