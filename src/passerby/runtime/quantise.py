"""Quantise a network to 8-bit integers after its training, by NNCF, on the user's own crops.

Weights get symmetric scales for each channel, activations asymmetric ones; the shift that rounding
leaves in each layer's mean is taken out again ("fast bias correction"). What the scales of the
activations should span depends on the network, and so does what must stay in floating point: there
are several ways to try, the fastest first.

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

from passerby.errors import MissingExtraError
from passerby.runtime.openvino_models import import_openvino

LAYERS = ("Convolution", "GroupConvolution", "MatMul")
ENDS = 3  # layers at either end of a network


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A way to quantise."""

    whole_range: bool = False
    """Activations' scales span the least and greatest value of any crop, instead of the means over
    the crops of each one's: for networks that speak in rare, large values."""
    float_sums: bool = False
    """The sums of residual branches stay in floating point."""
    float_ends: bool = False
    """The first and last three layers stay in floating point."""

    def __str__(self) -> str:
        """In words."""
        words = ["whole range" if self.whole_range else "mean range"]
        words += ["sums in fp32"] if self.float_sums else []
        words += ["ends in fp32"] if self.float_ends else []
        return ", ".join(words)


SCHEMES = (
    Scheme(),
    Scheme(whole_range=True),
    Scheme(float_sums=True),
    Scheme(whole_range=True, float_sums=True, float_ends=True),
)
"""What is tried, in this order. The first two are equally fast; on a ResNet-50 the third took a
tenth more."""


def quantise(model: Any, crops: NDArray[np.uint8], scheme: Scheme = SCHEMES[0]) -> Any:
    """Quantise an OpenVINO model; it is left as it is.

    Args:
        model: takes uint8 RGB (B, H, W, 3).
        crops: (N, H, W, 3) uint8 RGB, like those it will see; 300 are plenty.
        scheme: the way.

    Returns:
        The quantised model.
    """
    nncf = _import_nncf()
    ranges = nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX
    ignored = nncf.IgnoredScope(
        names=_ends(model) if scheme.float_ends else [],
        types=["Add"] if scheme.float_sums else [],
        validate=False,  # a network may have no sums
    )
    with _quietly():
        return nncf.quantize(
            model.clone(),
            nncf.Dataset([one[None] for one in crops]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(crops),
            fast_bias_correction=True,
            model_type=nncf.ModelType.TRANSFORMER if _attends(model) else None,
            ignored_scope=ignored,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=ranges if scheme.whole_range else None
            ),
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
