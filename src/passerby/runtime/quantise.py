"""Quantisation of a trained network to 8-bit integers, by NNCF, on the user's own crops.

Weights get a symmetric scale for each channel, activations an asymmetric one. Rounding shifts the
mean of each layer's output; a correction of the bias removes this shift, layer after layer. Which
range the scales of the activations should span depends on the network, and so do the layers that
must stay in floating point. There are several schemes, the fastest first. In all of them the
operations on the final vector stay in floating point: their rounding errors would go straight into
the vector, and they cost nothing.

Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference, CVPR 2018; Nagel et al., Data-Free Quantization, ICCV 2019, section 4.2.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError, MissingExtraError
from passerby.runtime.openvino_models import (
    LAYERS,
    import_openvino,
    inner_values,
    is_constant,
    kinds_before,
    set_constant,
)
from passerby.runtime.rounding import round_weights
from passerby.runtime.shortcuts import merge_shortcuts

ENDS = 3  # layers at either end of a network
LAST_SUMS = 2  # sums of residual branches in the last stage of a ResNet-50, its shortcut merged
STEPS = 255  # steps of a byte
NORMALISATION = {
    "Add", "Constant", "Convert", "Divide", "Multiply", "Parameter", "Slice", "Subtract",
    "Transpose",
}  # fmt: skip


class SchemeError(InputError):
    """A network cannot be quantised with one scheme; another scheme may work."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """Options of the quantisation."""

    whole_range: bool = False
    """The scale of an activation spans its least and greatest value over all crops, instead of the
    range with the smallest error of the histogram. For networks with rare, large activations."""
    float_sums: int | None = 0
    """Number of the last sums of residual branches that stay in floating point; None for all."""
    float_ends: bool = False
    """The first and last three layers stay in floating point."""

    def __str__(self) -> str:
        """Return the scheme in words."""
        words = ["whole range" if self.whole_range else "histogram range"]
        if self.float_sums != 0:
            words.append(f"{'all' if self.float_sums is None else self.float_sums} sums in fp32")
        words += ["ends in fp32"] if self.float_ends else []
        return ", ".join(words)


SCHEMES = (
    Scheme(),
    Scheme(float_sums=LAST_SUMS),
    Scheme(whole_range=True, float_sums=LAST_SUMS),
    Scheme(float_sums=None),
    Scheme(whole_range=True, float_sums=None, float_ends=True),
)
"""Tried in this order, the fastest first."""


def prepare(model: Any, crops: NDArray[np.uint8]) -> Any:
    """Return a copy of the network with merged shortcuts and rounded weights, for quantisation.

    See :mod:`passerby.runtime.shortcuts` and :mod:`passerby.runtime.rounding`.

    Args:
        model: An OpenVINO model that takes uint8 RGB (B, H, W, 3).
        crops: (N, H, W, 3) uint8 RGB, like those the network will see.
    """
    return round_weights(merge_shortcuts(model, crops), crops)


def quantise(model: Any, crops: NDArray[np.uint8], scheme: Scheme = SCHEMES[0]) -> Any:
    """Return a quantised copy of an OpenVINO model.

    Args:
        model: Takes uint8 RGB (B, H, W, 3); best the result of :func:`prepare`.
        crops: (N, H, W, 3) uint8 RGB, like those the network will see; 300 are enough.
        scheme: Options of the quantisation.

    Raises:
        SchemeError: NNCF finds no scales, for example because an activation is constant.
    """
    nncf = import_nncf()
    ranges = nncf.quantization.range_estimator.RangeEstimatorParametersSet
    ignored = nncf.IgnoredScope(
        names=_vector(model)
        + _sums(model, scheme.float_sums)
        + (_ends(model) if scheme.float_ends else []),
        validate=False,  # a network may have no sums
    )
    try:
        with quietly():
            quantised = nncf.quantize(
                model.clone(),
                nncf.Dataset([one[None] for one in crops]),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(crops),
                fast_bias_correction=False,
                model_type=nncf.ModelType.TRANSFORMER if _attends(model) else None,
                ignored_scope=ignored,
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    activations_range_estimator_params=(
                        ranges.MINMAX if scheme.whole_range else ranges.HISTOGRAM
                    ),
                    overflow_fix=nncf.OverflowFix.FIRST_LAYER,  # as in rounding.FIRST_LEVELS
                ),
            )
    except ValueError as error:
        raise SchemeError(f"NNCF cannot quantise the network with {scheme}: {error}") from None
    _span_pixels(quantised)
    return quantised


def _span_pixels(quantised: Any) -> None:
    """Set the scale of the first convolution's input so that it spans all pixel values, in place.

    Calibration saw some crops and averages their extremes, so brighter pixels would be clipped. A
    network that does more than normalise before that convolution is not changed.

    Args:
        quantised: An OpenVINO model that takes uint8 RGB (B, H, W, 3).
    """
    ops = quantised.get_ordered_ops()
    convolution = next((op for op in ops if op.get_type_name() == "Convolution"), None)
    scale = convolution.input_value(0).get_node() if convolution else None
    if scale is None or scale.get_type_name() != "FakeQuantize":
        return
    entry = scale.input_value(0)
    if not kinds_before(entry) <= NORMALISATION:
        return
    height, width, _ = (side.get_length() for side in list(quantised.input().partial_shape)[1:])
    ends = np.stack([np.full((height, width, 3), level, np.uint8) for level in (0, 255)])
    [[values]] = inner_values(quantised, [entry], ends)
    low, high = float(values.min()), float(values.max())
    step = (high - low) / STEPS
    low = round(low / step) * step  # zero, the padding of convolutions, is on the grid
    for at, end in enumerate((low, low + STEPS * step) * 2, start=1):
        set_constant(scale.input(at), np.array(end, np.float32))
    quantised.validate_nodes_and_infer_types()


def _sums(model: Any, count: int | None) -> list[str]:
    """Return the names of the last ``count`` sums of two maps, or of all, in network order."""
    names = [
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Add" and not any(map(is_constant, node.input_values()))
    ]
    return names if count is None else names[max(0, len(names) - count) :]


def _ends(model: Any) -> list[str]:
    """Return the names of the first and last three layers."""
    names = [
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() in LAYERS
    ]
    return names[:ENDS] + names[-ENDS:]


def _vector(model: Any) -> list[str]:
    """Return the names of the operations on the vector after the last layer."""
    before: set[str] = set()
    names = []
    for node in reversed(model.get_ordered_ops()):
        readers = [
            target.get_node() for output in node.outputs() for target in output.get_target_inputs()
        ]
        if any(
            one.get_type_name() in LAYERS or one.get_friendly_name() in before for one in readers
        ):
            before.add(node.get_friendly_name())
        elif node.get_type_name() not in (*LAYERS, "Constant", "Result") and _is_vector(node):
            names.append(node.get_friendly_name())
    return names


def _is_vector(node: Any) -> bool:
    """Check that a node's output has at most one dimension larger than 1 beside the batch."""
    sides = list(node.get_output_partial_shape(0))[1:]
    large = [side for side in sides if side.is_dynamic or side.get_length() > 1]
    return len(large) <= 1


def _attends(model: Any) -> bool:
    """Check whether the network contains attention."""
    kinds = {node.get_type_name() for node in model.get_ops()}
    return "ScaledDotProductAttention" in kinds or {"Softmax", "MatMul"} <= kinds


def import_nncf() -> Any:
    """Import NNCF without its telemetry.

    Raises:
        MissingExtraError: NNCF is not installed.
    """
    import_openvino()  # first: it disables the telemetry of both packages
    try:
        with quietly():
            import nncf
    except ImportError:
        raise MissingExtraError("nncf", "quantise") from None
    return nncf


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Send NNCF's progress to stderr and hide its hints; stdout is for the report."""
    loggers = [logging.getLogger(name) for name in ("nncf", "torch.utils.cpp_extension")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
