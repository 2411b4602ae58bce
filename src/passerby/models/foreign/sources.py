"""Which toolbox a checkpoint comes from, told by its keys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from passerby.errors import InputError
from passerby.models.foreign.osnets import osnet
from passerby.models.foreign.resnets import (
    cluster_contrast,
    fastreid,
    open_unreid,
    pyramid,
    strong_baseline,
    torchreid,
)
from passerby.models.foreign.translation import Translation

State = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A toolbox.

    Attributes:
        name: What it is called.
        has: Names, or prefixes that end in a dot, which its checkpoints all have.
        translate: Makes of its state what we take.
    """

    name: str
    has: tuple[str, ...]
    translate: Callable[[State], Translation]

    def fits(self, state: State) -> bool:
        """Whether the checkpoint has all that marks this source."""
        return all(
            any(key.startswith(mark) if mark.endswith(".") else key == mark for key in state)
            for mark in self.has
        )


# the first that fits: marks of later ones may stand in earlier ones too
SOURCES: tuple[Source, ...] = (
    Source(
        name="Tencent Pyramid, YouReID",
        has=("pyramid_conv_list0.",),
        translate=pyramid,
    ),
    Source(
        name="Cluster Contrast, SpCL",
        has=("base.0.weight", "base.4.", "feat_bn."),
        translate=cluster_contrast,
    ),
    Source(
        name="OpenUnReID",
        has=("backbone.conv1.weight", "head.feat_bn."),
        translate=open_unreid,
    ),
    Source(
        name="fast-reid (BoT, AGW, SBS backbones with one head)",
        has=("backbone.conv1.weight", "heads."),
        translate=fastreid,
    ),
    Source(
        name="reid-strong-baseline, ReID-Survey (AGW), Diff Attention",
        has=("base.conv1.weight", "base.layer4.", "bottleneck."),
        translate=strong_baseline,
    ),
    Source(
        name="torchreid OSNet",
        has=("conv1.conv.weight", "conv5.conv.weight"),
        translate=osnet,
    ),
    Source(
        name="torchreid ResNet",
        has=("conv1.weight", "layer4.", "classifier.weight"),
        translate=torchreid,
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
