"""Clips of coloured figures on grey, a detector that finds colour, an embedder that sees it.

Small and real: the clip is encoded and decoded, boxes come from the pixels, vectors from the
crops. `python conftest.py CITY CLIP` ingests in a process of its own, to be killed.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from passerby.city import City
from passerby.ingest import Detections, Detector, create_small_city, ingest_clip
from passerby.models import ModelCard
from passerby.runtime import Embedder
from passerby.runtime.backend import Backend

if TYPE_CHECKING:
    from tests.ingest.rtsp import RtspServer

REAL = Path(__file__).parents[2].parent / "shared" / "real"
START = "2026-05-01T08:00:00+08:00"
SIZE = (160, 320)  # height and width of the synthetic clips
LANES = (5, 85)  # upper edges of the two paths on which figures cross


class ColourDetector(Detector):
    """Finds what is not grey."""

    name = "colour"

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        return [self._one(frame) for frame in frames]

    def _one(self, frame: NDArray[np.uint8]) -> Detections:
        values = frame.astype(int)
        labels, _ = ndimage.label(values.max(axis=2) - values.min(axis=2) > 40)
        boxes = []
        for rows, columns in ndimage.find_objects(labels):
            if rows.stop - rows.start >= 20 and columns.stop - columns.start >= 12:
                boxes.append((columns.start, rows.start, columns.stop, rows.stop))
        return Detections(
            boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
            scores=np.full(len(boxes), 0.9, dtype=np.float32),
        )


class ColourBackend(Backend):
    """The mean colours of four stripes."""

    runtime = "colour"
    precision = "fp32"
    dimension = 12

    def features(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        stripes = pictures.reshape(len(pictures), 4, -1, 3).mean(axis=2) - 127.5
        return stripes.reshape(len(pictures), 12).astype(np.float32)

    def describe(self) -> str:
        return self.runtime


def colour_embedder() -> Embedder:
    card = ModelCard(architecture="colour", dimension=12, input_size=(32, 16))
    return Embedder(ColourBackend(), card, "colour-1")


def figures(count: int) -> NDArray[np.float64]:
    """Colours of figures, (count, 2, 3): above and below the belt, all different."""
    rng = np.random.default_rng(3)
    colours = rng.uniform(0, 1, (count, 2, 3))
    colours[:, :, 0] += 1.0
    return colours / colours.max(axis=2, keepdims=True) * 230


def draw(
    path: Path,
    people: int,
    *,
    gap: int = 12,
    rate: int = 25,
    frames: int = 0,
    gop: int = 250,
    posts: int = 0,
) -> Path:
    """Write a clip in which figures cross one after the other on two lanes; posts stand below."""
    height, width = SIZE
    colours = figures(people)
    length = frames or (people // 2 + 1) * gap + 40
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_type = "FRAME"  # one slice for each picture, as cameras send
        stream.options = {"crf": "12", "g": str(gop), "sc_threshold": "0"}
        for number in range(length):
            image = np.full((height, width, 3), 120, np.uint8)
            for post in range(posts):
                image[110:150, 40 + 100 * post : 60 + 100 * post] = colours[-1, post % 2]
            for person in range(people):
                x = (number - gap * (person // 2)) * 12 - 30
                top = LANES[person % 2]
                if -30 < x < width:
                    left, right = max(0, x), min(width, x + 30)
                    image[top : top + 35, left:right] = colours[person, 0]
                    image[top + 35 : top + 70, left:right] = colours[person, 1]
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def cut(path: Path, names: list[Path]) -> list[Path]:
    """Copy a clip into one file for each key frame, as recorders do."""
    with av.open(str(path)) as source:
        stream, number, target = source.streams.video[0], -1, None
        for packet in source.demux(stream):
            if packet.dts is None:
                continue
            if packet.is_keyframe:
                number += 1
                if target is not None:
                    target.close()
                names[number].parent.mkdir(parents=True, exist_ok=True)
                target = av.open(str(names[number]), "w")
                copy = target.add_stream_from_template(stream)
            assert target is not None
            packet.stream = copy
            target.mux(packet)
        assert target is not None
        target.close()
    return names[: number + 1]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen figures."""
    return draw(tmp_path_factory.mktemp("clips") / "sixteen.mp4", 16)


@pytest.fixture(scope="session")
def stream(tmp_path_factory: pytest.TempPathFactory, draw_clip: Callable[..., Path]) -> Path:
    """Fifty figures in 14 s, with a key frame each half second."""
    return draw_clip(tmp_path_factory.mktemp("live") / "stream.mp4", 50, gop=12)


@pytest.fixture
def server() -> Iterator["RtspServer"]:
    from tests.ingest.rtsp import running

    yield from running()


@pytest.fixture(scope="session")
def draw_clip() -> Callable[..., Path]:
    return draw


@pytest.fixture(scope="session")
def cut_clip() -> Callable[..., list[Path]]:
    return cut


@pytest.fixture(scope="session")
def detector() -> Detector:
    return ColourDetector()


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return colour_embedder()


@pytest.fixture
def city(tmp_path: Path) -> City:
    return create_small_city(tmp_path / "city", camera="C01", place=(116.4, 39.9))


@pytest.fixture(scope="session")
def real() -> Path:
    if not REAL.is_dir():
        pytest.skip("the real clips and networks (../shared/real) are not here")
    return REAL


@pytest.fixture(params=["sqlite", "nats"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "jobs.sqlite")
    return f"{request.getfixturevalue('nats').address}/q{abs(hash(tmp_path))}"


# with a server these wait long; SQLite's runs show the same state machine every time
SLOW_WITH_NATS = (
    "test_a_killed_workers_job_is_finished",
    "test_a_job_is_in_one_hand",
    "test_a_job_that_fails_waits",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name.startswith(SLOW_WITH_NATS) and item.name.endswith("[nats]"):
            item.add_marker(pytest.mark.slow)


if __name__ == "__main__":
    with City.open(sys.argv[1]) as own:
        ingest_clip(
            own,
            sys.argv[2],
            camera="C01",
            start=START,
            detector=ColourDetector(),
            embedder=colour_embedder(),
            on_stored=lambda ids: print(*ids, flush=True),
        )
