"""Foreign checkpoints in: recognised by their keys, checked tensor by tensor, with a card."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from passerby.errors import InputError
from passerby.models.build import build
from passerby.models.card import ModelCard
from passerby.models.checkpoints import read_state
from passerby.models.files import count_classes
from passerby.models.foreign.sources import Source, identify
from passerby.models.foreign.translation import SHOWN, State, Translation, complete, listed
from passerby.models.network import ReidNetwork

MAPPING = 2  # raised whenever the same file would be converted to another network


def convert(
    path: Path | str, *, input_size: tuple[int, int] | None = None
) -> tuple[ReidNetwork, ModelCard]:
    """Read a checkpoint of another toolbox; nothing in the file is executed.

    Which toolbox it is follows from the names of its tensors, and with it how the network is run:
    a missing ReLU in the stem, a shifted pooling, the interpolation. Every tensor is either taken
    or of a kind that is known to be left out.

    Args:
        path: A file of torch or safetensors.
        input_size: (H, W) of the pictures it was trained on, where that is not the published one;
            a transformer's number of positions must agree.

    Returns:
        The network in evaluation mode and its card, whose ``training`` says where it comes from
        and which tensors were left out, and whose licence is left open.

    Raises:
        InputError: If the file cannot be read safely, is of no known toolbox, or has tensors too
            many, too few or of another shape.
    """
    path = Path(path)
    state = read_state(path)
    try:
        source = identify(state)
        network, translation = _made(source, state, input_size)
    except InputError as error:
        raise InputError(f"'{path}' cannot be converted: {error}") from error
    return network.eval(), _card(path, source, translation, network)


def _made(
    source: Source, state: Mapping[str, Tensor], size: tuple[int, int] | None
) -> tuple[ReidNetwork, Translation]:
    try:
        translation = source.translate(state, size)
        return _network(translation), translation
    except InputError:
        raise
    except (IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
        # tensors of a file that is no checkpoint at all: without axes, without a first block ...
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"it looks like {source.name}, but its tensors do not fit together ({reason})"
        ) from error


def _network(translation: Translation) -> ReidNetwork:
    network = build(
        translation.architecture,
        num_classes=count_classes(translation.state),
        last_stride=translation.last_stride,
        pooling=translation.pooling,
        neck=translation.neck,
        feature=translation.feature,
        input_size=translation.input_size,
        structure=translation.structure,
    )
    wanted = network.state_dict()
    state = complete(translation.state, wanted)
    missing = sorted(wanted.keys() - state.keys())
    extra = sorted(state.keys() - wanted.keys())
    for what, keys in (("lacks", missing), ("has beyond it", extra)):
        if keys:
            raise InputError(
                f"it does not fit {translation.architecture}: it {what} {len(keys)} tensors, "
                f"{listed(keys)}"
            )
    _refuse_other_shapes(translation.architecture, state, wanted)
    network.load_state_dict(
        {key: value.to(wanted[key].dtype) for key, value in state.items()}, strict=True
    )
    _refuse_broken(network)
    return network


def _refuse_other_shapes(architecture: str, state: State, wanted: State) -> None:
    wrong = sorted(key for key in wanted if wanted[key].shape != state[key].shape)
    if wrong:
        shown = ", ".join(
            f"'{key}' is {tuple(state[key].shape)}, not {tuple(wanted[key].shape)}"
            for key in wrong[:SHOWN]
        )
        raise InputError(
            f"it does not fit {architecture}: it differs in {len(wrong)} tensors: {shown}"
        )


def _refuse_broken(network: ReidNetwork) -> None:
    for key, value in network.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise InputError(f"its tensor for '{key}' holds NaN or infinite numbers")


def _card(path: Path, source: Source, translation: Translation, network: ReidNetwork) -> ModelCard:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    notes = translation.notes
    if not translation.normalised:
        notes += "; here vectors are compared by cosine"
    return ModelCard(
        architecture=translation.architecture,
        dimension=network.dimension,
        input_size=translation.input_size,
        mean=translation.mean,
        std=translation.std,
        interpolation=translation.interpolation,
        feature=translation.feature,
        last_stride=translation.last_stride,
        pooling=translation.pooling,
        neck=translation.neck,
        structure=dict(translation.structure),
        training={
            "converted_from": path.name,
            "source": source.name,
            "sha256": digest,
            "mapping": MAPPING,
            "left_out": sorted(translation.dropped),
        },
        notes=notes,
    )
