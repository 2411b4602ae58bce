"""Every published recipe and its variants, by the name that ``passerby train`` takes."""

from collections.abc import Callable
from typing import Any, NamedTuple

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


class Recipe(NamedTuple):
    """A recipe with its options filled in.

    Attributes:
        options: Makes the complete options; the first line of its docstring describes them.
        run: Trains and, where there are queries, tests by such options.
    """

    options: Callable[[], Any]
    run: Callable[[Any, CropTable], Report | None]

    @property
    def title(self) -> str:
        """One line of what it is."""
        return (self.options.__doc__ or "").splitlines()[0].rstrip(".")


RECIPES: dict[str, Recipe] = {
    "bag-of-tricks": Recipe(bag_of_tricks.BagOfTricks, bag_of_tricks.run),
    "bag-of-tricks-from-scratch": Recipe(bag_of_tricks.from_scratch, bag_of_tricks.run),
    "bag-of-tricks-small": Recipe(bag_of_tricks.small_cpu, bag_of_tricks.run),
    "agw": Recipe(agw.Agw, agw.run),
    "agw-small": Recipe(agw.small_cpu, agw.run),
    "fused-loss": Recipe(fused_loss.FusedLoss, fused_loss.run),
    "fused-loss-small": Recipe(fused_loss.small_cpu, fused_loss.run),
    "pyramid": Recipe(pyramid.Pyramid, pyramid.run),
    "pyramid-authors": Recipe(pyramid.authors, pyramid.run),
    "pyramid-small": Recipe(pyramid.small_cpu, pyramid.run),
    "diff-attention": Recipe(diff_attention.SeparateDiffAttention, diff_attention.run),
    "diff-attention-unit": Recipe(diff_attention.unit_vectors, diff_attention.run),
    "diff-attention-joint": Recipe(diff_attention.JointDiffAttention, diff_attention.run_joint),
    "diff-attention-joint-agw": Recipe(diff_attention.joint_agw, diff_attention.run_joint),
    "diff-attention-joint-small": Recipe(diff_attention.joint_small, diff_attention.run_joint),
    "cluster-contrast": Recipe(cluster_contrast.ClusterContrast, cluster_contrast.run),
    "cluster-contrast-market1501": Recipe(cluster_contrast.market1501, cluster_contrast.run),
    "cluster-contrast-dukemtmc-reid": Recipe(cluster_contrast.dukemtmc_reid, cluster_contrast.run),
    "cluster-contrast-personx": Recipe(cluster_contrast.personx, cluster_contrast.run),
    "cluster-contrast-msmt17": Recipe(cluster_contrast.msmt17, cluster_contrast.run),
    "cluster-contrast-literal": Recipe(cluster_contrast.paper_literal, cluster_contrast.run),
    "cluster-contrast-literal-msmt17": Recipe(
        cluster_contrast.paper_literal_msmt17, cluster_contrast.run
    ),
    "cluster-contrast-small": Recipe(cluster_contrast.small_cpu, cluster_contrast.run),
    "cluster-contrast-branches-small": Recipe(
        cluster_contrast.small_branches, cluster_contrast.run
    ),
    "cluster-contrast-from-scratch-small": Recipe(
        cluster_contrast.small_from_scratch, cluster_contrast.run
    ),
}
