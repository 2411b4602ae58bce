"""Clips of single cameras, with everyone's box in every frame as truth."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from passerby.errors import MissingExtraError
from passerby.simulate import tables
from passerby.simulate.figure import Figure
from passerby.simulate.looks import Looks
from passerby.simulate.observation import Observations, area, clip_boxes, observe
from passerby.simulate.pool import run_chunks
from passerby.simulate.raster import Camera, project
from passerby.simulate.rendering import view_of
from passerby.simulate.scene import Placed, backdrop, draw, frame_camera, place, populate
from passerby.simulate.sensor import Sensor, develop
from passerby.simulate.world import CLIP, World, stream

SIZE = (960, 540)  # pixels, width and height
RATE = 10  # frames a second
BEYOND = 1.5  # ranges up to which people are drawn, and boxes given
SMALLEST = 16.0  # pixels: smaller people are not drawn
CHUNK = 8  # frames handed to a process at a time
BIT_RATE = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Cast:
    """V appearances of people in the frames of one clip, by frame, the nearest first."""

    frame: np.ndarray
    person: np.ndarray
    time: np.ndarray
    seen: Observations


@dataclass(frozen=True, kw_only=True)
class FrameRenderer:
    """Everything a process needs to draw any frame of one clip."""

    seed: int
    camera: int
    sensor: Sensor
    looks: Looks
    cast: Cast

    def frames(self, numbers: range) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pictures (540, 960, 3) uint8 and boxes (people of the frame, 4) of some frames."""
        return [self._frame(number) for number in numbers]

    def _frame(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        first, last = np.searchsorted(self.cast.frame, [number, number + 1])
        figure, spans = Figure(), []
        people = [self._placed(int(i)) for i in range(first, last)]
        feet = populate(figure, people, lambda a, b: spans.append((a, b)))
        frame = (0.0, 0.0, float(self.sensor.frame[0]), float(self.sensor.frame[1]))
        scale = SIZE[0] / frame[2]
        camera = frame_camera(self.sensor, self.sensor.height).window(0.0, 0.0, scale, scale)
        size, light = (SIZE[1], SIZE[0]), self.sensor.light
        layers = None
        if people:
            layers = draw(figure, camera, light, size, **_lit_region(people), person_pixels=150.0)
        image = backdrop(self.sensor, camera, frame, size, light=light, layers=layers, feet=feet)
        if layers is not None:
            image = np.where(layers.cover[:, :, None], layers.colour, image)
        rng = stream(self.seed, CLIP, self.camera, number)
        return develop(image, self.sensor, rng, native=size), _boxes(figure, spans, camera)

    def _placed(self, index: int) -> Placed:
        person = int(self.cast.person[index])
        appearance = self.looks.appearance(person, float(self.cast.time[index]))
        pose = self.looks.pose(person, self.camera)
        return place(appearance, view_of(self.cast.seen, index, pose, self.sensor), self.sensor)


def _lit_region(people: list[Placed]) -> dict[str, Any]:
    """Centre and half size in metres of the ground on which shadows are cast."""
    ground = np.array([[p.x, p.z] for p in people])
    centre = (ground.min(0) + ground.max(0)) / 2
    reach = float(np.ptp(ground, axis=0).max()) / 2 + 1.6
    return {"centre": (float(centre[0]), float(centre[1])), "extent": reach}


def _boxes(figure: Figure, spans: list[tuple[int, int]], camera: Camera) -> np.ndarray:
    """Tight boxes (V, 4) in pixels of the clip, cut at its border."""
    boxes = np.empty((len(spans), 4))
    for row, (a, b) in enumerate(spans):
        screen = project(figure.vertices[a:b], camera.vector())[:, :2]
        boxes[row] = np.concatenate([screen.min(0), screen.max(0)])
    return clip_boxes(boxes, np.array(SIZE))


def record_clips(
    folder: Path,
    world: World,
    looks: Looks,
    statures: np.ndarray,
    *,
    workers: int = 1,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Record the busiest cameras in their busiest seconds.

    Writes ``clips/<camera>.mp4`` and ``clips/<camera>.parquet`` (frame, identity, x0, y0, x1, y1,
    pixels of the clip; people far behind the camera's range have no box).

    ``statures`` (N,) are metres; the result does not depend on ``workers``.

    Returns:
        For each clip its camera, files, start (ms since the epoch), frame rate and frame count.
    """
    busy = np.bincount(world.passages.camera, minlength=len(world.cameras))
    chosen = np.argsort(-busy, kind="stable")[: world.options.clips]
    (folder / "clips").mkdir()
    clips = []
    for index in sorted(chosen.tolist()):
        start = busiest_start(world, index)
        cast = cast_of(world, index, start, statures)
        renderer = FrameRenderer(
            seed=world.options.seed,
            camera=index,
            sensor=world.cameras[index].sensor,
            looks=looks,
            cast=cast,
        )
        name = f"clips/{world.cameras[index].id}"
        count = round(world.options.clip_seconds * RATE)
        pictures = _pictures(renderer, count, workers, progress=progress)
        boxes = encode(folder / f"{name}.mp4", pictures)
        _write_truth(folder / f"{name}.parquet", cast, boxes)
        clips.append(_entry(name, int(tables.milliseconds(world, np.array(start))), count))
    return clips


def _entry(name: str, start: int, count: int) -> dict[str, Any]:
    return {
        "camera": name.rpartition("/")[2],
        "video": f"{name}.mp4",
        "truth": f"{name}.parquet",
        "start": start,
        "frames_per_second": RATE,
        "frames": count,
    }


def _pictures(
    renderer: FrameRenderer, count: int, workers: int, *, progress: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    chunks = [range(i, min(i + CHUNK, count)) for i in range(0, count, CHUNK)]
    with tqdm(total=count, unit="frame", desc="clip", disable=not progress) as bar:
        for frames in run_chunks(renderer.frames, chunks, workers):
            yield from frames
            bar.update(len(frames))


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


def cast_of(world: World, camera: int, start: float, statures: np.ndarray) -> Cast:
    """Everyone outdoors who falls into the frame at every moment of a clip."""
    frames = np.arange(round(world.options.clip_seconds * RATE))
    frame = np.repeat(frames, len(world.population))
    person = np.tile(np.arange(len(world.population)), len(frames))
    time = start + frame / RATE
    pole = world.cameras[camera]
    offset = world.walks.position(person, time) - pole.place
    close = np.flatnonzero(np.hypot(*offset.T) < BEYOND * pole.range)
    close = close[world.walks.outdoors(person[close], time[close])]
    frame, person, time = frame[close], person[close], time[close]
    seen = observe(
        world.walks,
        world.cameras,
        person=person,
        camera=np.full(len(person), camera),
        time=time,
        stature=statures,
    )
    scale = SIZE[0] / pole.frame[0]
    box = seen.box * scale
    visible = area(clip_boxes(box, np.array(SIZE))) > 0.05 * area(box)
    drawn = visible & (np.abs(seen.azimuth) < 1.4) & (box[:, 3] - box[:, 1] > SMALLEST)
    keep = np.flatnonzero(drawn)
    keep = keep[np.lexsort((seen.distance[keep], frame[keep]))]
    picked = {name: getattr(seen, name)[keep] for name in Observations.__dataclass_fields__}
    return Cast(
        frame=frame[keep],
        person=person[keep],
        time=time[keep],
        seen=Observations(**picked),
    )


def _write_truth(path: Path, cast: Cast, boxes: np.ndarray) -> None:
    columns = {"frame": cast.frame, "identity": cast.person + 1}
    for i, name in enumerate(("x0", "y0", "x1", "y1")):
        columns[name] = boxes[:, i].astype(np.float32)
    tables.write_parquet(path, columns)


def encode(path: Path, frames: Iterator[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
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
