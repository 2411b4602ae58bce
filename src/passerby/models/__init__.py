"""Networks: backbones, heads, model cards, weights in and out, published networks."""

from passerby.models.build import (
    ParameterCounts,
    architectures,
    build,
    parameter_counts,
    parameters,
)
from passerby.models.card import ModelCard
from passerby.models.checkpoints import Preprocessing, preprocessing
from passerby.models.convert import convert
from passerby.models.files import load, read_card, rewrite_card, save
from passerby.models.network import (
    BNNeck,
    GlobalNetwork,
    HeadOptions,
    HeadsOutput,
    ReidNetwork,
    TrainOutput,
    classifier_weights,
    heads,
)
from passerby.models.pyramid import PyramidNetwork, PyramidOutput
from passerby.models.resnet import NonLocal
from passerby.models.stripes import StripesNetwork

__all__ = [
    "BNNeck",
    "GlobalNetwork",
    "HeadOptions",
    "HeadsOutput",
    "ModelCard",
    "NonLocal",
    "ParameterCounts",
    "Preprocessing",
    "PyramidNetwork",
    "PyramidOutput",
    "ReidNetwork",
    "StripesNetwork",
    "TrainOutput",
    "architectures",
    "build",
    "classifier_weights",
    "convert",
    "heads",
    "load",
    "parameter_counts",
    "parameters",
    "preprocessing",
    "read_card",
    "rewrite_card",
    "save",
]
