"""The ONNX runtime: conversion from PyTorch, and inference by ONNX Runtime."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from passerby.errors import InputError, MissingExtraError
from passerby.models import ModelCard
from passerby.models.card import CARD_KEY
from passerby.runtime.backend import Backend
from passerby.runtime.torch_backend import UnitVectors

ID_KEY = "passerby.model_id"
OPSET = 18


def convert_to_onnx(network: nn.Module, card: ModelCard, model_id: str) -> bytes:
    """Convert a network to an ONNX file: uint8 RGB (B, H, W, 3) in, unit vectors (B, D) out.

    Returns:
        The content of the file, with the card and the model id.

    Raises:
        MissingExtraError: The package onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("onnx", "onnx") from None
    example = torch.zeros((2, *card.input_size, 3), dtype=torch.uint8)
    written = io.BytesIO()
    with warnings.catch_warnings():
        # the newer exporter needs one more package (onnxscript) and gives the same graph here
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            UnitVectors(network, card).eval(),
            (example,),
            written,  # type: ignore[arg-type]  # the exporter accepts a file object
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
    content: bytes = model.SerializeToString()
    return content


def read_metadata(path: Path) -> tuple[ModelCard | None, str | None]:
    """Read the card and the model id that `passerby export` wrote into an ONNX file, if any."""
    session = _open(path, ["CPUExecutionProvider"], f"'{path}'")
    metadata = session.get_modelmeta().custom_metadata_map
    text = metadata.get(CARD_KEY)
    return (ModelCard.from_json(text) if text else None), metadata.get(ID_KEY)


def _open(source: Path | bytes, providers: list[str], name: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnxruntime", "onnx") from None
    network = source if isinstance(source, bytes) else str(source)
    options = onnxruntime.SessionOptions()
    # by default its threads spin for 40 ms when idle, on cores that decoding needs
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(network, options, providers=providers)
    except Exception as error:  # its exceptions share no base but Exception
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"ONNX Runtime cannot read the network {name}: {reason}") from None


class OnnxBackend(Backend):
    """A network in ONNX Runtime.

    A graph with a uint8 input normalises by itself. For a graph with a float input, this class
    normalises the pictures as the card says.
    """

    runtime = "onnx"
    precision = "fp32"

    def __init__(
        self, source: Path | bytes, card: ModelCard, *, name: str, device: str = "cpu"
    ) -> None:
        """Open a network.

        Args:
            source: An ONNX file, or the content of one.
            card: Input size and normalisation.
            name: The network's name in messages.
            device: "cpu", or "cuda..." where ONNX Runtime supports it.

        Raises:
            InputError: The network does not turn a picture into one vector.
        """
        gpu = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
        self._session = _open(source, [*gpu, "CPUExecutionProvider"], name)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise InputError(f"{name} is not a network that takes one batch of pictures")
        self._input = inputs[0]
        self._card = card
        probe = np.zeros((1, *card.input_size, 3), dtype=np.uint8)
        try:
            self.dimension = int(self.features(probe).shape[1])
        except Exception as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"{name} does not run on a picture of its card: {reason}") from None

    def features(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :meth:`passerby.runtime.backend.Backend.features`."""
        if self._input.shape[0] == 1 and len(pictures) > 1:  # a file with a fixed batch of one
            return np.concatenate([self.features(one[None]) for one in pictures])
        values = self._prepare(pictures)
        (first, *_) = self._session.run(None, {self._input.name: values})
        return np.asarray(first, dtype=np.float32).reshape(len(pictures), -1)

    def _prepare(self, pictures: NDArray[np.uint8]) -> NDArray[Any]:
        """Convert pictures to the graph's layout and, for float graphs, to the card's range."""
        channels_first = self._input.shape[1] == 3
        if self._input.type == "tensor(uint8)":
            return pictures.transpose(0, 3, 1, 2) if channels_first else pictures
        card = self._card
        values = pictures[..., ::-1] if card.colour_order == "BGR" else pictures
        scale = np.float32(card.value_range / 255.0)
        mean = np.asarray(card.mean, dtype=np.float32)
        std = np.asarray(card.std, dtype=np.float32)
        normal = (values.astype(np.float32) * scale - mean) / std
        return np.ascontiguousarray(normal.transpose(0, 3, 1, 2) if channels_first else normal)
