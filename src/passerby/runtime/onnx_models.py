"""ONNX models: converted from PyTorch, with card and model id inside."""

import io
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from passerby.errors import MissingExtraError
from passerby.models import ModelCard
from passerby.models.card import CARD_KEY
from passerby.runtime.onnx_backend import ID_KEY
from passerby.runtime.torch_backend import UnitVectors

OPSET = 18


def convert_to_onnx(network: nn.Module, card: ModelCard, model_id: str) -> Any:
    """Turn a network into an ONNX model: uint8 RGB (B, H, W, 3) in, unit vectors (B, D) out."""
    onnx = _import_onnx()
    example = torch.zeros((2, *card.input_size, 3), dtype=torch.uint8)
    written = io.BytesIO()
    with warnings.catch_warnings():
        # the newer exporter needs one more package (onnxscript) and gives the same graph here
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(
            UnitVectors(network, card).eval(),
            (example,),
            written,  # type: ignore[arg-type]  # a file object is well taken
            input_names=["pictures"],
            output_names=["vectors"],
            dynamic_axes={"pictures": {0: "batch"}, "vectors": {0: "batch"}},
            opset_version=OPSET,
            do_constant_folding=False,  # it drops a constant of slim18; the runtimes fold anyway
            dynamo=False,
        )
    model = onnx.load_from_string(written.getvalue())
    onnx.helper.set_model_props(model, {CARD_KEY: card.to_json(), ID_KEY: model_id})
    onnx.checker.check_model(model)
    return model


def write_onnx(model: Any, path: Path) -> None:
    """Write a model; the file appears whole."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp.onnx")
    try:
        _import_onnx().save(model, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _import_onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("onnx", "onnx") from None
    return onnx
