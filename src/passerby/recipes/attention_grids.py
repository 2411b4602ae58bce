"""The tables of the Diff Attention paper, as far as their print is not lost."""

from dataclasses import replace
from typing import Any

from passerby.recipes import diff_attention
from passerby.recipes.ablation import Grid, Row
from passerby.recipes.diff_attention import (
    JointDiffAttention,
    SeparateDiffAttention,
    joint_agw,
    joint_small,
)

FIGURES = ("rank-1", "mAP", "mINP")
CUHK03 = "CUHK03 detected"

AGW: dict[str, Any] = {
    name: getattr(joint_agw(), name) for name in ("ratio", "pooling", "non_local", "weighted")
}

# AGW's 95.2 / 88.6 / 66.8 on Market-1501 and 68.2 / 50.0 / 15.3 on MSMT17 are printed without
# saying which training they are of
JOINT = (
    Row(name="Bag of Tricks, joint", paper={CUHK03: (64.6, 62.5, 50.2)}),
    Row(name="AGW, joint", changes=AGW, paper={CUHK03: (70.3, 69.2, 58.7)}),
)

# the figures of these two tables are lost
TRANSFORMS = (
    Row(name="q - g", changes={"transform": "difference"}),
    Row(name="(q - g)^2", changes={"transform": "square"}),
    Row(name="|q - g|"),
)
RATIOS = tuple(Row(name=f"r = {2**n}", changes={"ratio": 2**n}) for n in range(11))

SMALL_DIMENSION = 256


def _joint_small() -> JointDiffAttention:
    # the paper's ratio of 512 exceeds the small network's 256 dimensions
    return replace(joint_small(), ratio=64)


ATTENTION_GRIDS: dict[str, Grid] = {
    "B1": Grid(
        title="Diff Attention, joint training",
        rows=JOINT,
        base=JointDiffAttention,
        small=_joint_small,
        run=diff_attention.run_joint,
        figures=FIGURES,
    ),
    "B2": Grid(
        title="Diff Attention, input transform, separate training",
        rows=TRANSFORMS,
        base=SeparateDiffAttention,
        small=SeparateDiffAttention,
        run=diff_attention.run,
        figures=FIGURES,
    ),
    "B3": Grid(
        title="Diff Attention, ratio of the hidden layer, separate training",
        rows=RATIOS,
        base=SeparateDiffAttention,
        small=SeparateDiffAttention,
        run=diff_attention.run,
        figures=FIGURES,
    ),
}


def fitting(grid: Grid, dimension: int = SMALL_DIMENSION) -> Grid:
    """The grid without ratios that exceed features of ``dimension``."""
    rows = [row for row in grid.rows if row.changes.get("ratio", 1) <= dimension]
    return replace(grid, rows=rows)
