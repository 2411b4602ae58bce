"""Losses: one module each, a pure function first, a thin module behind it.

``triplet`` and its like are functions; their variants stand in the module of the same name, as in
``from passerby.losses.triplet import triplet_of_distances``.
"""

from passerby.losses.center import CenterLoss, center
from passerby.losses.circle import CircleLoss, PairCircleLoss, circle, pair_circle
from passerby.losses.cluster_contrast import (
    ClusterContrastLoss,
    cluster_contrast,
    cluster_contrast_of_logits,
)
from passerby.losses.cross_entropy import CrossEntropyLoss, cross_entropy
from passerby.losses.dynamic import DynamicBalance
from passerby.losses.focal import focal_weight
from passerby.losses.triplet import TripletLoss, triplet
from passerby.losses.weighted_triplet import WeightedTripletLoss, weighted_triplet

__all__ = [
    "CenterLoss",
    "CircleLoss",
    "ClusterContrastLoss",
    "CrossEntropyLoss",
    "DynamicBalance",
    "PairCircleLoss",
    "TripletLoss",
    "WeightedTripletLoss",
    "center",
    "circle",
    "cluster_contrast",
    "cluster_contrast_of_logits",
    "cross_entropy",
    "focal_weight",
    "pair_circle",
    "triplet",
    "weighted_triplet",
]
