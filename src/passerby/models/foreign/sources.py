"""Which toolbox a checkpoint comes from, told by its keys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from passerby.errors import InputError
from passerby.models.foreign.fastreid import fastreid, mgn
from passerby.models.foreign.fpb import fpb
from passerby.models.foreign.mgn_pytorch import mgn_pytorch
from passerby.models.foreign.osnets import osnet
from passerby.models.foreign.resnets import (
    cluster_contrast,
    open_unreid,
    pyramid,
    strong_baseline,
    torchreid,
)
from passerby.models.foreign.transformers import clip_resnet, clip_vit, solider, transreid
from passerby.models.foreign.translation import Size, Translation

State = Mapping[str, Tensor]
Translate = Callable[[State, Size | None], Translation]


def _any_size(translate: Callable[[State], Translation]) -> Translate:
    """A convolutional network: the input size shows nowhere in it, and may be another."""

    def translated(state: State, size: Size | None) -> Translation:
        made = translate(state)
        return replace(made, input_size=size) if size else made

    return translated


@dataclass(frozen=True, kw_only=True)
class Source:
    """A toolbox.

    Attributes:
        name: What it is called.
        has: Names, or prefixes that end in a dot, which its checkpoints all have.
        translate: Makes of its state, and the input size if that is known, what we take.
    """

    name: str
    has: tuple[str, ...]
    translate: Translate

    def fits(self, state: State) -> bool:
        """Whether the checkpoint has all that marks this source."""
        return all(
            any(key.startswith(mark) if mark.endswith(".") else key == mark for key in state)
            for mark in self.has
        )


# the first that fits: marks of later ones may stand in earlier ones too
SOURCES: tuple[Source, ...] = (
    Source(
        name="TransReID",
        has=("base.cls_token", "base.blocks."),
        translate=transreid,
    ),
    Source(
        name="CLIP-ReID (ViT)",
        has=("image_encoder.class_embedding", "image_encoder.positional_embedding"),
        translate=clip_vit,
    ),
    Source(
        name="CLIP-ReID (ResNet)",
        has=("image_encoder.attnpool.positional_embedding", "image_encoder.layer4."),
        translate=clip_resnet,
    ),
    Source(
        name="SOLIDER",
        has=("base.patch_embed.projection.weight", "base.stages."),
        translate=solider,
    ),
    Source(
        name="SOLIDER's pre-training",
        has=("backbone.patch_embed.projection.weight", "backbone.stages."),
        translate=solider,
    ),
    Source(
        name="FPB",
        has=("pc1.pam.", "neck.fpn_module1."),
        translate=_any_size(fpb),
    ),
    Source(
        name="fast-reid MGN",
        has=("b1.0.", "b2.0.", "b3.0.", "b1_head."),
        translate=_any_size(mgn),
    ),
    Source(
        name="MGN-pytorch",
        has=("backone.0.weight", "reduction_0."),
        translate=_any_size(mgn_pytorch),
    ),
    Source(
        name="Tencent Pyramid, YouReID",
        has=("pyramid_conv_list0.",),
        translate=_any_size(pyramid),
    ),
    Source(
        name="Cluster Contrast, SpCL",
        has=("base.0.weight", "base.4.", "feat_bn."),
        translate=_any_size(cluster_contrast),
    ),
    Source(
        name="OpenUnReID",
        has=("backbone.conv1.weight", "head.feat_bn."),
        translate=_any_size(open_unreid),
    ),
    Source(
        name="fast-reid (BoT, AGW, SBS)",
        has=("backbone.conv1.weight", "heads."),
        translate=_any_size(fastreid),
    ),
    Source(
        name="reid-strong-baseline, ReID-Survey (AGW), Diff Attention",
        has=("base.conv1.weight", "base.layer4.", "bottleneck."),
        translate=_any_size(strong_baseline),
    ),
    Source(
        name="torchreid OSNet",
        has=("conv1.conv.weight", "conv5.conv.weight"),
        translate=_any_size(osnet),
    ),
    Source(
        name="torchreid ResNet",
        has=("conv1.weight", "layer4.", "classifier.weight"),
        translate=_any_size(torchreid),
    ),
)


def identify(state: State) -> Source:
    """The source of a checkpoint.

    Raises:
        InputError: If its keys are of no known source.
    """
    for source in SOURCES:
        if source.fits(state):
            return source
    known = "; ".join(source.name for source in SOURCES)
    raise InputError(
        f"its tensors ('{min(state)}' ...) are of no toolbox that can be converted; there are: "
        f"{known}"
    )
