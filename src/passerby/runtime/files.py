"""From a name or a path to a network in a runtime."""

import importlib.util
from pathlib import Path

from passerby.errors import InputError
from passerby.models import ModelCard
from passerby.models.identity import content_id, find_file
from passerby.runtime.backend import Backend
from passerby.runtime.foreign import find_card, require_card

RUNTIMES = ("auto", "torch", "onnx", "openvino")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


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
        raise InputError(f"there is no precision '{precision}'; choose from {PRECISIONS}")
    precision = "fp32" if precision == "auto" else precision
    path = find_file(name_or_path)
    openers = {".safetensors": _open_weights, ".onnx": _open_onnx, ".xml": _open_ir}
    if path.suffix not in openers:
        raise InputError(
            f"'{path}' is no network file; give a Passerby .safetensors, an .onnx or an .xml"
        )
    return openers[path.suffix](path, device, runtime, precision)


def _open_weights(
    path: Path, device: str, runtime: str, precision: str
) -> tuple[Backend, ModelCard, str]:
    from passerby.models import load
    from passerby.runtime.torch_backend import TorchBackend

    network, card = load(path)
    model_id = content_id(card, path)
    target = _torch_device(device)
    if runtime == "auto":
        # on a CPU OpenVINO is two to three times as fast as eager PyTorch, and as exact
        runtime = "openvino" if target == "cpu" and _has_openvino() else "torch"
    if runtime == "torch":
        return TorchBackend(network, card, device=target, precision=precision), card, model_id
    if runtime == "openvino":
        from passerby.runtime.openvino_backend import OpenVINOBackend, convert_torch

        _only_cpu(device)
        model = convert_torch(network, card)
        return OpenVINOBackend(model, card, name=f"'{path}'", precision=precision), card, model_id
    raise InputError(f"export '{path}' to ONNX first (passerby export), then give the .onnx file")


def _open_onnx(
    path: Path, device: str, runtime: str, precision: str
) -> tuple[Backend, ModelCard, str]:
    if runtime == "torch":
        raise InputError(f"PyTorch does not run '{path}'; choose the runtime onnx or openvino")
    from passerby.runtime.onnx_backend import OnnxBackend, read_metadata

    inside, model_id = read_metadata(path)
    card = find_card(path) or inside or require_card(path)
    model_id = model_id or content_id(card, path)
    if runtime == "openvino":
        return _with_openvino(path, card, device, precision), card, model_id
    if precision != "fp32":
        raise InputError(f"ONNX Runtime runs '{path}' as it is; leave the precision at auto")
    return OnnxBackend(path, card, device=device), card, model_id


def _open_ir(
    path: Path, device: str, runtime: str, precision: str
) -> tuple[Backend, ModelCard, str]:
    if runtime not in ("auto", "openvino"):
        raise InputError(f"'{path}' is an OpenVINO network; leave the runtime at auto")
    card = require_card(path)
    backend = _with_openvino(path, card, device, precision)
    return backend, card, content_id(card, path, path.with_suffix(".bin"))


def _with_openvino(path: Path, card: ModelCard, device: str, precision: str) -> Backend:
    from passerby.runtime.openvino_backend import OpenVINOBackend, read_openvino

    _only_cpu(device)
    return OpenVINOBackend(read_openvino(path), card, name=f"'{path}'", precision=precision)


def _only_cpu(device: str) -> None:
    if device not in ("auto", "cpu"):
        raise InputError(f"the OpenVINO runtime runs on the CPU, not on '{device}'")


def _has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None


def _torch_device(device: str) -> str:
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"
