"""Networks: backbones, BNNeck, model cards, weights in and out."""

from passerby.models.build import architectures, build
from passerby.models.card import ModelCard
from passerby.models.files import load, parameters, read_card, save
from passerby.models.network import BNNeck, ReidNetwork, TrainOutput

__all__ = [
    "BNNeck",
    "ModelCard",
    "ReidNetwork",
    "TrainOutput",
    "architectures",
    "build",
    "load",
    "parameters",
    "read_card",
    "save",
]
