"""OpenVINO: IR files (.xml + .bin) and ONNX files on plain CPUs."""

import sys
import warnings
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError, MissingExtraError
from passerby.models import ModelCard

PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, or say which extra brings it.

    Converting a network would report to its makers' statistics over the internet. A city's machine
    sends nothing out, so the package that does so is made to look absent; OpenVINO then works with
    a stand-in of its own.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError:
        raise MissingExtraError("openvino", "openvino") from None
    return openvino


def read_openvino(path: Path) -> Any:
    """Read a network file; the .bin of an IR must lie beside its .xml.

    Raises:
        InputError: a file is missing, or it is not a network.
    """
    openvino = import_openvino()
    if not path.is_file():
        raise InputError(f"there is no network file '{path}'")
    if path.suffix == ".xml" and not path.with_suffix(".bin").is_file():
        raise InputError(f"'{path}' needs its weights '{path.with_suffix('.bin').name}' beside it")
    try:
        return openvino.Core().read_model(path)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"OpenVINO cannot read the network '{path}': {reason}") from None


def convert_torch(network: Any, card: ModelCard) -> Any:
    """Turn a PyTorch network and its card into an OpenVINO model, preprocessing inside."""
    import torch

    from passerby.runtime.torch_backend import Normalised

    openvino = import_openvino()
    height, width = card.input_size
    example = torch.zeros((1, height, width, 3), dtype=torch.uint8)
    with torch.inference_mode(), warnings.catch_warnings():
        # PyTorch would rather export; that takes three times as long, and OpenVINO reads both
        warnings.simplefilter("ignore", FutureWarning)
        traced = torch.jit.trace(Normalised(network, card).eval(), example, check_trace=False)
        return openvino.convert_model(traced, input=[1, height, width, 3])


class OpenVINOBackend:
    """A network compiled by OpenVINO, with colour order and normalisation in its graph.

    Each picture is a request of its own, on as many one-thread streams as there are cores: as
    fast as batches, and a vector cannot depend on its batch (batched kernels of other shapes
    round differently, by up to 2e-6).
    """

    runtime = "openvino"

    def __init__(self, model: Any, card: ModelCard, *, name: str, precision: str = "fp32") -> None:
        """Compile ``model`` for the CPU.

        Args:
            model: an OpenVINO model with one picture input, (B, 3, H, W) float or, when it does
                its own normalisation, (B, H, W, 3) uint8 RGB.
            card: how the network wants its pictures.
            name: what to call it in messages.
            precision: arithmetic: "fp32", "bf16" or "fp16".

        Raises:
            InputError: the network's input or output is not that of an embedding network.
        """
        openvino = import_openvino()
        options = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "PERFORMANCE_HINT": "THROUGHPUT",
        }
        try:
            _one_picture(model, card, name)
            if model.input().get_element_type() != openvino.Type.u8:
                model = _with_preprocessing(openvino, model, card)
            compiled = openvino.Core().compile_model(model, "CPU", options)
            self._queue = openvino.AsyncInferQueue(compiled)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"OpenVINO cannot run the network {name}: {reason}") from None
        self._queue.set_callback(_keep_feature)
        self._lock = Lock()  # the queue serves one batch at a time
        probe = np.zeros((1, *card.input_size, 3), dtype=np.uint8)
        self.dimension = int(self.features(probe).shape[1])

    def features(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network; see :class:`passerby.runtime.backend.Backend`."""
        rows: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(pictures)
        with self._lock:
            for index in range(len(pictures)):
                self._queue.start_async(pictures[index : index + 1], (rows, index))
            self._queue.wait_all()
        return np.stack(rows)


def _keep_feature(request: Any, place: tuple[list[NDArray[np.float32]], int]) -> None:
    rows, index = place
    rows[index] = np.array(request.get_output_tensor(0).data, dtype=np.float32).reshape(-1)


def _one_picture(model: Any, card: ModelCard, name: str) -> None:
    """Fix the batch at one picture; refuse networks that are not picture -> vector."""
    height, width = card.input_size
    if len(model.inputs) != 1:
        raise InputError(f"{name} has {len(model.inputs)} inputs; an embedding network has one")
    shape = model.input().get_partial_shape()
    sides = list(shape) if shape.rank.is_static and len(shape) == 4 else []
    for wanted in ([1, 3, height, width], [1, height, width, 3]):
        if sides and all(
            side.is_dynamic or side.get_length() == want
            for side, want in zip(sides[1:], wanted[1:], strict=True)
        ):
            model.reshape({model.input(): wanted})
            return
    raise InputError(
        f"{name} takes an input of shape {shape}, its card says 3 x {height} x {width}; "
        "is it a person re-identification network?"
    )


def _with_preprocessing(openvino: Any, model: Any, card: ModelCard) -> Any:
    """Put layout, colour order, scale, mean and std before a float network."""
    from openvino.preprocess import ColorFormat, PrePostProcessor

    steps = PrePostProcessor(model)
    entry = steps.input()
    entry.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    entry.tensor().set_color_format(ColorFormat.RGB)
    entry.model().set_layout(openvino.Layout("NCHW"))
    entry.preprocess().convert_element_type(openvino.Type.f32)
    if card.colour_order == "BGR":
        entry.preprocess().convert_color(ColorFormat.BGR)
    scale = 255.0 / card.value_range  # pixel -> the card's range
    mean, std = np.asarray(card.mean) * scale, np.asarray(card.std) * scale
    if mean.any():
        entry.preprocess().mean([float(value) for value in mean])
    if (std != 1.0).any():
        entry.preprocess().scale([float(value) for value in std])
    return steps.build()
