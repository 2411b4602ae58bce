"""Quantise a network to 8-bit integers after its training, by NNCF, on the user's own crops.

Weights get symmetric scales for each channel, activations asymmetric ones that span the least and
the greatest value that any crop brings about: a network that tells people apart speaks in its rare,
large values, and NNCF's usual mean over the crops, which cuts them, costs the bundled network four
fifths of its agreement (1 - cosine 0.015 instead of 0.003). The shift that rounding leaves in each
layer's mean is taken out again ("fast bias correction").

Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference, CVPR 2018; Nagel et al., Data-Free Quantization, ICCV 2019, section 4.2.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import MissingExtraError
from passerby.runtime.openvino_models import import_openvino

LAYERS = ("Convolution", "GroupConvolution", "MatMul")
ENDS = 3
"""Layers kept in floating point at either end of the network in the second attempt."""


def quantise(model: Any, crops: NDArray[np.uint8], *, keep_ends: bool = False) -> Any:
    """Quantise an OpenVINO model; it is left as it is.

    Args:
        model: takes uint8 RGB (B, H, W, 3).
        crops: (N, H, W, 3) uint8 RGB, like those it will see; 300 are plenty.
        keep_ends: leave the first and the last layers in floating point: less fast, more exact.

    Returns:
        The quantised model.
    """
    nncf = _import_nncf()
    ignored = nncf.IgnoredScope(names=_ends(model)) if keep_ends else None
    whole_range = nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX
    details = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=whole_range)
    with _quietly():
        return nncf.quantize(
            model.clone(),
            nncf.Dataset([one[None] for one in crops]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(crops),
            fast_bias_correction=True,
            model_type=nncf.ModelType.TRANSFORMER if _attends(model) else None,
            ignored_scope=ignored,
            advanced_parameters=details,
        )


def _ends(model: Any) -> list[str]:
    names = [
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() in LAYERS
    ]
    return names[:ENDS] + names[-ENDS:]


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
