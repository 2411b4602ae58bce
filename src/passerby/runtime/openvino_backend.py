"""OpenVINO: IR files (.xml + .bin) and ONNX files on plain CPUs."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from queue import SimpleQueue
from threading import Lock
from typing import Any

import numpy as np

from passerby.errors import InputError
from passerby.models import ModelCard
from passerby.runtime.backend import Features, Pending, Pictures
from passerby.runtime.openvino_models import (
    compile_network,
    fixed_batch,
    import_openvino,
    is_quantised,
    refuse_negative_attention,
    with_preprocessing,
)
from passerby.runtime.samples import SAME, smooth_pictures, unit_rows

PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
SIZES = {16: 0.005, 4: 0.05}
"""Pictures a request, beside one, for networks that take at most so many seconds a picture on one
stream: what larger requests save, they lose again once maps no longer fit the processor's cache."""

TRIES = 3  # a single time is now and then twice as long


class OpenVINOBackend:
    """A network compiled by OpenVINO, with colour order and normalisation in its graph.

    A batch is cut into requests, which run on as many streams as OpenVINO finds right (on two
    cores: two, of one thread each). A request holds 1, 4 or 16 pictures, such that every stream
    gets its share: on small networks larger requests are half as fast again. A lone picture goes to
    a program on all threads together. The programs of other sizes round differently; one whose
    vectors differ from those of single requests by more than 5e-7 is not used, so that a vector
    does not depend on its batch.
    """

    runtime = "openvino"

    def __init__(self, model: Any, card: ModelCard, *, name: str, precision: str = "fp32") -> None:
        """Compile ``model`` for the CPU.

        Args:
            model: an OpenVINO model with one picture input, (B, 3, H, W) float or, when it does
                its own normalisation, (B, H, W, 3) uint8 RGB.
            card: how the network wants its pictures.
            name: what to call it in messages.
            precision: arithmetic: "fp32", "bf16" or "fp16"; of a quantised network, that of the
                layers that are not.

        Raises:
            InputError: the network's input or output is not that of an embedding network, or
                OpenVINO is known to compute it wrongly.
        """
        refuse_negative_attention(model, name)
        self.precision = "int8" if is_quantised(model) else precision
        self._parts = (model, card, name, PRECISIONS[precision])
        self._single = _Requests(*self._parts, pictures=1, hint="THROUGHPUT")
        self._tried = smooth_pictures(card, 4)
        self._expected = self._run(self._single, self._tried)
        self.dimension = int(self._expected.shape[1])
        self._lock = Lock()
        self._sized: dict[int, _Requests | None] = {1: self._single}

    def features(self, pictures: Pictures) -> Features:
        """Run the network; see :class:`passerby.runtime.backend.Backend`."""
        if len(pictures) == 1 and self._alone is not None:
            return self._alone.run(pictures)
        return self.submit(pictures).result()

    def submit(self, pictures: Pictures) -> Pending:
        """Begin a batch; the requests of several batches run side by side."""
        if len(pictures) == 1 and self._alone is not None:
            return self._alone.start(pictures)
        parts, first = [], 0
        while first < len(pictures):
            requests = self._share(len(pictures) - first)
            for _ in range((len(pictures) - first) // requests.size):
                parts.append(requests.start(pictures[first : first + requests.size]))
                first += requests.size
        return _Joined(parts, self.dimension)

    def describe(self) -> str:
        """Runtime and arithmetic."""
        return f"{self.runtime} {self.precision}"

    def _share(self, count: int) -> "_Requests":
        """The largest requests of which there are enough for all streams."""
        for size in SIZES:
            if size * self._single.streams <= count:
                with self._lock:
                    if size not in self._sized:
                        self._sized[size] = self._of_size(size)
                if (requests := self._sized[size]) is not None:
                    return requests
        return self._single

    def _of_size(self, size: int) -> "_Requests | None":
        if all(self._seconds() > SIZES[size] for _ in range(TRIES)):
            return None
        return self._same(pictures=size, hint="THROUGHPUT")

    def _seconds(self) -> float:
        """A picture's time on one stream."""
        wall, used = time.perf_counter(), time.process_time()
        self._run(self._single, self._tried[:1])
        # the lesser, for neither other programs count nor other threads of this one
        return min(time.perf_counter() - wall, time.process_time() - used)

    @cached_property
    def _alone(self) -> "_Requests | None":
        """The program for one picture on all threads; where there is one stream, that has them."""
        if self._single.streams == 1:
            return self._single
        return self._same(pictures=1, hint="LATENCY")

    def _same(self, *, pictures: int, hint: str) -> "_Requests | None":
        """Another program of the network, if it gives the same vectors."""
        try:
            other = _Requests(*self._parts, pictures=pictures, hint=hint)
            got = self._run(
                other, np.resize(self._tried, (max(pictures, 4), *self._tried.shape[1:]))
            )
        except (InputError, RuntimeError):  # a network for batches of one
            return None
        expected = np.resize(self._expected, (len(got), self.dimension))
        return other if np.abs(unit_rows(got) - unit_rows(expected)).max() <= SAME else None

    @staticmethod
    def _run(requests: "_Requests", pictures: Pictures) -> Features:
        size = requests.size
        parts = [pictures[first : first + size] for first in range(0, len(pictures), size)]
        return np.concatenate([requests.start(part).result() for part in parts])


class _Requests:
    """A compiled network of a fixed batch, and as many requests as run at once."""

    def __init__(
        self,
        model: Any,
        card: ModelCard,
        name: str,
        precision: str,
        *,
        pictures: int,
        hint: str,
    ) -> None:
        openvino = import_openvino()
        options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": hint}
        try:
            fixed = fixed_batch(model, card, name, pictures)
            if fixed.input().get_element_type() != openvino.Type.u8:
                fixed = with_preprocessing(fixed, card)
            compiled = compile_network(fixed, options)
            self.streams = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
            self._idle: SimpleQueue[Any] = SimpleQueue()
            for _ in range(self.streams):
                self._idle.put(compiled.create_infer_request())
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"OpenVINO cannot run the network {name}: {reason}") from None
        self.size = pictures
        self._pool = ThreadPoolExecutor(self.streams, thread_name_prefix="openvino")

    def start(self, pictures: Pictures) -> Future[Features]:
        """Begin as many pictures as a request holds."""
        return self._pool.submit(self.run, pictures)

    def run(self, pictures: Pictures) -> Features:
        """Run as many pictures as a request holds."""
        request = self._idle.get()
        try:
            request.start_async(pictures, share_inputs=True)
            request.wait()
            result = np.array(request.get_output_tensor(0).data, dtype=np.float32)
        finally:
            self._idle.put(request)
        return result.reshape(len(pictures), -1)


class _Joined:
    """The features of a batch from those of its requests."""

    def __init__(self, parts: Sequence[Future[Features]], dimension: int) -> None:
        self._parts, self._dimension = parts, dimension

    def result(self) -> Features:
        rows = [part.result() for part in self._parts]
        return np.concatenate([np.zeros((0, self._dimension), np.float32), *rows])
