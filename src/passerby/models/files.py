"""Networks in safetensors files, each with its card in the header."""

import os
import re
import stat
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from passerby.errors import InputError
from passerby.models.build import build
from passerby.models.card import CARD_KEY, ModelCard
from passerby.models.network import ReidNetwork

CLASSIFIER = ("classifier.", "classifiers.")
CLASS_WEIGHTS = re.compile(r"classifiers?(\.\d+)?\.weight")


def save(
    network: ReidNetwork,
    card: ModelCard,
    path: Path | str,
    *,
    half: bool = False,
    classifier: bool = False,
) -> None:
    """Write ``network`` with its ``card``; the file appears whole or not at all.

    Args:
        network: The network; its mode and device do not matter.
        card: What the file says of itself.
        path: Target, ``.safetensors``.
        half: Store floats in 16 bits (half the size; features change by about 1e-3).
        classifier: Keep the training identities' classifier as well; a test does not need it.
    """
    tensors = {
        key: _stored(value, half)
        for key, value in network.state_dict().items()
        if classifier or not key.startswith(CLASSIFIER)
    }
    write_tensors(tensors, {CARD_KEY: card.to_json()}, path)


def write_tensors(tensors: dict[str, Tensor], metadata: dict[str, str], path: Path | str) -> None:
    """Write a safetensors file that appears whole or not at all."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        partial.touch()
        mode = stat.S_IMODE(partial.stat().st_mode)  # what the user's umask grants
        save_file(tensors, partial, metadata=metadata)
        partial.chmod(mode)  # safetensors makes files for their owner alone
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value.half() if half and value.is_floating_point() else value


def read_card(path: Path | str) -> ModelCard:
    """The card of a weights file, without reading its tensors.

    Raises:
        InputError: If it is not a whole safetensors file with a card.
    """
    return _read(Path(path), tensors=False)[0]


def load(path: Path | str) -> tuple[ReidNetwork, ModelCard]:
    """Read a network in evaluation mode (float32, CPU) and its card.

    Raises:
        InputError: If the file is missing, damaged, without a card, or of another architecture
            than its card says.
    """
    path = Path(path)
    card, state = _read(path, tensors=True)
    network = build(
        card.architecture,
        num_classes=count_classes(state),
        last_stride=card.last_stride,
        pooling=card.pooling,
        neck=card.neck,
        feature=card.feature,  # type: ignore[arg-type]
        input_size=card.input_size,
        structure=card.structure,
    )
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:160]
        raise InputError(f"'{path}' does not hold the network of its card: {first}") from error
    if network.dimension != card.dimension:
        raise InputError(
            f"'{path}': the card says {card.dimension} dimensions, the network has "
            f"{network.dimension}; the file was put together wrongly"
        )
    return network.eval(), card


def count_classes(state: dict[str, Tensor]) -> int:
    """C of the classifiers' weights (C, D), or (heads, C, D) where they are stacked; 0 without."""
    for key, value in state.items():
        if CLASS_WEIGHTS.fullmatch(key):
            return int(value.shape[-2])
    return 0


def _read(path: Path, *, tensors: bool) -> tuple[ModelCard, dict[str, Tensor]]:
    metadata, state = read_tensors(path, tensors=tensors)
    if CARD_KEY not in metadata:
        raise InputError(
            f"'{path}' has no model card; convert a foreign checkpoint, or train one with passerby"
        )
    return ModelCard.from_json(metadata[CARD_KEY]), state


def read_tensors(path: Path, *, tensors: bool = True) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a safetensors file, floats as float32; without tensors, if so asked.

    Raises:
        InputError: If it is missing or no whole safetensors file.
    """
    if not path.is_file():
        raise InputError(f"no model file at '{path}'; give the path of a .safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in list(file.keys())} if tensors else {}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"'{path}' is no whole safetensors file: {error}") from error
    return metadata, {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def parameters(network: torch.nn.Module) -> int:
    """Number of parameters, frozen ones included, buffers not."""
    return sum(p.numel() for p in network.parameters())
