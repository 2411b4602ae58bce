"""A re-ID network: backbone, pooling, BNNeck and classifier, with one head or with several."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from passerby.errors import InputError
from passerby.models.structure import check_range

Feature = Literal["after_bn", "before_bn"]


class TrainOutput(NamedTuple):
    """What one head of a network gives to the losses in training.

    Attributes:
        before_bn: (B, D) pooled feature f_t. Metric losses (triplet, centre) take it.
        after_bn: (B, D) feature f_i after the BNNeck. Without a neck it equals ``before_bn``.
        logits: (B, C) class scores. The shape is (B, 0) when the network has no classifier.
    """

    before_bn: Tensor
    after_bn: Tensor
    logits: Tensor


class HeadsOutput(NamedTuple):
    """What the heads of a network with several heads give to the losses in training.

    Attributes:
        heads: The global head comes first. The heads of stripes follow from top to bottom.
    """

    heads: tuple[TrainOutput, ...]


class HasHeads(Protocol):
    """Any training output that lists its heads, such as that of a pyramid."""

    @property
    def heads(self) -> tuple[TrainOutput, ...]:
        """The heads, in the order of the network's classifiers."""


def heads(output: TrainOutput | HasHeads) -> tuple[TrainOutput, ...]:
    """List the heads of any network's training output, so that a loss applies to each.

    A head without a normalisation of its own has ``after_bn`` equal to ``before_bn``.
    """
    return (output,) if isinstance(output, TrainOutput) else output.heads


class BNNeck(nn.BatchNorm1d):
    """Batch normalisation between the metric losses and the identity loss; its bias stays 0.

    Luo et al., Bag of Tricks, CVPRW 2019, section 3.5. Without a bias the classifier's hyperplanes
    pass through the origin. The identity loss then shapes angles, and cosine suits the test.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.bias.requires_grad_(False)


class AveragePooling(nn.Module):
    """Global average pooling, (B, D, H, W) -> (B, D)."""

    def forward(self, features: Tensor) -> Tensor:
        """Take the mean over the H x W positions."""
        return features.mean(dim=(2, 3))


class MaximumPooling(nn.Module):
    """Global maximum pooling, (B, D, H, W) -> (B, D), as in MGN."""

    def forward(self, features: Tensor) -> Tensor:
        """Take the maximum over the H x W positions."""
        return features.amax(dim=(2, 3))


class GeneralizedMeanPooling(nn.Module):
    """GeM pooling: ``(mean(clamp(x, eps) ** p)) ** (1 / p)``, (B, D, H, W) -> (B, D).

    All channels share one ``p``. It is learnt from the start value 3, as in AGW (Ye et al. 2021)
    and Cluster Contrast, or it is fixed, as in fast-reid's AGW. ``p = 1`` is average pooling, and a
    large ``p`` approaches maximum pooling.
    """

    p: Tensor

    def __init__(self, p: float = 3.0, eps: float = 1e-6, *, learnt: bool = True) -> None:
        super().__init__()
        if learnt:
            self.p = nn.Parameter(torch.tensor([p]))
        else:
            self.register_buffer("p", torch.tensor([p]), persistent=False)
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        """Take the power mean over the H x W positions, in float32 or float64."""
        # powers overflow in half precision
        with torch.autocast(features.device.type, enabled=False):
            wide = features if features.dtype == torch.float64 else features.float()
            raised = wide.clamp(min=self.eps).pow(self.p)
            return raised.mean(dim=(2, 3)).pow(1.0 / self.p)


POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "average": AveragePooling,
    "gem": GeneralizedMeanPooling,
    "gem-fixed": lambda: GeneralizedMeanPooling(learnt=False),
    "maximum": MaximumPooling,
}


def make_pooling(name: str) -> nn.Module:
    """Make a pooling by name.

    Raises:
        InputError: There is no pooling of that name.
    """
    if name not in POOLINGS:
        raise InputError(f"no pooling '{name}'; there are {', '.join(sorted(POOLINGS))}")
    return POOLINGS[name]()


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """Options of what follows the backbone.

    Attributes:
        num_classes: C training identities; 0 for a network without a classifier.
        pooling: ``"average"``, ``"maximum"``, ``"gem"`` (p learnt) or ``"gem-fixed"`` (p = 3).
        neck: Whether there is a BNNeck. With it the classifier has no bias and weights from
            N(0, 0.001). Without it, as in the standard baseline, the classifier has a bias and
            PyTorch's own initialisation.
        feature: Which feature the test uses.
    """

    num_classes: int = 0
    pooling: str = "average"
    neck: bool = True
    feature: Feature = "after_bn"


@dataclass(frozen=True, kw_only=True)
class EmbeddingStructure:
    """Options of an embedding head: a linear projection of the pooled map.

    Attributes:
        embedding: D, the length of the feature.
        embedding_norm: Whether the projection has a bias and a batch normalisation, as in OSNet.
            Without them it is a bare matrix product before the neck, as in fast-reid and SOLIDER.
        embedding_relu: Whether a ReLU follows that batch normalisation, as in OSNet.
    """

    embedding: int = 512
    embedding_norm: bool = True
    embedding_relu: bool = True

    def __post_init__(self) -> None:
        """Check the dimension."""
        check_range(self, embedding=(1, 1 << 16))


class ReidNetwork(nn.Module):
    """A network from pictures to identity features; the base class of all networks here.

    In training mode a call returns a named tuple of what the losses need. In evaluation mode it
    returns the test feature (B, ``dimension``), which is not yet L2-normalised.
    """

    dimension: int
    """D, the length of the test feature."""
    feature: Feature
    """Which feature the test uses."""
    backbone: nn.Module
    """(B, 3, H, W) -> (B, channels, h, w)."""
    classifier: nn.Linear | None
    """The identity classifier of a network with one head; None without one or with several."""


class GlobalNetwork(ReidNetwork):
    """A network with one feature of the whole picture: backbone, pooling, BNNeck, classifier.

    A linear projection may follow the pooling. With normalisation and ReLU it is the head of OSNet
    (Zhou et al., ICCV 2019) and of torchreid's ``resnet50_fc512``, neither of which has a neck.
    Without them it is fast-reid's head with an embedding. In training mode a call returns
    :class:`TrainOutput`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        options: HeadOptions,
        structure: EmbeddingStructure | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            backbone: (B, 3, H, W) -> (B, ``backbone.dimension``, h, w).
            options: Pooling, neck, classifier, test feature.
            structure: The projection; None for none.
        """
        super().__init__()
        channels = channels_of(backbone)
        self.dimension = channels if structure is None else structure.embedding
        self.feature = options.feature
        self.backbone = backbone
        self.pool = make_pooling(options.pooling)
        self.embed = nn.Identity() if structure is None else _projection(channels, structure)
        self.bnneck = make_neck(self.dimension, options.neck)
        self.classifier = make_classifier(self.dimension, options)

    def forward(self, images: Tensor) -> Tensor | TrainOutput:
        """Compute features of normalised pictures (B, 3, H, W)."""
        before: Tensor = self.embed(self.pool(self.backbone(images)))
        if not self.training and self.feature == "before_bn":
            return before
        after: Tensor = self.bnneck(before)
        if not self.training:
            return after
        return TrainOutput(before, after, classify(self.classifier, after))


class SeveralHeads(ReidNetwork):
    """The base class of networks with several heads, each with a BNNeck and a classifier.

    A network of this kind defines :meth:`head_features` and calls :meth:`add_heads` at the end of
    its ``__init__``. In training mode a call returns :class:`HeadsOutput`; the test feature is
    the concatenation of all heads' features.
    """

    def add_heads(self, widths: Sequence[int], options: HeadOptions) -> None:
        """Add a BNNeck for each feature, and a classifier for each when there are identities.

        Args:
            widths: Length of each head's feature.
            options: Necks, classifiers and test feature, the same for every head.
        """
        self.feature = options.feature
        self.dimension = sum(widths)
        self.classifier = None
        self.bnnecks = nn.ModuleList(make_neck(width, options.neck) for width in widths)
        made = [make_classifier(width, options) for width in widths]
        self.classifiers = nn.ModuleList(one for one in made if one is not None)

    def head_features(self, images: Tensor) -> list[Tensor]:
        """Compute the heads' features before their necks, each (B, its width)."""
        raise NotImplementedError

    def joined(self, features: list[Tensor]) -> Tensor:
        """Join the heads' features into the test feature (B, ``dimension``)."""
        return torch.cat(features, dim=1)

    def forward(self, images: Tensor) -> Tensor | HeadsOutput:
        """Compute features of normalised pictures (B, 3, H, W)."""
        before = self.head_features(images)
        if not self.training and self.feature == "before_bn":
            return self.joined(before)
        after = [neck(one) for neck, one in zip(self.bnnecks, before, strict=True)]
        if not self.training:
            return self.joined(after)
        used: list[nn.Module | None] = [*self.classifiers] or [None] * len(after)
        pairs = zip(before, after, used, strict=True)
        return HeadsOutput(tuple(TrainOutput(f, g, classify(one, g)) for f, g, one in pairs))


def channels_of(backbone: nn.Module) -> int:
    """Read the number of channels of a backbone's map from its attribute ``dimension``."""
    return int(backbone.dimension)  # type: ignore[arg-type]


def make_neck(dimension: int, neck: bool) -> nn.Module:
    """Make a BNNeck, or the identity when ``neck`` is false."""
    return BNNeck(dimension) if neck else nn.Identity()


def make_classifier(dimension: int, options: HeadOptions) -> nn.Linear | None:
    """Make the identity classifier that :class:`HeadOptions` describes."""
    if not options.num_classes:
        return None
    classifier = nn.Linear(dimension, options.num_classes, bias=not options.neck)
    if options.neck:
        nn.init.normal_(classifier.weight, std=0.001)
    return classifier


def classify(classifier: nn.Module | None, features: Tensor) -> Tensor:
    """Compute class scores (B, C) of features (B, D); (B, 0) without a classifier."""
    if classifier is None:
        return torch.empty(features.shape[0], 0, device=features.device, dtype=features.dtype)
    scores: Tensor = classifier(features)
    return scores


def classifier_weights(network: nn.Module) -> list[Tensor]:
    """List the identity classifiers' weights (C, D), one for each of :func:`heads`, in their order.

    Raises:
        InputError: The network has no classifier.
    """
    one, several = getattr(network, "classifier", None), getattr(network, "classifiers", None)
    weights: list[Tensor] = [] if one is None else [one.weight]
    if isinstance(several, nn.ModuleList | nn.ModuleDict):
        each = several.values() if isinstance(several, nn.ModuleDict) else several
        weights += [module.weight for module in each if isinstance(module, nn.Linear)]
    elif several is not None:  # stacked: (heads, C, D)
        weights += several.weight.unbind(0)
    if not weights:
        raise InputError("the network has no classifier; build it with its number of identities")
    return weights


def _projection(channels: int, structure: EmbeddingStructure) -> nn.Sequential:
    linear = nn.Linear(channels, structure.embedding, bias=structure.embedding_norm)
    if not structure.embedding_norm:
        return nn.Sequential(linear)
    relu = nn.ReLU(inplace=True) if structure.embedding_relu else nn.Identity()
    return nn.Sequential(linear, nn.BatchNorm1d(structure.embedding), relu)
