"""The OpenVINO runtime: inference on CPUs, in several requests at once."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from queue import SimpleQueue
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from passerby.errors import InputError
from passerby.models import ModelCard
from passerby.runtime.backend import Backend, Features, Pending, Pictures
from passerby.runtime.comparison import SAME, smooth_pictures, unit_rows
from passerby.runtime.openvino_models import (
    compile_network,
    fixed_batch,
    import_openvino,
    is_quantised,
    refuse_negative_attention,
    with_preprocessing,
)

PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
SIZES = {16: 0.005, 4: 0.05}
"""Pictures in a request -> most seconds a picture may take on one stream. Larger requests save time
only while the feature maps fit into the processor's cache, so slow networks get small ones."""

TRIES = 3  # a single measured time is sometimes twice as long


class OpenVINOBackend(Backend):
    """A network compiled by OpenVINO, with colour order and normalisation in its graph.

    A batch is split into requests of 1, 4 or 16 pictures, which run on as many streams as OpenVINO
    recommends (on two cores: two, with one thread each). The largest request size of which every
    stream gets one is used: on small networks larger requests are 1.5 times as fast. A single
    picture goes to a program that uses all threads. Programs of other sizes round differently. A
    program whose vectors differ from those of single requests by more than 5e-7 is not used, so a
    vector does not depend on its batch.
    """

    runtime = "openvino"

    def __init__(self, model: Any, card: ModelCard, *, name: str, precision: str = "fp32") -> None:
        """Compile ``model`` for the CPU.

        Args:
            model: An OpenVINO model with one picture input: (B, 3, H, W) float, or (B, H, W, 3)
                uint8 RGB if it normalises by itself.
            card: Input size and normalisation.
            name: The network's name in messages.
            precision: "fp32", "bf16" or "fp16"; of a quantised network, the arithmetic of the
                layers in floating point.

        Raises:
            InputError: The input or output is not that of an embedding network, or OpenVINO is
                known to compute the network wrongly.
        """
        refuse_negative_attention(model, name)
        self.precision = "int8" if is_quantised(model) else precision
        self._network = (model, card, name, PRECISIONS[precision])
        self._single = _Requests(*self._network, pictures=1, hint="THROUGHPUT")
        self._test = smooth_pictures(card, 4)
        self._expected = self._run(self._single, self._test)
        self.dimension = int(self._expected.shape[1])
        self._lock = Lock()
        self._sized: dict[int, _Requests | None] = {1: self._single}

    def features(self, pictures: Pictures) -> Features:
        """See :meth:`passerby.runtime.backend.Backend.features`."""
        if len(pictures) == 1 and self._latency is not None:
            return self._latency.run(pictures)
        return self.submit(pictures).result()

    def submit(self, pictures: Pictures) -> Pending:
        """Start a batch; the requests of several batches run at the same time."""
        if len(pictures) == 1 and self._latency is not None:
            return self._latency.start(pictures)
        parts, first = [], 0
        while first < len(pictures):
            requests = self._requests_for(len(pictures) - first)
            for _ in range((len(pictures) - first) // requests.size):
                parts.append(requests.start(pictures[first : first + requests.size]))
                first += requests.size
        return _Parts(parts, self.dimension)

    def _requests_for(self, count: int) -> "_Requests":
        """Return the largest requests that still give every stream one of ``count`` pictures."""
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
        return self._if_same(pictures=size, hint="THROUGHPUT")

    def _seconds(self) -> float:
        """Measure the time of one picture on one stream."""
        wall, used = time.perf_counter(), time.process_time()
        self._run(self._single, self._test[:1])
        # other programs lengthen the first, other threads of this process the second
        return min(time.perf_counter() - wall, time.process_time() - used)

    @cached_property
    def _latency(self) -> "_Requests | None":
        """The program for one picture on all threads."""
        if self._single.streams == 1:  # which then uses all threads
            return self._single
        return self._if_same(pictures=1, hint="LATENCY")

    def _if_same(self, *, pictures: int, hint: str) -> "_Requests | None":
        """Compile another program of the network; return it if it gives the same vectors."""
        try:
            other = _Requests(*self._network, pictures=pictures, hint=hint)
            test = np.resize(self._test, (max(pictures, 4), *self._test.shape[1:]))
            got = self._run(other, test)
        except (InputError, RuntimeError):  # a network for batches of one
            return None
        expected = np.resize(self._expected, (len(got), self.dimension))
        return other if np.abs(unit_rows(got) - unit_rows(expected)).max() <= SAME else None

    @staticmethod
    def _run(requests: "_Requests", pictures: Pictures) -> Features:
        size = requests.size
        parts = [pictures[first : first + size] for first in range(0, len(pictures), size)]
        return np.concatenate([requests.start(part).result() for part in parts])


class _Parts(NamedTuple):
    """The requests of one batch, in order."""

    parts: list[Future[Features]]
    dimension: int

    def result(self) -> Features:
        """Wait for the features of all."""
        empty = np.zeros((0, self.dimension), np.float32)
        return np.concatenate([empty, *(part.result() for part in self.parts)])


class _Requests:
    """A network compiled for a fixed batch, with as many requests as run at once."""

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
        """Start a request; ``pictures`` must fill it."""
        return self._pool.submit(self.run, pictures)

    def run(self, pictures: Pictures) -> Features:
        """Run a request; ``pictures`` must fill it."""
        request = self._idle.get()
        try:
            request.start_async(pictures, share_inputs=True)
            request.wait()
            result = np.array(request.get_output_tensor(0).data, dtype=np.float32)
        finally:
            self._idle.put(request)
        return result.reshape(len(pictures), -1)
