"""Quantise a network to 8-bit integers after its training, by NNCF, on the user's own crops.

Weights get symmetric scales for each channel, activations asymmetric ones; the shift that rounding
leaves in each layer's mean is taken out again, layer after layer, with all before it quantised.
What the scales of the activations should span depends on the network, and so does what must stay
in floating point: there are several ways to try, the fastest first. In all of them the vector at
the end stays in floating point: its rounding errors are the vector's own, and it costs nothing.

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
from passerby.runtime.first_layer import span_pixels
from passerby.runtime.openvino_models import LAYERS, import_openvino, is_constant
from passerby.runtime.rounding import round_weights
from passerby.runtime.shortcuts import merge_shortcuts

ENDS = 3  # layers at either end of a network
LAST_SUMS = 2  # of residual branches: the last stage of a ResNet-50, its shortcut merged


class SchemeError(InputError):
    """A network cannot be quantised in one way; it may be in another."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A way to quantise."""

    whole_range: bool = False
    """Activations' scales span the least and greatest value of any crop, instead of what makes the
    error of their histogram small: for networks that speak in rare, large values."""
    float_sums: int | None = 0
    """So many of the last sums of residual branches stay in floating point; None: all of them."""
    float_ends: bool = False
    """The first and last three layers stay in floating point."""

    def __str__(self) -> str:
        """In words."""
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
"""What is tried, in this order, the fastest first."""


def prepare(model: Any, crops: NDArray[np.uint8]) -> Any:
    """The same network, as it is best quantised: see the modules of the two steps.

    Args:
        model: an OpenVINO model that takes uint8 RGB (B, H, W, 3); it is left as it is.
        crops: (N, H, W, 3) uint8 RGB, like those it will see.
    """
    return round_weights(merge_shortcuts(model, crops), crops)


def quantise(model: Any, crops: NDArray[np.uint8], scheme: Scheme = SCHEMES[0]) -> Any:
    """Quantise an OpenVINO model; it is left as it is.

    Args:
        model: takes uint8 RGB (B, H, W, 3); better one that was given to :func:`prepare`.
        crops: (N, H, W, 3) uint8 RGB, like those it will see; 300 are plenty.
        scheme: the way.

    Returns:
        The quantised model.

    Raises:
        SchemeError: NNCF finds no scales, as for activations that are all but the same.
    """
    nncf = _import_nncf()
    ranges = nncf.quantization.range_estimator.RangeEstimatorParametersSet
    ignored = nncf.IgnoredScope(
        names=_vector(model)
        + _sums(model, scheme.float_sums)
        + (_ends(model) if scheme.float_ends else []),
        validate=False,  # a network may have no sums
    )
    try:
        with _quietly():
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
                    overflow_fix=nncf.OverflowFix.FIRST_LAYER,  # as the weights were rounded
                ),
            )
    except ValueError as error:
        raise SchemeError(f"NNCF cannot quantise the network with {scheme}: {error}") from None
    span_pixels(quantised)
    return quantised


def _sums(model: Any, count: int | None) -> list[str]:
    """The last sums of two maps, or all, from the front to the end."""
    names = [
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Add" and not any(map(is_constant, node.input_values()))
    ]
    return names if count is None else names[max(0, len(names) - count) :]


def _ends(model: Any) -> list[str]:
    names = [
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() in LAYERS
    ]
    return names[:ENDS] + names[-ENDS:]


def _vector(model: Any) -> list[str]:
    """What is done to the feature behind the last layers, once it is a vector."""
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
    """Whether what it gives of a picture has one side that is not 1."""
    sides = list(node.get_output_partial_shape(0))[1:]
    return sum(side.is_dynamic or side.get_length() > 1 for side in sides) <= 1


def _attends(model: Any) -> bool:
    kinds = {node.get_type_name() for node in model.get_ops()}
    return "ScaledDotProductAttention" in kinds or {"Softmax", "MatMul"} <= kinds


def _import_nncf() -> Any:
    import_openvino()  # first: it keeps the telemetry of both from being sent
    try:
        with _quietly():
            import nncf
    except ImportError:
        raise MissingExtraError("nncf", "quantise") from None
    return nncf


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Progress belongs on stderr, which leaves stdout to the report; hints are not for the user."""
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
