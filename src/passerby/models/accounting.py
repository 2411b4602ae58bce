"""How many parameters a network adds to the plain residual network it grows on.

"Adds 1.5 million to ResNet-50's 25.56 million" can be read in two ways: the 25.56 million hold the
ImageNet classifier, which no re-ID network has. Both readings are given.
"""

from dataclasses import dataclass

import torch

from passerby.models.build import build
from passerby.models.files import parameters
from passerby.models.resnet import SHAPES
from passerby.models.structure import Structure

IMAGENET_CLASSES = 1000


@dataclass(frozen=True, kw_only=True)
class Accounting:
    """Parameters of a network without a classifier of identities.

    Attributes:
        total: All, BNNecks included.
        trunk: Of the same residual network with a BNNeck and nothing else.
        imagenet: Of that residual network as published: no BNNeck, a classifier of 1000 classes.
    """

    total: int
    trunk: int
    imagenet: int

    @property
    def over_trunk(self) -> int:
        """What the network adds to the trunk."""
        return self.total - self.trunk

    @property
    def over_imagenet(self) -> int:
        """What it adds to the published count (negative: it is smaller)."""
        return self.total - self.imagenet


def account(architecture: str, structure: Structure | None = None) -> Accounting | None:
    """Count the parameters of ``architecture``; None where it stands on no residual network.

    Raises:
        InputError: If there is no such architecture, or the structure does not suit it.
    """
    with torch.device("meta"):
        network = build(architecture, structure=structure)
        shape = getattr(network.backbone, "shape", None)
        names = [name for name, known in SHAPES.items() if known == shape]
        if not names:
            return None
        plain = build(names[0])
    trunk = parameters(plain.backbone)
    dimension = plain.dimension
    return Accounting(
        total=parameters(network),
        trunk=parameters(plain),
        imagenet=trunk + (dimension + 1) * IMAGENET_CLASSES,
    )
