"""Conversion of foreign checkpoints: recognised by their keys and checked tensor by tensor."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from passerby.errors import InputError, one_line
from passerby.models.build import build
from passerby.models.card import ModelCard
from passerby.models.checkpoints import read_state
from passerby.models.files import count_classes
from passerby.models.foreign.fastreid import fastreid, mgn, mgn_pytorch
from passerby.models.foreign.resnets import (
    cluster_contrast,
    fpb,
    open_unreid,
    osnet,
    pyramid,
    strong_baseline,
    torchreid,
)
from passerby.models.foreign.transformers import clip_resnet, clip_vit, solider, transreid
from passerby.models.foreign.translation import (
    SHOWN,
    Size,
    State,
    Translation,
    complete,
    listed,
)
from passerby.models.network import ReidNetwork

MAPPING = 2  # raise it whenever a change converts the same file to another network


@dataclass(frozen=True)
class Source:
    """A toolbox whose checkpoints can be converted.

    Attributes:
        name: The name of the toolbox.
        translate: The converter of its state. It also takes the input size, or None for the
            published one.
        has: Names, or prefixes that end in a dot, which its checkpoints all have.
    """

    name: str
    translate: Callable[[Mapping[str, Tensor], Size | None], Translation]
    has: tuple[str, ...]

    def fits(self, state: Mapping[str, Tensor]) -> bool:
        """Whether the checkpoint has all names and prefixes of this source."""
        return all(
            any(key.startswith(mark) if mark.endswith(".") else key == mark for key in state)
            for mark in self.has
        )


# the first that fits is taken: names of later ones may also be in checkpoints of earlier ones
SOURCES: tuple[Source, ...] = (
    Source("TransReID", transreid, ("base.cls_token", "base.blocks.")),
    Source(
        "CLIP-ReID (ViT)",
        clip_vit,
        ("image_encoder.class_embedding", "image_encoder.positional_embedding"),
    ),
    Source(
        "CLIP-ReID (ResNet)",
        clip_resnet,
        ("image_encoder.attnpool.positional_embedding", "image_encoder.layer4."),
    ),
    Source("SOLIDER", solider, ("base.patch_embed.projection.weight", "base.stages.")),
    Source(
        "SOLIDER's pre-training",
        solider,
        ("backbone.patch_embed.projection.weight", "backbone.stages."),
    ),
    Source("FPB", fpb, ("pc1.pam.", "neck.fpn_module1.")),
    Source("fast-reid MGN", mgn, ("b1.0.", "b2.0.", "b3.0.", "b1_head.")),
    Source("MGN-pytorch", mgn_pytorch, ("backone.0.weight", "reduction_0.")),
    Source("Tencent Pyramid, YouReID", pyramid, ("pyramid_conv_list0.",)),
    Source("Cluster Contrast, SpCL", cluster_contrast, ("base.0.weight", "base.4.", "feat_bn.")),
    Source("OpenUnReID", open_unreid, ("backbone.conv1.weight", "head.feat_bn.")),
    Source("fast-reid (BoT, AGW, SBS)", fastreid, ("backbone.conv1.weight", "heads.")),
    Source(
        "reid-strong-baseline, ReID-Survey (AGW), Diff Attention",
        strong_baseline,
        ("base.conv1.weight", "base.layer4.", "bottleneck."),
    ),
    Source("torchreid OSNet", osnet, ("conv1.conv.weight", "conv5.conv.weight")),
    Source("torchreid ResNet", torchreid, ("conv1.weight", "layer4.", "classifier.weight")),
)


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


def identify(state: Mapping[str, Tensor]) -> Source:
    """Find the source of a checkpoint.

    Raises:
        InputError: Its keys are of no known source.
    """
    for source in SOURCES:
        if source.fits(state):
            return source
    known = "; ".join(source.name for source in SOURCES)
    raise InputError(
        f"its tensors ('{min(state)}' ...) are of no toolbox that can be converted; there are: "
        f"{known}"
    )


def _made(
    source: Source, state: Mapping[str, Tensor], size: Size | None
) -> tuple[ReidNetwork, Translation]:
    try:
        translation = source.translate(state, size)
        return _network(translation), translation
    except InputError:
        raise
    except (IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
        # tensors of a file that is no checkpoint: without axes, without a first block ...
        raise InputError(
            f"it looks like {source.name}, but its tensors do not fit together ({one_line(error)})"
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
