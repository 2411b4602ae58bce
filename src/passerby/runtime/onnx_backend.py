"""ONNX Runtime: files of `passerby export`, and foreign ONNX files with a card."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError, MissingExtraError
from passerby.models import ModelCard
from passerby.models.card import CARD_KEY
from passerby.runtime.backend import OneAtATime


def import_onnxruntime() -> Any:
    """Import ONNX Runtime, or say which extra brings it."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnxruntime", "onnx") from None
    return onnxruntime


ID_KEY = "passerby.model_id"


def read_metadata(path: Path) -> tuple[ModelCard | None, str | None]:
    """Read the card and the model id that `passerby export` put into an ONNX file, if it did."""
    session = _open(path, ["CPUExecutionProvider"], f"'{path}'")
    metadata = session.get_modelmeta().custom_metadata_map
    text = metadata.get(CARD_KEY)
    return (ModelCard.from_json(text) if text else None), metadata.get(ID_KEY)


def _open(source: Path | bytes, providers: list[str], name: str) -> Any:
    onnxruntime = import_onnxruntime()
    network = source if isinstance(source, bytes) else str(source)
    options = onnxruntime.SessionOptions()
    # idle, its threads would turn for 40 ms, each on a core that decoding or another runtime needs
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(network, options, providers=providers)
    except Exception as error:  # its exceptions share no base but Exception
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"ONNX Runtime cannot read the network {name}: {reason}") from None


class OnnxBackend(OneAtATime):
    """A network in ONNX Runtime.

    A uint8 input means that normalisation is inside the graph; a float input is normalised here
    as the card says.
    """

    runtime = "onnx"
    precision = "fp32"

    def __init__(
        self, source: Path | bytes, card: ModelCard, *, name: str, device: str = "cpu"
    ) -> None:
        """Open a network.

        Args:
            source: an ONNX file, or what is in one.
            card: how the network wants its pictures.
            name: what to call it in messages.
            device: "cpu", or "cuda..." where ONNX Runtime has it.

        Raises:
            InputError: it is not a network that turns a picture into one vector.
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
        """Run the network; see :class:`passerby.runtime.backend.Backend`."""
        if self._input.shape[0] == 1 and len(pictures) > 1:  # a file with a fixed batch of one
            return np.concatenate([self.features(one[None]) for one in pictures])
        values = self._prepare(pictures)
        (first, *_) = self._session.run(None, {self._input.name: values})
        return np.asarray(first, dtype=np.float32).reshape(len(pictures), -1)

    def _prepare(self, pictures: NDArray[np.uint8]) -> NDArray[Any]:
        """Bring pictures to the graph's layout and, for float graphs, to the card's range."""
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
