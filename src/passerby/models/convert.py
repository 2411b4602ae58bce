"""Foreign checkpoints in: recognised by their keys, checked tensor by tensor, with a card."""

import hashlib
from pathlib import Path

import torch

from passerby.errors import InputError
from passerby.models.build import build
from passerby.models.card import ModelCard
from passerby.models.checkpoints import read_state
from passerby.models.foreign.sources import Source, identify
from passerby.models.foreign.translation import Translation, complete
from passerby.models.network import ReidNetwork

MAPPING = 1  # raised whenever the same file would be converted to another network


def convert(path: Path | str) -> tuple[ReidNetwork, ModelCard]:
    """Read a checkpoint of another toolbox; nothing in the file is executed.

    Which toolbox it is follows from the names of its tensors, and with it how the network is run:
    a missing ReLU in the stem, a shifted pooling, the interpolation. Every tensor is either taken
    or of a kind that is known to be left out.

    Args:
        path: A file of torch or safetensors.

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
        translation = source.translate(state)
        network = _network(translation)
    except InputError as error:
        raise InputError(f"'{path}' cannot be converted: {error}") from error
    return network.eval(), _card(path, source, translation, network)


def _network(translation: Translation) -> ReidNetwork:
    classifier = next(
        (
            translation.state[key]
            for key in ("classifier.weight", "classifiers.weight")
            if key in translation.state
        ),
        None,
    )
    network = build(
        translation.architecture,
        num_classes=0 if classifier is None else int(classifier.shape[-2]),
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
    wrong = sorted(k for k in wanted.keys() & state.keys() if wanted[k].shape != state[k].shape)
    for what, keys in (("lacks", missing), ("has beyond it", extra), ("differs in", wrong)):
        if keys:
            raise InputError(
                f"it does not fit {translation.architecture}: it {what} {len(keys)} tensors, "
                f"the first '{keys[0]}'"
            )
    network.load_state_dict(
        {key: value.to(wanted[key].dtype) for key, value in state.items()}, strict=True
    )
    _refuse_broken(network)
    return network


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
