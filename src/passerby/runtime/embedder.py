"""The embedder: pictures of people in, unit vectors out, in whatever runtime there is."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.models import ModelCard
from passerby.models.identity import find_file
from passerby.runtime.automatic import open_network
from passerby.runtime.backend import Backend, Pending
from passerby.runtime.calibrations import with_calibration
from passerby.runtime.pictures import Picture, read_image, resize
from passerby.runtime.samples import unit_rows

WORKERS = 2  # decoding threads; Pillow releases the interpreter's lock
BATCHES_AHEAD = 3
BATCHES_RUNNING = 2  # so that no stream of the runtime waits for the end of a batch


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """A finished batch of a stream of pictures."""

    indices: NDArray[np.int64]
    """(B,) positions in the stream."""
    vectors: NDArray[np.float32]
    """(B, D) unit rows."""
    problems: dict[int, str]
    """Position -> why that picture could not be read."""


class Embedder:
    """A network with its card in a runtime.

    The same picture gives the same vector however it comes (path, PIL image, array), and
    neither batch size nor order changes a value by more than 1e-6 (PyTorch's own bf16 and fp16 on
    a batch of another size excepted).
    """

    def __init__(self, backend: Backend, card: ModelCard, model_id: str) -> None:
        """Use :meth:`load`; this takes the parts ready made."""
        self.backend = backend
        self.card = card
        self.model_id = model_id
        self.dimension = backend.dimension

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        device: str = "auto",
        runtime: str = "auto",
        precision: str = "auto",
    ) -> "Embedder":
        """Open a network.

        Args:
            name_or_path: "default" (the bundled network), a name of the model zoo that was pulled,
                a Passerby weights file (.safetensors), an ONNX file, or an OpenVINO .xml with its
                .bin beside it.
            device: "auto", "cpu", "cuda", "cuda:1" ...; auto takes a GPU when the runtime has one.
            runtime: "auto", "torch", "compiled" (PyTorch's compiler), "onnx" or "openvino". On a
                CPU, auto tries the installed ones on a few batches when a network is first opened
                on a machine, takes the fastest of those that agree with PyTorch, and remembers.
            precision: "auto" (fp32), "fp32", "bf16", "fp16", or, with runtime auto, "fastest":
                fp32 or bf16. A quantised network is int8 whatever is asked.

        Raises:
            InputError: no such file, not an embedding network, or an option it cannot have.
        """
        backend, card, model_id = open_network(name_or_path, device, runtime, precision)
        return cls(backend, with_calibration(find_file(name_or_path), card, model_id), model_id)

    def __repr__(self) -> str:
        """Say what it is."""
        return f"Embedder({self.model_id}, {self.backend.describe()}, {self.dimension}-d)"

    def prepare(self, picture: Picture) -> NDArray[np.uint8]:
        """Read a picture at the network's input size, (H, W, 3) uint8 RGB."""
        return resize(read_image(picture), self.card.input_size, self.card.interpolation)

    def embed(
        self, images: Sequence[Picture] | NDArray[np.uint8], *, batch_size: int = 32
    ) -> NDArray[np.float32]:
        """Turn pictures into vectors.

        Args:
            images: N pictures: paths, PIL images, or RGB uint8 arrays (H, W, 3).
            batch_size: pictures a pass.

        Returns:
            (N, D) float32, unit rows.

        Raises:
            InputError: a picture cannot be read.
        """
        if isinstance(images, (str, Path, bytes)) or (
            isinstance(images, np.ndarray) and images.ndim == 3
        ):
            images = [images]  # type: ignore[list-item]
        if len(images) == 1:  # a query: threads to read ahead would only cost time
            return unit_rows(self.backend.features(self.prepare(images[0])[None]))
        parts = []
        for part in self.stream(images, batch_size=batch_size):
            for problem in part.problems.values():
                raise InputError(problem)
            parts.append(part.vectors)
        empty = np.zeros((0, self.dimension), dtype=np.float32)
        return np.concatenate([empty, *parts])

    def stream(self, images: Iterable[Picture], *, batch_size: int = 32) -> Iterator[Embedded]:
        """Embed a stream in order, batch by batch; unreadable pictures are named, not fatal.

        Decoding runs in threads, a few batches ahead of the network.

        Args:
            images: pictures, as for :meth:`embed`; may be endless.
            batch_size: pictures a pass.

        Yields:
            Finished batches, in the order of the stream.
        """
        if batch_size < 1:
            raise InputError(f"a batch of {batch_size} pictures cannot be; give 1 or more")
        source = iter(images)
        waiting: deque[list[Future[NDArray[np.uint8]]]] = deque()
        running: deque[_Running] = deque()
        position = 0
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="decode") as pool:
            while True:
                while len(waiting) <= BATCHES_AHEAD:
                    batch = [pool.submit(self.prepare, x) for x in islice(source, batch_size)]
                    if not batch:
                        break
                    waiting.append(batch)
                if waiting:
                    futures = waiting.popleft()
                    running.append(self._start(position, futures))
                    position += len(futures)
                if len(running) == BATCHES_RUNNING or not waiting:
                    if not running:
                        return
                    yield self._finish(running.popleft())

    def _start(self, position: int, futures: list[Future[NDArray[np.uint8]]]) -> "_Running":
        pictures, indices, problems = [], [], {}
        for index, future in enumerate(futures, start=position):
            try:
                pictures.append(future.result())
                indices.append(index)
            except InputError as error:
                problems[index] = str(error)
        pending = self.backend.submit(np.stack(pictures)) if pictures else None
        return _Running(pending=pending, indices=indices, problems=problems)

    def _finish(self, batch: "_Running") -> Embedded:
        vectors = np.zeros((0, self.dimension), dtype=np.float32)
        if batch.pending is not None:
            vectors = unit_rows(batch.pending.result())
        indices = np.asarray(batch.indices, dtype=np.int64)
        return Embedded(indices=indices, vectors=vectors, problems=batch.problems)


@dataclass(frozen=True, kw_only=True)
class _Running:
    """A batch that the network is at."""

    pending: Pending | None
    indices: list[int]
    problems: dict[int, str]
