"""A weights file to an ONNX file that needs no code: uint8 RGB in, unit vectors out."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from passerby.errors import InputError, MissingExtraError
from passerby.models import ModelCard, load
from passerby.models.card import CARD_KEY
from passerby.models.identity import content_id, find_file
from passerby.runtime.onnx_backend import ID_KEY, OnnxBackend
from passerby.runtime.pictures import Picture, read_image, resize
from passerby.runtime.torch_backend import Normalised

LOWEST_COSINE = 0.9999
OPSET = 18


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written, and how near it is to the original."""

    path: str
    model_id: str
    pictures: int
    """How many pictures the two were compared on."""
    lowest_cosine: float
    """The worst agreement of a vector with the original's."""


class UnitVectors(Normalised):
    """A network with its preprocessing and the division by the length."""

    def forward(self, pictures: Tensor) -> Tensor:
        """Uint8 RGB (B, H, W, 3) in, unit rows (B, D) out."""
        return nn.functional.normalize(super().forward(pictures), dim=1)


def export_onnx(
    source: str | Path, out: str | Path, *, pictures: Sequence[Picture] = ()
) -> ExportReport:
    """Write a weights file as ONNX with normalisation and L2 inside, and any batch size.

    The file carries the model card and the model id in its metadata, so that vectors of either
    may lie in one gallery. Both networks are run on the pictures, one by one and together; a
    file that differs is not kept.

    Args:
        source: a Passerby weights file, or "default".
        out: the .onnx file to write.
        pictures: crops to compare on; smooth random pictures when there are none.

    Raises:
        InputError: no such file, or the exported network differs from the original.
    """
    path, out = find_file(source), Path(out)
    if path.suffix != ".safetensors" or out.suffix != ".onnx":
        raise InputError(f"export turns a .safetensors into an .onnx, not '{path}' into '{out}'")
    network, card = load(path)
    model_id = content_id(card, path)
    partial = out.with_name(f".{out.name}.{os.getpid()}.tmp.onnx")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _write(UnitVectors(network, card).eval(), card, model_id, partial)
        samples = _samples(pictures, card)
        lowest = _lowest_cosine(UnitVectors(network, card).eval(), partial, card, samples)
        if not lowest >= LOWEST_COSINE:
            raise InputError(
                f"the exported network differs from '{path}' (lowest cosine {lowest:.6f}, wanted "
                f"{LOWEST_COSINE}); nothing was written"
            )
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return ExportReport(
        path=str(out), model_id=model_id, pictures=len(samples), lowest_cosine=lowest
    )


def _write(module: nn.Module, card: ModelCard, model_id: str, path: Path) -> None:
    onnx = _import_onnx()
    example = torch.zeros((2, *card.input_size, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        # the newer exporter needs one more package (onnxscript) and gives the same graph here
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        torch.onnx.export(
            module,
            (example,),
            path,
            input_names=["pictures"],
            output_names=["vectors"],
            dynamic_axes={"pictures": {0: "batch"}, "vectors": {0: "batch"}},
            opset_version=OPSET,
            do_constant_folding=False,  # it drops a constant of slim18; the runtimes fold anyway
            dynamo=False,
        )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {CARD_KEY: card.to_json(), ID_KEY: model_id})
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _samples(pictures: Sequence[Picture], card: ModelCard) -> NDArray[np.uint8]:
    if pictures:
        rows = [resize(read_image(one), card.input_size, card.interpolation) for one in pictures]
        return np.stack(rows)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, 16, 8, 3)).astype(np.uint8)
    return np.stack([resize(one, card.input_size, "bicubic") for one in coarse])


def _lowest_cosine(
    module: nn.Module, path: Path, card: ModelCard, samples: NDArray[np.uint8]
) -> float:
    """The worst agreement, at a batch of all samples and one by one."""
    with torch.inference_mode():
        expected = module(torch.from_numpy(samples)).numpy()
    backend = OnnxBackend(path, card)
    single = np.concatenate([backend.features(one[None]) for one in samples])
    lowest = [np.sum(expected * got, axis=1).min() for got in (backend.features(samples), single)]
    return float(min(lowest))


def _import_onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("onnx", "onnx") from None
    return onnx
