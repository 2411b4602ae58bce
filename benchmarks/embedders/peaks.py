"""What the machine can do: a large matrix product in OpenVINO, in fp32, bf16 and int8."""

import time

import numpy as np

from passerby.runtime.openvino_models import import_openvino

SIZE = 1536
REPEATS = 12


def peaks() -> dict[str, float]:
    """Precision -> 10^9 operations a second, the best of a dozen products."""
    hints = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
    return {precision: _peak(precision, hint) for precision, hint in hints.items()}


def _peak(precision: str, hint: str) -> float:
    openvino = import_openvino()
    model = _product(openvino, quantised=precision == "int8")
    options = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    rows = np.random.default_rng(0).uniform(-1, 1, (SIZE, SIZE)).astype(np.float32)
    request.set_input_tensor(openvino.Tensor(rows))
    spent = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        request.infer()
        spent.append(time.perf_counter() - begin)
    return 2 * SIZE**3 / min(spent) / 1e9


def _product(openvino: object, *, quantised: bool) -> object:
    """One product of square matrices, for int8 as NNCF writes it."""
    from openvino import Model, Type, opset13

    rows = opset13.parameter([SIZE, SIZE], Type.f32)
    rng = np.random.default_rng(1)
    if not quantised:
        weights = opset13.constant(rng.uniform(-1, 1, (SIZE, SIZE)).astype(np.float32))
        return Model([opset13.matmul(rows, weights, False, True)], [rows])
    low, high = np.float32(-1), np.float32(1)
    activations = opset13.fake_quantize(rows, low, high, low, high, 256)
    integers = opset13.constant(rng.integers(-127, 128, (SIZE, SIZE)).astype(np.int8))
    scale = opset13.constant(np.full((SIZE, 1), 1 / 127, np.float32))
    weights = opset13.multiply(opset13.convert(integers, Type.f32), scale)
    return Model([opset13.matmul(activations, weights, False, True)], [rows])
