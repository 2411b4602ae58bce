"""Opening a network file: what kind it is, which runtimes can run it, and which one is used.

The order of the runtimes is fixed: OpenVINO, then ONNX Runtime, then PyTorch; on a GPU, PyTorch. A
runtime is used only if its vectors agree with those of the reference runtime of the file.
"""

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from passerby.errors import InputError, MissingExtraError
from passerby.models import ModelCard, load
from passerby.models.identity import content_id, find_file
from passerby.runtime.backend import Backend
from passerby.runtime.comparison import cosines, smooth_pictures
from passerby.runtime.sidecars import find_card, require_card

RUNTIMES = ("auto", "torch", "onnx", "openvino")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
ORDER = {
    ".safetensors": ("openvino", "onnx", "torch"),
    ".onnx": ("openvino", "onnx"),
    ".xml": ("openvino",),
}
"""Kind of file -> runtimes that can run it, in the order of "auto"; the last is the reference."""
PACKAGES = {"openvino": ("openvino",), "onnx": ("onnx", "onnxruntime")}
LOWEST_COSINE = {"fp32": 0.9999, "bf16": 0.999, "fp16": 0.999}
"""Least cosine to the reference's vectors, by arithmetic. int8 files are compared when written."""


class NetworkFile:
    """A network file that was read, and the backends that can be made of it.

    Attributes:
        path: The file.
        card: From the file, or from beside a foreign file.
        model_id: Architecture and content hash.
        reference: The runtime whose vectors are right by definition.
        runtimes: The installed runtimes that "auto" tries, in this order; the reference is last.
    """

    def __init__(self, path: Path, device: str) -> None:
        """Read a file; use :func:`read_network`."""
        self.path, self._asked, self._device = path, device, device
        *others, self.reference = ORDER[path.suffix]
        if path.suffix == ".safetensors":
            self._network, self.card = load(path)
            self.model_id = content_id(self.card, path)
            if device == "auto":
                self._device = "cuda" if torch.cuda.is_available() else "cpu"
        else:
            inside, model_id = _read_metadata(path)
            self.card = find_card(path) or inside or require_card(path)
            files = (path, path.with_suffix(".bin")) if path.suffix == ".xml" else (path,)
            self.model_id = model_id or content_id(self.card, *files)
        on_cpu = self._device in ("auto", "cpu")
        self.runtimes = (*(_installed(*others) if on_cpu else ()), self.reference)

    def backend(self, runtime: str, precision: str) -> Backend:
        """Open the network in a runtime.

        Args:
            runtime: "torch", "onnx" or "openvino".
            precision: "fp32", "bf16" or "fp16".

        Raises:
            InputError: The runtime cannot run this network, device or precision.
        """
        able, name = ORDER[self.path.suffix], f"'{self.path}'"
        if runtime not in able:
            raise InputError(f"the runtime {runtime} cannot run {name}; choose {' or '.join(able)}")
        if runtime == "openvino":
            from passerby.runtime.openvino_backend import OpenVINOBackend

            if self._asked not in ("auto", "cpu"):
                raise InputError(f"the OpenVINO runtime runs on the CPU, not on '{self._asked}'")
            return OpenVINOBackend(self._openvino, self.card, name=name, precision=precision)
        if runtime == "onnx":
            from passerby.runtime.onnx_backend import OnnxBackend

            if precision != "fp32":
                raise InputError(f"ONNX Runtime runs {name} as it is; leave the precision at auto")
            return OnnxBackend(self._onnx, self.card, name=name, device=self._device)
        from passerby.runtime.torch_backend import TorchBackend

        return TorchBackend(self._network, self.card, device=self._device, precision=precision)

    @cached_property
    def _openvino(self) -> Any:
        """The network as an OpenVINO model."""
        from passerby.runtime.openvino_models import convert_torch, read_openvino
        from passerby.runtime.torch_backend import Normalised

        if self.path.suffix != ".safetensors":
            return read_openvino(self.path)
        with self._conversion("OpenVINO"):
            return convert_torch(Normalised(self._network, self.card), self.card)

    @cached_property
    def _onnx(self) -> Path | bytes:
        """The network as an ONNX file, or as the content of one."""
        from passerby.runtime.onnx_backend import convert_to_onnx

        if self.path.suffix == ".onnx":
            return self.path
        with self._conversion("ONNX"):
            return convert_to_onnx(self._network, self.card, self.model_id)

    @contextmanager
    def _conversion(self, runtime: str) -> Iterator[None]:
        """Turn errors of a converter into an InputError."""
        try:
            yield
        except MissingExtraError:
            raise
        except Exception as error:  # the converters' exceptions share no base but Exception
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"{runtime} cannot convert the network '{self.path}' ({reason}); choose torch"
            ) from None


def _read_metadata(path: Path) -> tuple[ModelCard | None, str | None]:
    """Return the card and the model id inside an .onnx or .xml file, as far as it has them."""
    if path.suffix == ".onnx":
        from passerby.runtime import onnx_backend

        return onnx_backend.read_metadata(path)
    from passerby.runtime import openvino_models

    return openvino_models.read_metadata(openvino_models.read_openvino(path))


def _installed(*runtimes: str) -> tuple[str, ...]:
    """Return those of the runtimes whose packages are installed."""
    return tuple(name for name in runtimes if all(map(importlib.util.find_spec, PACKAGES[name])))


def open_network(
    name_or_path: str | Path, device: str, runtime: str, precision: str
) -> tuple[NetworkFile, Backend, dict[str, str]]:
    """Open a network; the arguments are those of :meth:`passerby.runtime.Embedder.load`.

    Returns:
        The file, the backend, and for each runtime that comes earlier in the order and was not
        used the reason why.
    """
    for what, given, known in (
        ("runtime", runtime, RUNTIMES),
        ("precision", precision, PRECISIONS),
    ):
        if given not in known:
            raise InputError(f"there is no {what} '{given}'; choose from {', '.join(known)}")
    precision = "fp32" if precision == "auto" else precision
    file = read_network(name_or_path, device)
    if runtime == "auto":
        return file, *_first_that_agrees(file, precision)
    backend = file.backend(runtime, precision)
    if why := disagreement(file, backend):
        raise InputError(
            f"{runtime} computes other vectors for '{file.path}': {why}; choose {file.reference}"
        )
    return file, backend, {}


def _first_that_agrees(file: NetworkFile, precision: str) -> tuple[Backend, dict[str, str]]:
    """Open the first runtime of the order that agrees with the reference; warn about others."""
    rejected: dict[str, str] = {}
    # ONNX Runtime has fp32 only; where it is the one runtime, its own error says so
    able = [name for name in file.runtimes if precision == "fp32" or name != "onnx"]
    for runtime in able or file.runtimes:
        try:
            backend = file.backend(runtime, precision)
            why = disagreement(file, backend)
        except InputError as error:
            why = str(error)
        if why is None:
            if rejected:
                reasons = "; ".join(f"{name} is not used: {why}" for name, why in rejected.items())
                warnings.warn(
                    f"'{file.path.name}' runs in {backend.describe()}; {reasons}",
                    RuntimeWarning,
                    stacklevel=4,
                )
            return backend, rejected
        rejected[runtime] = why
    raise InputError("; ".join(rejected.values()))


def disagreement(file: NetworkFile, backend: Backend) -> str | None:
    """Compare a backend's vectors with the reference's on two pictures.

    Returns:
        None if they agree, else a sentence with the lowest cosine.
    """
    if backend.runtime == file.reference:
        return None
    pictures = smooth_pictures(file.card, 2)
    expected = file.backend(file.reference, "fp32").features(pictures)
    lowest = float(cosines(backend.features(pictures), expected).min())
    if lowest >= LOWEST_COSINE.get(backend.precision, 0.0):
        return None
    return f"its vectors differ, the lowest cosine to {file.reference} is {lowest:.4f}"


def read_network(name_or_path: str | Path, device: str = "auto") -> NetworkFile:
    """Read a network file.

    Raises:
        InputError: No such file, an unknown kind, a damaged file, or no model card.
    """
    path = find_file(name_or_path)
    if path.suffix not in ORDER:
        raise InputError(
            f"'{path}' is no network file; give a Passerby .safetensors, an .onnx or an .xml"
        )
    return NetworkFile(path, device)
