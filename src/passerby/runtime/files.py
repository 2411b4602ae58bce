"""Network files: what they are, and the backends that can be made of them."""

import importlib.util
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from passerby.errors import InputError, MissingExtraError
from passerby.models import ModelCard
from passerby.models.identity import content_id, find_file
from passerby.runtime.backend import Backend
from passerby.runtime.foreign import find_card, require_card


class NetworkFile(Protocol):
    """A network file that was read."""

    path: Path
    card: ModelCard
    model_id: str
    runtimes: tuple[str, ...]
    """The installed runtimes that "auto" may take, the one with the reference arithmetic first."""
    device: str

    def backend(self, runtime: str, precision: str) -> Backend:
        """The network in a runtime.

        Args:
            runtime: "torch", "compiled", "onnx" or "openvino".
            precision: "fp32", "bf16" or "fp16".

        Raises:
            InputError: it cannot run there.
        """
        ...


def read_network(name_or_path: str | Path, device: str = "auto") -> NetworkFile:
    """Read a network file.

    Raises:
        InputError: no such file, none of a kind that is known, damaged, or without a card.
    """
    path = find_file(name_or_path)
    kinds = {".safetensors": WeightsFile, ".onnx": OnnxFile, ".xml": OpenVINOFile}
    if path.suffix not in kinds:
        raise InputError(
            f"'{path}' is no network file; give a Passerby .safetensors, an .onnx or an .xml"
        )
    kind: Any = kinds[path.suffix]
    file: NetworkFile = kind(path, device)
    return file


class WeightsFile:
    """A Passerby weights file; every runtime can have it."""

    def __init__(self, path: Path, device: str) -> None:
        from passerby.models import load

        self.path = path
        self.network, self.card = load(path)
        self.model_id = content_id(self.card, path)
        self._asked, self.device = device, _torch_device(device)
        self.runtimes: tuple[str, ...] = ("torch",)
        if self.device == "cpu":
            self.runtimes += tuple(
                runtime
                for runtime, packages in (("openvino", ["openvino"]), ("onnx", ONNX_PACKAGES))
                if all(importlib.util.find_spec(package) for package in packages)
            )

    def backend(self, runtime: str, precision: str) -> Backend:
        """See :class:`NetworkFile`."""
        from passerby.runtime.torch_backend import CompiledBackend, TorchBackend

        if runtime in ("torch", "compiled"):
            kind = TorchBackend if runtime == "torch" else CompiledBackend
            return kind(self.network, self.card, device=self.device, precision=precision)
        if runtime == "openvino":
            from passerby.runtime.openvino_backend import OpenVINOBackend

            _only_cpu(self._asked)
            name = f"'{self.path}'"
            return OpenVINOBackend(self._converted, self.card, name=name, precision=precision)
        return _with_onnx(self._exported, self.card, f"'{self.path}'", self.device, precision)

    @cached_property
    def _converted(self) -> Any:
        from passerby.runtime.openvino_models import convert_torch
        from passerby.runtime.torch_backend import Normalised

        try:
            return convert_torch(Normalised(self.network, self.card), self.card)
        except MissingExtraError:
            raise
        except Exception as error:  # its converter's exceptions share no base but Exception
            raise _inconvertible(self.path, "OpenVINO", error) from None

    @cached_property
    def _exported(self) -> bytes:
        from passerby.runtime.onnx_models import convert_to_onnx

        try:
            model = convert_to_onnx(self.network, self.card, self.model_id)
        except MissingExtraError:
            raise
        except Exception as error:  # as above
            raise _inconvertible(self.path, "ONNX", error) from None
        written: bytes = model.SerializeToString()
        return written


class OnnxFile:
    """An ONNX file, of `passerby export` or foreign with a card."""

    def __init__(self, path: Path, device: str) -> None:
        from passerby.runtime.onnx_backend import read_metadata

        inside, model_id = read_metadata(path)
        self.path, self.device = path, device
        self.card = find_card(path) or inside or require_card(path)
        self.model_id = model_id or content_id(self.card, path)
        self.runtimes: tuple[str, ...] = ("onnx",)
        if importlib.util.find_spec("openvino") and device in ("auto", "cpu"):
            self.runtimes += ("openvino",)

    def backend(self, runtime: str, precision: str) -> Backend:
        """See :class:`NetworkFile`."""
        if runtime in ("torch", "compiled"):
            raise InputError(
                f"PyTorch does not run '{self.path}'; choose the runtime onnx or openvino"
            )
        if runtime == "openvino":
            return _openvino_file(self.path, self.card, self.device, precision)
        return _with_onnx(self.path, self.card, f"'{self.path}'", self.device, precision)


class OpenVINOFile:
    """An OpenVINO network: .xml with its .bin beside it."""

    runtimes = ("openvino",)

    def __init__(self, path: Path, device: str) -> None:
        from passerby.runtime.openvino_models import read_notes, read_openvino

        inside, model_id = read_notes(read_openvino(path))
        self.path, self.device = path, device
        self.card = find_card(path) or inside or require_card(path)
        self.model_id = model_id or content_id(self.card, path, path.with_suffix(".bin"))

    def backend(self, runtime: str, precision: str) -> Backend:
        """See :class:`NetworkFile`."""
        if runtime != "openvino":
            raise InputError(f"'{self.path}' is an OpenVINO network; leave the runtime at auto")
        return _openvino_file(self.path, self.card, self.device, precision)


ONNX_PACKAGES = ("onnx", "onnxruntime")


def _openvino_file(path: Path, card: ModelCard, device: str, precision: str) -> Backend:
    from passerby.runtime.openvino_backend import OpenVINOBackend
    from passerby.runtime.openvino_models import read_openvino

    _only_cpu(device)
    return OpenVINOBackend(read_openvino(path), card, name=f"'{path}'", precision=precision)


def _with_onnx(
    source: Path | bytes, card: ModelCard, name: str, device: str, precision: str
) -> Backend:
    from passerby.runtime.onnx_backend import OnnxBackend

    if precision != "fp32":
        raise InputError(f"ONNX Runtime runs {name} as it is; leave the precision at auto")
    return OnnxBackend(source, card, name=name, device=device)


def _inconvertible(path: Path, runtime: str, error: Exception) -> InputError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return InputError(f"{runtime} cannot have the network '{path}' ({reason}); choose torch")


def _only_cpu(device: str) -> None:
    if device not in ("auto", "cpu"):
        raise InputError(f"the OpenVINO runtime runs on the CPU, not on '{device}'")


def _torch_device(device: str) -> str:
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"
