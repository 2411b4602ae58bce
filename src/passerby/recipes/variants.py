"""Every published recipe and its variants, by the name that ``passerby train`` knows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from passerby.data import CropTable
from passerby.metrics import Report
from passerby.recipes import (
    agw,
    bag_of_tricks,
    cluster_contrast,
    diff_attention,
    fused_loss,
    pyramid,
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A recipe with its options filled in.

    Attributes:
        says: What sets it apart, in a few words.
        options: Makes the complete options.
        run: Trains and, where there are queries, tests by such options.
    """

    says: str
    options: Callable[[], Any]
    run: Callable[[Any, CropTable], Report | None]


VARIANTS: dict[str, Variant] = {
    "bag-of-tricks": Variant(
        says="the paper's settings, ResNet-50",
        options=bag_of_tricks.BagOfTricks,
        run=bag_of_tricks.run,
    ),
    "bag-of-tricks-from-scratch": Variant(
        says="ResNet-50 from random weights",
        options=bag_of_tricks.from_scratch,
        run=bag_of_tricks.run,
    ),
    "bag-of-tricks-small": Variant(
        says="a small network from random weights, for CPUs",
        options=bag_of_tricks.small_cpu,
        run=bag_of_tricks.run,
    ),
    "agw": Variant(
        says="non-local blocks, GeM, weighted triplet loss, ResNet-50",
        options=agw.Agw,
        run=agw.run,
    ),
    "agw-small": Variant(
        says="the same with a small network from random weights, for CPUs",
        options=agw.small_cpu,
        run=agw.run,
    ),
    "fused-loss": Variant(
        says="circle, triplet and centre loss, ResNet-50",
        options=fused_loss.FusedLoss,
        run=fused_loss.run,
    ),
    "fused-loss-small": Variant(
        says="the same with a small network from random weights, for CPUs",
        options=fused_loss.small_cpu,
        run=fused_loss.run,
    ),
    "pyramid": Variant(
        says="21 branches, two losses that take turns, ResNet-101",
        options=pyramid.Pyramid,
        run=pyramid.run,
    ),
    "pyramid-small": Variant(
        says="six branches on a small network from random weights, for CPUs",
        options=pyramid.small_cpu,
        run=pyramid.run,
    ),
    "diff-attention": Variant(
        says="an attention to pairs, taught to the features of a finished network",
        options=diff_attention.SeparateDiffAttention,
        run=diff_attention.run,
    ),
    "diff-attention-unit": Variant(
        says="the same for galleries of unit vectors: a second stage of passerby search",
        options=diff_attention.unit_vectors,
        run=diff_attention.run,
    ),
    "diff-attention-joint": Variant(
        says="Bag of Tricks and an attention to pairs together, ResNet-50",
        options=diff_attention.JointDiffAttention,
        run=diff_attention.run_joint,
    ),
    "diff-attention-joint-agw": Variant(
        says="AGW and an attention to pairs together, ResNet-50",
        options=diff_attention.joint_agw,
        run=diff_attention.run_joint,
    ),
    "diff-attention-joint-small": Variant(
        says="both together with a small network from random weights, for CPUs",
        options=diff_attention.joint_small,
        run=diff_attention.run_joint,
    ),
    "cluster-contrast": Variant(
        says="without labels: feature pyramid branch, non-local blocks, ResNet-50",
        options=cluster_contrast.ClusterContrast,
        run=cluster_contrast.run,
    ),
    **{
        f"cluster-contrast-{data_set}": Variant(
            says=f"the same with the settings published for {name}",
            options=partial(cluster_contrast.published, data_set),
            run=cluster_contrast.run,
        )
        for data_set, name in (
            ("market1501", "Market-1501"),
            ("dukemtmc-reid", "DukeMTMC-reID"),
            ("personx", "PersonX"),
            ("msmt17", "MSMT17"),
        )
    },
    "cluster-contrast-literal": Variant(
        says="the same with the one eps that the paper prints for all sets",
        options=cluster_contrast.paper_literal,
        run=cluster_contrast.run,
    ),
    "cluster-contrast-literal-msmt17": Variant(
        says="the same for MSMT17, whose pictures the paper has square",
        options=cluster_contrast.paper_literal_msmt17,
        run=cluster_contrast.run,
    ),
    "cluster-contrast-small": Variant(
        says="without labels: the bundled network goes on, for CPUs",
        options=cluster_contrast.small_cpu,
        run=cluster_contrast.run,
    ),
    "cluster-contrast-from-scratch-small": Variant(
        says="without labels: tracklets, then clusters, from random weights, for CPUs",
        options=cluster_contrast.small_from_scratch,
        run=cluster_contrast.run,
    ),
}
