"""OpenVINO models: reading, conversion from PyTorch, editing, writing with the model card."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError, MissingExtraError
from passerby.models import ModelCard

CARD = ["passerby", "card"]
MODEL_ID = ["passerby", "model_id"]
BATCH = 8  # pictures in a pass, where values inside a network are returned
LAYERS = ("Convolution", "GroupConvolution", "MatMul")  # operations with weights


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    OpenVINO reports conversions of networks to its makers over the internet. A city's machine must
    not send anything, so the telemetry package is made to look absent; OpenVINO then uses a
    replacement that does nothing.

    Raises:
        MissingExtraError: OpenVINO is not installed.
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
        InputError: A file is missing, or it is not a network.
    """
    openvino = import_openvino()
    if not path.is_file():
        raise InputError(f"there is no network file '{path}'")
    if path.suffix == ".xml" and not path.with_suffix(".bin").is_file():
        raise InputError(f"'{path}' needs its weights '{path.with_suffix('.bin').name}' beside it")
    try:
        return openvino.Core().read_model(path)
    except (RuntimeError, UnicodeDecodeError) as error:  # also its message may be no text
        reason = (str(error).strip().splitlines() or ["no reason is given"])[-1]
        raise InputError(f"OpenVINO cannot read the network '{path}': {reason}") from None


def compile_network(model: Any, options: dict[str, str]) -> Any:
    """Compile a network for the CPU, in a new thread.

    OpenVINO 2026 allocates a signal stack for the thread that compiles, and frees it when any
    thread deletes the network. If the main thread compiled, a later Ctrl-C would crash it.
    """
    core = import_openvino().Core()
    with ThreadPoolExecutor(1, thread_name_prefix="openvino-compile") as pool:
        return pool.submit(core.compile_model, model, "CPU", options).result()


def convert_torch(module: Any, card: ModelCard) -> Any:
    """Convert a PyTorch module that takes uint8 (B, H, W, 3) to an OpenVINO model, for any B."""
    import torch

    openvino = import_openvino()
    height, width = card.input_size
    example = torch.zeros((2, height, width, 3), dtype=torch.uint8)
    with torch.inference_mode(), warnings.catch_warnings():
        # PyTorch recommends torch.export, which takes three times as long; OpenVINO reads both
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        trace: Any = torch.jit.trace
        traced = trace(module.eval(), example, check_trace=False)
        return openvino.convert_model(traced, input=[-1, height, width, 3])


def fixed_batch(model: Any, card: ModelCard, name: str, pictures: int) -> Any:
    """Return a copy of ``model`` that takes a fixed number of pictures.

    Raises:
        InputError: The input is not a batch of pictures of the card's size.
    """
    height, width = card.input_size
    if len(model.inputs) != 1:
        raise InputError(f"{name} has {len(model.inputs)} inputs; an embedding network has one")
    shape = model.input().get_partial_shape()
    sides = list(shape) if shape.rank.is_static and len(shape) == 4 else []
    for wanted in ([pictures, 3, height, width], [pictures, height, width, 3]):
        if sides and all(
            side.is_dynamic or side.get_length() == want
            for side, want in zip(sides[1:], wanted[1:], strict=True)
        ):
            copy = model.clone()
            copy.reshape({copy.input(): wanted})
            return copy
    raise InputError(
        f"{name} takes an input of shape {shape}, its card says 3 x {height} x {width}; "
        "is it a person re-identification network?"
    )


def with_preprocessing(model: Any, card: ModelCard) -> Any:
    """Add layout, colour order, scale, mean and std to the front of a float network, in place."""
    openvino = import_openvino()
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


def refuse_negative_attention(model: Any, name: str) -> None:
    """Refuse a network in which OpenVINO has found attention with a negative scale.

    OpenVINO 2026.4 fuses ``softmax(-(Q K^T)) V`` to one operation with wrong inputs. It then
    computes wrong values, or crashes while compiling.

    Raises:
        InputError: The network has such an operation.
    """
    for node in model.get_ops():
        if node.get_type_name() == "ScaledDotProductAttention" and len(node.inputs()) > 4:
            scale = node.input_value(4).get_node()
            while scale.get_type_name() == "Convert":
                scale = scale.input_value(0).get_node()
            if scale.get_type_name() == "Constant" and (scale.data < 0).any():
                raise InputError(
                    f"OpenVINO gets attention with a negative scale wrong, as there is in {name}; "
                    "choose the runtime torch"
                )


def is_constant(value: Any) -> bool:
    """Check whether a value inside a network is a constant."""
    constant: bool = value.get_node().get_type_name() == "Constant"
    return constant


def set_constant(port: Any, values: NDArray[np.float32]) -> None:
    """Replace a node's input by a constant."""
    constant = import_openvino().opset13.constant(values)
    port.replace_source_output(constant.output(0))


def kinds_before(source: Any) -> set[str]:
    """Return the types of the node that computes a value and of all nodes before it."""
    kinds, seen, open_nodes = set(), set(), [source.get_node()]
    while open_nodes:
        node = open_nodes.pop()
        if (name := node.get_friendly_name()) not in seen:
            seen.add(name)
            kinds.add(node.get_type_name())
            open_nodes += [value.get_node() for value in node.input_values()]
    return kinds


def inner_values(
    model: Any, values: Sequence[Any], pictures: NDArray[np.uint8]
) -> Iterator[list[NDArray[np.float32]]]:
    """Compute values inside a network, in fp32.

    Args:
        model: Takes uint8 RGB (B, H, W, 3).
        values: Outputs of its nodes; several may be the same.
        pictures: (N, H, W, 3) uint8 RGB.

    Yields:
        For each batch of pictures, a list with one array for each of the values.
    """
    openvino = import_openvino()
    names = [(value.get_node().get_friendly_name(), value.get_index()) for value in values]
    distinct = dict(zip(names, values, strict=True))
    part = openvino.Model(list(distinct.values()), model.get_parameters()).clone()
    compiled = compile_network(part, {"INFERENCE_PRECISION_HINT": "f32"})
    for first in range(0, len(pictures), BATCH):
        results = compiled(pictures[first : first + BATCH]).values()
        found = dict(zip(distinct, results, strict=True))
        yield [np.array(found[name]) for name in names]


def is_quantised(model: Any) -> bool:
    """Check whether a network was quantised."""
    return any(node.get_type_name() == "FakeQuantize" for node in model.get_ops())


def read_metadata(model: Any) -> tuple[ModelCard | None, str | None]:
    """Return the card and the model id that `passerby export` wrote into a network, if any."""
    card = model.get_rt_info(CARD).astype(str) if model.has_rt_info(CARD) else None
    named = model.get_rt_info(MODEL_ID).astype(str) if model.has_rt_info(MODEL_ID) else None
    return (ModelCard.from_json(card) if card else None), named


def write_openvino(model: Any, path: Path, card: ModelCard, model_id: str | None) -> None:
    """Write a network as .xml and .bin, with its card.

    Args:
        model: The network; it gets the card.
        path: The .xml file.
        card: Input size and normalisation.
        model_id: Id of the original network, if the vectors are the same; else None.
    """
    openvino = import_openvino()
    model.set_rt_info(card.to_json(), CARD)
    if model_id is not None:
        model.set_rt_info(model_id, MODEL_ID)
    openvino.save_model(model, path, compress_to_fp16=False)
