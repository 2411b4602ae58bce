"""Conversion of foreign checkpoints: recognised by their keys and checked tensor by tensor."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from passerby.errors import InputError, one_line
from passerby.files import sha256
from passerby.models.build import build
from passerby.models.card import ModelCard
from passerby.models.checkpoints import read_state
from passerby.models.files import count_classes
from passerby.models.foreign import resnets, transformers
from passerby.models.foreign.translation import (
    SHOWN,
    Checkpoint,
    Facts,
    Renaming,
    Size,
    State,
    Translation,
    complete,
    listed,
    read_renamings,
)
from passerby.models.network import ReidNetwork

MAPPING = 2  # raise it whenever a change converts the same file to another network

SOURCES = read_renamings()

CONVERTERS: dict[str, Callable[[Checkpoint], Facts]] = {
    "transreid_jigsaw": transformers.transreid_jigsaw,
    "transreid": transformers.transreid,
    "clip_vit": transformers.clip_vit,
    "clip_resnet": transformers.clip_resnet,
    "solider": transformers.solider,
    "solider_pretraining": transformers.solider,
    "fpb": resnets.fpb,
    "mgn": resnets.mgn,
    "mgn_pytorch": resnets.mgn_pytorch,
    "pyramid": resnets.pyramid,
    "cluster_contrast": resnets.one_head,
    "open_unreid": resnets.one_head,
    "fastreid": resnets.fastreid,
    "strong_baseline": resnets.strong_baseline,
    "osnet": resnets.osnet,
    "torchreid": resnets.torchreid,
}


def convert(
    path: Path | str, *, input_size: tuple[int, int] | None = None
) -> tuple[ReidNetwork, ModelCard]:
    """Read a checkpoint of another toolbox; nothing in the file is executed.

    The names of its tensors tell the toolbox, and so the details of the network: a missing ReLU in
    the stem, a shifted pooling, the interpolation. Every tensor is either taken or of a kind that
    is left out on purpose.

    Args:
        path: A file of torch or safetensors.
        input_size: (H, W) of the pictures of its training, where that is not the published one. A
            transformer's number of positions must fit it.

    Returns:
        The network in evaluation mode, and its card. The card's ``training`` names the source and
        the tensors that were left out. The licence is left empty.

    Raises:
        InputError: The file cannot be read safely, is of no known toolbox, or has too many or too
            few tensors, or tensors of another shape.
    """
    path = Path(path)
    state = read_state(path)
    try:
        source = identify(state)
        network, translation = _made(source, state, input_size)
    except InputError as error:
        raise InputError(f"'{path}' cannot be converted: {error}") from error
    return network.eval(), _card(path, source, translation, network)


def identify(state: Mapping[str, Tensor]) -> Renaming:
    """Find the source of a checkpoint.

    Raises:
        InputError: Its names are of no known source.
    """
    for source in SOURCES:
        if source.fits(state):
            return source
    known = "; ".join(dict.fromkeys(source.name for source in SOURCES))
    raise InputError(
        f"its tensors ('{min(state)}' ...) are of no toolbox that can be converted; there are: "
        f"{known}"
    )


def _made(
    source: Renaming, state: Mapping[str, Tensor], size: Size | None
) -> tuple[ReidNetwork, Translation]:
    try:
        translation = _translation(source, state, size)
        return _network(translation), translation
    except InputError:
        raise
    except (IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
        # tensors of a file that is no checkpoint: without axes, without a first block ...
        raise InputError(
            f"it looks like {source.name}, but its tensors do not fit together ({one_line(error)})"
        ) from error


def _translation(source: Renaming, state: Mapping[str, Tensor], size: Size | None) -> Translation:
    renamed, dropped = source.rename(state)
    found = Checkpoint(state, renamed, dropped, size)
    described = CONVERTERS[source.key](found)
    facts = {**source.card, **described}
    if "notes" in source.card:
        facts["notes"] = source.card["notes"] + described.get("notes", "")
    if size is not None:
        facts["input_size"] = size
    return Translation(state=found.state, dropped=tuple(found.dropped), **facts)


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


def _card(
    path: Path, source: Renaming, translation: Translation, network: ReidNetwork
) -> ModelCard:
    digest = sha256(path)
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
