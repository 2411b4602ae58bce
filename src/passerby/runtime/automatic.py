"""From a name or a path to a network in a runtime: the one asked for, or this machine's best."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

from passerby.errors import InputError
from passerby.models import ModelCard
from passerby.runtime.backend import Backend, Features, Pending, Pictures
from passerby.runtime.choice import DIFFERS, LOWEST_COSINE, Candidate, Choice, choose
from passerby.runtime.files import NetworkFile, read_network
from passerby.runtime.remembered import recall, remember
from passerby.runtime.samples import cosines, smooth_pictures

RUNTIMES = ("auto", "torch", "compiled", "onnx", "openvino")
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "fastest")


def open_network(
    name_or_path: str | Path, device: str, runtime: str, precision: str
) -> tuple[Backend, ModelCard, str]:
    """Open a network file; see :meth:`passerby.runtime.Embedder.load`.

    Returns:
        The backend, the card and the model id.
    """
    if runtime not in RUNTIMES:
        raise InputError(f"there is no runtime '{runtime}'; choose from {', '.join(RUNTIMES)}")
    if precision not in PRECISIONS:
        raise InputError(
            f"there is no precision '{precision}'; choose from {', '.join(PRECISIONS)}"
        )
    precision = "fp32" if precision == "auto" else precision
    file = read_network(name_or_path, device)
    if runtime == "auto":
        return _automatic(file, precision), file.card, file.model_id
    if precision == "fastest":
        raise InputError(
            "the precision 'fastest' is chosen together with the runtime; leave that at auto"
        )
    backend = file.backend(runtime, precision)
    why = disagreement(file, backend)
    if why:
        raise InputError(f"{runtime} does not compute '{file.path}' rightly: {why}; choose torch")
    return backend, file.card, file.model_id


def candidates(file: NetworkFile, precision: str) -> list[Candidate]:
    """What "auto" may choose from.

    PyTorch's compiler is not among them: it takes up to a minute and gains a few per cent at best.
    """
    precisions = ("fp32", "bf16") if precision == "fastest" else (precision,)
    rows = []
    for runtime in sorted(file.runtimes, reverse=True):  # torch, openvino, onnx
        for one in precisions:
            if runtime != "onnx" or one == "fp32":
                rows.append(Candidate(runtime=runtime, precision=one))
    return rows


def disagreement(file: NetworkFile, backend: Backend) -> str | None:
    """Why a backend's vectors are not the network's, or None.

    The reference is PyTorch, run eagerly, for weights files, and ONNX Runtime for ONNX files; an
    OpenVINO file is its own.
    """
    reference = file.runtimes[0]
    if backend.runtime in (reference, "compiled"):
        return None
    tried = smooth_pictures(file.card, 2)
    expected = file.backend(reference, "fp32").features(tried)
    lowest = float(cosines(backend.features(tried), expected).min())
    if lowest >= LOWEST_COSINE.get(backend.precision, 0.0):
        return None
    return f"the lowest cosine to {reference} is {lowest:.4f}"


def _automatic(file: NetworkFile, precision: str) -> Backend:
    rows = candidates(file, precision)
    if len(rows) == 1:
        return _open(file, rows[0])
    kind = file.path.suffix
    choice = recall(file.model_id, kind, precision)
    routes = _routes(file, choice) if choice is not None else []
    if choice is not None and routes and not any(disagreement(file, one) for _, one in routes):
        _say_who_differs(file, choice)
        return _routed(routes)
    reference = file.backend(file.runtimes[0], "fp32")
    choice = choose(lambda one: _open(file, one), rows, reference, file.card)
    remember(choice, file.model_id, kind, precision)
    _say_who_differs(file, choice)
    if not choice.picks:
        reasons = "; ".join(f"{name}: {why}" for name, why in choice.left_out.items())
        raise InputError(f"no runtime can have '{file.path}' at precision {precision}: {reasons}")
    return _routed(_routes(file, choice))


def _open(file: NetworkFile, one: Candidate) -> Backend:
    return file.backend(one.runtime, one.precision)


def _say_who_differs(file: NetworkFile, choice: Choice) -> None:
    wrong = [
        f"{name} ({why})"
        for name, why in choice.left_out.items()
        if DIFFERS in why or name.startswith("openvino")
    ]
    if wrong:
        warnings.warn(
            f"'{file.path.name}' runs without {'; '.join(wrong)}", RuntimeWarning, stacklevel=5
        )


def _routes(file: NetworkFile, choice: Choice) -> list[tuple[int, Backend]]:
    """From how many pictures on which backend; the border between two batches is their ratio's."""
    routes: list[tuple[int, Backend]] = []
    before: tuple[int, Candidate] | None = None
    for batch, one in sorted(choice.picks.items()):
        if before is None:
            routes.append((1, _open(file, one)))
        elif one != before[1]:
            routes.append((math.ceil(math.sqrt(before[0] * batch)), _open(file, one)))
        before = batch, one
    return routes


def _routed(routes: list[tuple[int, Backend]]) -> Backend:
    return routes[0][1] if len(routes) == 1 else RoutedBackend(routes)


class RoutedBackend:
    """Backends that give one and the same vectors, each for the batches it is fastest at."""

    def __init__(self, routes: Sequence[tuple[int, Backend]]) -> None:
        """Take (from this many pictures on, backend), rising; the last serves all larger ones."""
        self._routes = routes
        self.runtime = "+".join(dict.fromkeys(backend.runtime for _, backend in routes))
        self.precision = routes[0][1].precision
        self.dimension = routes[0][1].dimension

    def features(self, pictures: Pictures) -> Features:
        """Run the network; see :class:`passerby.runtime.backend.Backend`."""
        return self._backend(len(pictures)).features(pictures)

    def submit(self, pictures: Pictures) -> Pending:
        """Begin a batch."""
        return self._backend(len(pictures)).submit(pictures)

    def describe(self) -> str:
        """Each backend with the batches it is for."""
        return "; ".join(
            f"{backend.describe()} from batches of {first}" for first, backend in self._routes
        )

    def _backend(self, count: int) -> Backend:
        chosen = self._routes[0][1]
        for first, backend in self._routes:
            if count >= first:
                chosen = backend
        return chosen
