"""A network whose feature is a learnt projection of the pooled map."""

from dataclasses import dataclass

from torch import Tensor, nn

from passerby.errors import InputError
from passerby.models.network import (
    HeadOptions,
    ReidNetwork,
    TrainOutput,
    classify,
    make_classifier,
    make_neck,
)
from passerby.models.pooling import make_pooling
from passerby.models.structure import StructureReader


@dataclass(frozen=True, kw_only=True)
class EmbeddingStructure:
    """Options of the projection.

    Attributes:
        embedding: D, the length of the feature.
        embedding_norm: Whether the projection has a bias, a batch normalisation and perhaps a ReLU
            of its own, as in OSNet; without, it is a bare product before the neck, as in fast-reid
            and SOLIDER.
        embedding_relu: Whether a ReLU follows the projection's batch normalisation, as in OSNet.
    """

    embedding: int = 512
    embedding_norm: bool = True
    embedding_relu: bool = True


class EmbeddedNetwork(ReidNetwork):
    """Backbone, pooling, linear projection with batch normalisation and ReLU, neck, classifier.

    OSNet's head (Zhou et al., ICCV 2019), and that of torchreid's ``resnet50_fc512``, neither of
    which has a neck; or, without normalisation and ReLU, fast-reid's head with an embedding.
    """

    def __init__(
        self, backbone: nn.Module, channels: int, options: HeadOptions, shape: EmbeddingStructure
    ) -> None:
        """Put the parts together.

        Args:
            backbone: (B, 3, H, W) -> (B, channels, h, w).
            channels: Of the backbone's map.
            options: Pooling, neck, classifier, test feature.
            shape: The projection.
        """
        super().__init__()
        if shape.embedding < 1:
            raise InputError(f"an embedding of {shape.embedding} dimensions; give at least 1")
        self.dimension = shape.embedding
        self.feature = options.feature
        self.backbone = backbone
        self.pool = make_pooling(options.pooling)
        self.embed = _projection(channels, shape)
        self.bnneck = make_neck(shape.embedding, options.neck)
        self.classifier = make_classifier(shape.embedding, options)

    def forward(self, images: Tensor) -> Tensor | TrainOutput:
        """Features of normalised pictures (B, 3, H, W)."""
        before = self.embed(self.pool(self.backbone(images)))
        if not self.training and self.feature == "before_bn":
            return before
        after = self.bnneck(before)
        if not self.training:
            return after
        return TrainOutput(before, after, classify(self.classifier, after))


def _projection(channels: int, shape: EmbeddingStructure) -> nn.Sequential:
    linear = nn.Linear(channels, shape.embedding, bias=shape.embedding_norm)
    if not shape.embedding_norm:
        return nn.Sequential(linear)
    relu = nn.ReLU(inplace=True) if shape.embedding_relu else nn.Identity()
    return nn.Sequential(linear, nn.BatchNorm1d(shape.embedding), relu)


def embedded(backbone: nn.Module, options: HeadOptions, reader: StructureReader) -> ReidNetwork:
    """The head as :func:`passerby.models.build` knows it."""
    channels = int(backbone.dimension)  # type: ignore[arg-type]
    return EmbeddedNetwork(backbone, channels, options, reader.take(EmbeddingStructure))
