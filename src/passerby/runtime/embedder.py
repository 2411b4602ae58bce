"""The embedder: pictures of people in, unit vectors out, in any installed runtime."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.models import ModelCard
from passerby.runtime.backend import Backend
from passerby.runtime.comparison import unit_rows
from passerby.runtime.files import open_network
from passerby.runtime.pictures import Picture, read_image, resize
from passerby.runtime.sidecars import with_calibration

WORKERS = 2  # decoding threads; Pillow releases the interpreter's lock
BATCHES_AHEAD = 3
BATCHES_RUNNING = 2  # two, so that no stream of the runtime is idle at the end of a batch


@dataclass(frozen=True, kw_only=True)
class EmbeddedBatch:
    """One finished batch of a stream of pictures."""

    indices: NDArray[np.int64]
    """(B,) positions in the stream."""
    vectors: NDArray[np.float32]
    """(B, D) unit rows."""
    problems: dict[int, str]
    """Position -> reason why that picture could not be read."""


class Embedder:
    """A network with its model card, opened in a runtime.

    The same picture gives the same vector as a path, a PIL image or an array. Batch size and order
    change no value by more than 1e-6, except for PyTorch in bf16 and fp16, which rounds differently
    for other batch sizes.
    """

    def __init__(
        self,
        backend: Backend,
        card: ModelCard,
        model_id: str,
        rejected: Mapping[str, str] | None = None,
    ) -> None:
        """Use :meth:`load`; this takes what ``load`` opens.

        Args:
            backend: The network in its runtime.
            card: The network's.
            model_id: Architecture and content hash.
            rejected: Runtime -> reason why it is not used although it comes first in the order.
        """
        self.backend = backend
        self.card = card
        self.model_id = model_id
        self.rejected = dict(rejected or {})
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
            name_or_path: "default" (the bundled network), the name of a pulled network of the model
                zoo, a Passerby weights file (.safetensors), an ONNX file, or an OpenVINO .xml with
                its .bin beside it.
            device: "auto", "cpu", "cuda", "cuda:1" ...; auto uses a GPU if PyTorch has one.
            runtime: "auto", "torch", "onnx" or "openvino". On a CPU, auto takes the first that is
                installed and agrees with the reference: OpenVINO, ONNX Runtime, PyTorch. On a GPU
                it takes PyTorch.
            precision: "auto" (fp32), "fp32", "bf16" or "fp16". A quantised network stays int8.

        Raises:
            InputError: No such file, no embedding network, or an option this network cannot have.

        Warns:
            RuntimeWarning: A runtime that comes first in the order computes other vectors, or
                cannot run the network; the next one is used.
        """
        file, backend, rejected = open_network(name_or_path, device, runtime, precision)
        card = with_calibration(file.path, file.card, file.model_id)
        return cls(backend, card, file.model_id, rejected)

    def __repr__(self) -> str:
        """Return the model id, the runtime with those rejected before it, and D."""
        rejected = "".join(f" ({name} rejected: {why})" for name, why in self.rejected.items())
        runs = self.backend.describe() + rejected
        return f"Embedder({self.model_id}, {runs}, {self.dimension}-d)"

    def prepare(self, picture: Picture) -> NDArray[np.uint8]:
        """Read a picture at the network's input size, (H, W, 3) uint8 RGB."""
        return resize(read_image(picture), self.card.input_size, self.card.interpolation)

    def embed(
        self, images: Sequence[Picture] | NDArray[np.uint8], *, batch_size: int = 32
    ) -> NDArray[np.float32]:
        """Turn pictures into vectors.

        Args:
            images: N pictures: paths, PIL images, or RGB uint8 arrays (H, W, 3).
            batch_size: Pictures in one pass of the network.

        Returns:
            (N, D) float32, unit rows.

        Raises:
            InputError: A picture cannot be read.

        Example:
            >>> import numpy as np
            >>> embedder = Embedder.load("default", runtime="torch")
            >>> vectors = embedder.embed([np.zeros((160, 60, 3), np.uint8)])  # RGB, any size
            >>> vectors.shape == (1, embedder.dimension)
            True
        """
        if isinstance(images, (str, Path, bytes)) or (
            isinstance(images, np.ndarray) and images.ndim == 3
        ):
            images = [images]
        if len(images) == 1:  # a query: threads to read ahead would only cost time
            return unit_rows(self.backend.features(self.prepare(images[0])[None]))
        parts = [self._no_vectors()]
        for batch in self.stream(images, batch_size=batch_size):
            for problem in batch.problems.values():
                raise InputError(problem)
            parts.append(batch.vectors)
        return np.concatenate(parts)

    def stream(self, images: Iterable[Picture], *, batch_size: int = 32) -> Iterator[EmbeddedBatch]:
        """Embed a stream in order, batch by batch; unreadable pictures are reported, not fatal.

        Threads decode a few batches ahead of the network.

        Args:
            images: Pictures as for :meth:`embed`; may be endless.
            batch_size: Pictures in one pass of the network.

        Yields:
            Finished batches, in the order of the stream.
        """
        if batch_size < 1:
            raise InputError(f"a batch of {batch_size} pictures cannot be; give 1 or more")
        source = iter(images)
        decoding: deque[list[Future[NDArray[np.uint8]]]] = deque()
        running: deque[Callable[[], EmbeddedBatch]] = deque()
        position = 0
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="decode") as pool:
            while True:
                while len(decoding) <= BATCHES_AHEAD:
                    batch = [pool.submit(self.prepare, x) for x in islice(source, batch_size)]
                    if not batch:
                        break
                    decoding.append(batch)
                if decoding:
                    futures = decoding.popleft()
                    running.append(self._start(position, futures))
                    position += len(futures)
                if len(running) == BATCHES_RUNNING or not decoding:
                    if not running:
                        return
                    finish = running.popleft()
                    yield finish()

    def _start(
        self, position: int, futures: list[Future[NDArray[np.uint8]]]
    ) -> Callable[[], EmbeddedBatch]:
        """Wait for a batch's pictures and hand them to the runtime.

        Returns:
            A function that waits for the vectors.
        """
        pictures, indices, problems = [], [], {}
        for index, future in enumerate(futures, start=position):
            try:
                pictures.append(future.result())
                indices.append(index)
            except InputError as error:
                problems[index] = str(error)
        pending = self.backend.submit(np.stack(pictures)) if pictures else None

        def finish() -> EmbeddedBatch:
            vectors = unit_rows(pending.result()) if pending else self._no_vectors()
            return EmbeddedBatch(
                indices=np.array(indices, dtype=np.int64), vectors=vectors, problems=problems
            )

        return finish

    def _no_vectors(self) -> NDArray[np.float32]:
        return np.zeros((0, self.dimension), dtype=np.float32)
