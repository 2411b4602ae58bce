"""Losses, one in each module: a pure function, and a module where a loss has parameters or state.

Variants of a loss are in the module of its name, as in
``from passerby.losses.triplet import triplet_of_distances``.
"""

from passerby.losses.center import CenterLoss, center
from passerby.losses.circle import circle, pair_circle
from passerby.losses.cluster_contrast import cluster_contrast, cluster_contrast_of_logits
from passerby.losses.cross_entropy import cross_entropy
from passerby.losses.dynamic import DynamicBalance, focal_weight
from passerby.losses.triplet import triplet
from passerby.losses.weighted_triplet import weighted_triplet

__all__ = [
    "CenterLoss",
    "DynamicBalance",
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
