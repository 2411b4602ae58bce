"""Networks: backbones, BNNeck, parts, pyramids, model cards, weights in and out."""

from passerby.models.accounting import Accounting, account
from passerby.models.build import architectures, build
from passerby.models.card import ModelCard
from passerby.models.convert import convert
from passerby.models.files import load, parameters, read_card, save
from passerby.models.heads import classifier_weights, heads
from passerby.models.network import BNNeck, GlobalNetwork, HeadOptions, ReidNetwork, TrainOutput
from passerby.models.non_local import NonLocal
from passerby.models.parts import PartsNetwork, PartsOutput
from passerby.models.preprocessing import Preprocessing, preprocessing
from passerby.models.pyramid import PyramidNetwork, PyramidOutput

__all__ = [
    "Accounting",
    "BNNeck",
    "GlobalNetwork",
    "HeadOptions",
    "ModelCard",
    "NonLocal",
    "PartsNetwork",
    "PartsOutput",
    "Preprocessing",
    "PyramidNetwork",
    "PyramidOutput",
    "ReidNetwork",
    "TrainOutput",
    "account",
    "architectures",
    "build",
    "classifier_weights",
    "convert",
    "heads",
    "load",
    "parameters",
    "preprocessing",
    "read_card",
    "save",
]
