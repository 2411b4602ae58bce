"""The input of a quantised network's first convolution: normalised pixels, whose range is known."""

from typing import Any

import numpy as np

from passerby.runtime.openvino_models import inner_values, kinds_before, set_constant

LAST = 255  # steps of a byte
BEFORE = {
    "Add", "Constant", "Convert", "Divide", "Multiply", "Parameter", "Slice", "Subtract",
    "Transpose",
}  # fmt: skip


def span_pixels(quantised: Any) -> None:
    """Let the scale of the first convolution's input span every pixel there can be, in place.

    Calibration has seen some crops and takes means over them; brighter pixels would be cut off.
    A network that does more than to normalise before that convolution is left alone.

    Args:
        quantised: an OpenVINO model that takes uint8 RGB (B, H, W, 3).
    """
    ops = quantised.get_ordered_ops()
    convolution = next((op for op in ops if op.get_type_name() == "Convolution"), None)
    scale = convolution.input_value(0).get_node() if convolution else None
    if scale is None or scale.get_type_name() != "FakeQuantize":
        return
    entry = scale.input_value(0)
    if not kinds_before(entry) <= BEFORE:
        return
    height, width, _ = (side.get_length() for side in list(quantised.input().partial_shape)[1:])
    ends = np.stack([np.full((height, width, 3), level, np.uint8) for level in (0, 255)])
    [[values]] = inner_values(quantised, [entry], ends)
    low, high = float(values.min()), float(values.max())
    step = (high - low) / LAST
    low = round(low / step) * step  # zero, which convolutions pad with, is on the grid
    for at, end in enumerate((low, low + LAST * step) * 2, start=1):
        set_constant(scale.input(at), np.array(end, np.float32))
    quantised.validate_nodes_and_infer_types()
