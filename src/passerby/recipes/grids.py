"""The ablation tables of the papers, with the figures they print.

A row's ``changes`` are complete: what it has beyond the options of the grid. Figures are rank-1 and
mAP in percent unless a grid says otherwise.
"""

from dataclasses import replace
from typing import Any, Literal

from passerby.recipes import bag_of_tricks, cluster_contrast, fused_loss, pyramid
from passerby.recipes.ablation import Grid, Judgement, Row
from passerby.recipes.attention_grids import ATTENTION_GRIDS, fitting
from passerby.recipes.bag_of_tricks import BagOfTricks
from passerby.recipes.cluster_contrast import ClusterContrast
from passerby.recipes.diff_attention import AttentionOptions
from passerby.recipes.fused_loss import FusedLoss
from passerby.recipes.pyramid import Pyramid

MARKET, DUKE = "Market-1501", "DukeMTMC-reID"

Figures = tuple[float | None, ...]


def both(market: Figures, duke: Figures) -> dict[str, Figures]:
    """The two columns of most tables."""
    return {MARKET: market, DUKE: duke}


def stack(*steps: tuple[str, dict[str, Any], dict[str, Figures]]) -> tuple[Row, ...]:
    """Rows of which each keeps the changes of those above it."""
    rows: list[Row] = []
    changes: dict[str, Any] = {}
    for name, more, paper in steps:
        changes = {**changes, **more}
        rows.append(Row(name=name, changes=changes, paper=paper))
    return tuple(rows)


NO_TRICKS: dict[str, Any] = {
    "warmup": False,
    "random_erasing": False,
    "label_smoothing": False,
    "last_stride_one": False,
    "bnneck": False,
    "center_loss": False,
}

TRICKS = stack(
    ("standard baseline", NO_TRICKS, both((87.7, 74.0), (79.7, 63.7))),
    ("+ warm-up", {"warmup": True}, both((88.7, 75.2), (80.6, 65.1))),
    ("+ random erasing", {"random_erasing": True}, both((91.3, 79.3), (81.5, 68.3))),
    ("+ label smoothing", {"label_smoothing": True}, both((91.4, 80.3), (82.4, 69.3))),
    ("+ last stride 1", {"last_stride_one": True}, both((92.0, 81.7), (82.6, 70.6))),
    ("+ BNNeck", {"bnneck": True}, both((94.1, 85.7), (86.2, 75.9))),
    ("+ centre loss", {"center_loss": True}, both((94.5, 85.9), (86.4, 76.4))),
)

SINGLE_TRICKS = (
    Row(name="standard baseline", changes=NO_TRICKS),
    *(
        Row(name=f"{name} alone", changes={**NO_TRICKS, trick: True})
        for trick, name in (
            ("warmup", "warm-up"),
            ("random_erasing", "random erasing"),
            ("label_smoothing", "label smoothing"),
            ("last_stride_one", "last stride 1"),
            ("bnneck", "BNNeck"),
            ("center_loss", "centre loss"),
        )
    ),
)

NO_CENTER: dict[str, Any] = {"center_loss": False}


def euclidean(feature: Literal["after_bn", "before_bn"]) -> Judgement:
    """A test by the Euclidean distance of features as they are."""
    return Judgement(feature=feature, metric="squared_euclidean")


NECK = (
    Row(
        name="f (no neck), Euclidean",
        changes={**NO_CENTER, "bnneck": False},
        judgement=euclidean("before_bn"),
        paper=both((92.0, 81.7), (82.6, 70.6)),
    ),
    Row(
        name="f_t, Euclidean",
        changes=NO_CENTER,
        judgement=euclidean("before_bn"),
        paper=both((94.2, 85.5), (85.7, 74.4)),
    ),
    Row(
        name="f_t, cosine",
        changes=NO_CENTER,
        judgement=Judgement(feature="before_bn"),
        paper=both((94.2, 85.7), (85.5, 74.6)),
    ),
    Row(
        name="f_i, Euclidean",
        changes=NO_CENTER,
        judgement=euclidean("after_bn"),
        paper=both((93.8, 83.7), (86.6, 73.0)),
    ),
    Row(
        name="f_i, cosine",
        changes=NO_CENTER,
        judgement=Judgement(feature="after_bn"),
        paper=both((94.1, 85.7), (86.2, 75.9)),
    ),
)

# the paper's tables of batches and of sizes go with f_i, Euclidean, without centre loss
EUCLIDEAN = euclidean("after_bn")

BATCHES = tuple(
    Row(
        name=f"{P} x {K}",
        changes={**NO_CENTER, "identities": P, "images": K},
        judgement=EUCLIDEAN,
        paper=both(market, duke),
    )
    for P, K, market, duke in (
        (8, 3, (92.6, 79.2), (84.4, 68.1)),
        (8, 4, (92.9, 80.0), (84.7, 69.4)),
        (8, 6, (93.5, 81.6), (85.1, 70.7)),
        (8, 8, (93.9, 82.0), (85.8, 71.5)),
        (16, 3, (93.8, 83.1), (86.8, 72.1)),
        (16, 4, (93.8, 83.7), (86.6, 73.0)),
        (16, 6, (94.0, 82.8), (85.1, 69.9)),
        (16, 8, (93.1, 81.6), (86.7, 72.1)),
        (32, 3, (94.5, 84.1), (86.0, 71.4)),
        (32, 4, (93.2, 82.8), (86.5, 73.1)),
    )
)

SIZES = tuple(
    Row(
        name=f"{H} x {W}",
        changes={**NO_CENTER, "size": (H, W)},
        judgement=EUCLIDEAN,
        paper=both(market, duke),
    )
    for H, W, market, duke in (
        (256, 128, (93.8, 83.7), (86.6, 73.0)),
        (224, 224, (94.2, 83.3), (86.1, 72.2)),
        (384, 128, (None, None), (86.4, 73.2)),
        (384, 192, (None, None), (87.1, 72.9)),
    )
)

M_TO_D, D_TO_M = "Market to Duke", "Duke to Market"


def crossed(m_to_d: Figures, d_to_m: Figures) -> dict[str, Figures]:
    """The two columns of the cross-domain table."""
    return {M_TO_D: m_to_d, D_TO_M: d_to_m}


CROSS_DOMAIN = stack(
    ("standard baseline", NO_TRICKS, crossed((24.4, 12.9), (34.2, 14.5))),
    ("+ warm-up", {"warmup": True}, crossed((26.3, 14.1), (39.7, 17.4))),
    ("+ random erasing", {"random_erasing": True}, crossed((21.5, 10.2), (32.5, 13.5))),
    ("+ label smoothing", {"label_smoothing": True}, crossed((23.2, 11.3), (36.5, 14.9))),
    ("+ last stride 1", {"last_stride_one": True}, crossed((23.1, 11.8), (37.1, 15.4))),
    ("+ BNNeck", {"bnneck": True}, crossed((26.7, 15.2), (47.7, 21.6))),
    ("+ centre loss", {"center_loss": True}, crossed((27.5, 15.0), (47.4, 21.4))),
    ("- random erasing", {"random_erasing": False}, crossed((41.4, 25.7), (54.3, 25.5))),
)

NOTHING_FUSED: dict[str, Any] = {
    "identity_loss": "softmax",
    "triplet_loss": False,
    "center_loss": False,
    "random_erasing": False,
    "auto_augment": 0.0,
    "smoothing": 0.0,
    "last_stride_one": False,
    "bnneck": False,
}
SOFTMAX: dict[str, Any] = {"identity_loss": "softmax"}
ALONE: dict[str, Any] = {"triplet_loss": False, "center_loss": False}

FUSED_TRICKS = stack(
    ("backbone", NOTHING_FUSED, both((83.4, 69.6), (78.3, 61.2))),
    ("+ random erasing", {"random_erasing": True}, both((86.7, 71.9), (79.2, 64.9))),
    ("+ AutoAugment", {"auto_augment": 0.1}, both((87.3, 72.3), (79.7, 66.2))),
    ("+ label smoothing", {"smoothing": 0.1}, both((87.5, 72.6), (80.6, 67.5))),
    ("+ last stride 1", {"last_stride_one": True}, both((88.3, 73.5), (81.3, 68.8))),
    ("+ BN", {"bnneck": True}, both((90.1, 76.2), (85.1, 74.0))),
)

SOFTMAX_LOSSES = (
    Row(
        name="identity",
        changes={**SOFTMAX, **ALONE},
        paper=both((90.1, 76.2), (85.1, 74.0)),
    ),
    Row(
        name="identity + centre",
        changes={**SOFTMAX, "triplet_loss": False},
        paper=both((90.5, 79.5), (85.8, 75.2)),
    ),
    Row(
        name="identity + triplet",
        changes={**SOFTMAX, "center_loss": False},
        paper=both((91.3, 81.2), (86.3, 76.1)),
    ),
    Row(name="all three", changes=SOFTMAX, paper=both((93.3, 84.0), (88.3, 77.9))),
)

CIRCLE_LOSSES = (
    Row(name="circle", changes=ALONE, paper=both((90.8, 77.1), (86.0, 75.1))),
    Row(
        name="circle + centre",
        changes={"triplet_loss": False},
        paper=both((92.2, 81.7), (87.4, 76.5)),
    ),
    Row(
        name="circle + triplet",
        changes={"center_loss": False},
        paper=both((92.6, 82.7), (87.6, 76.6)),
    ),
    Row(name="all three", paper=both((95.2, 86.1), (89.6, 79.8))),
)

# printed as K x P, and with re-ranking: the row 4 x 16 is the paper's best re-ranked result
FUSED_BATCHES = tuple(
    Row(
        name=f"{K} x {P}",
        changes={"identities": P, "images": K},
        judgement=Judgement(rerank=True),
        paper=both(market, duke),
    )
    for K, P, market, duke in (
        (4, 6, (93.8, 87.9), (89.7, 77.3)),
        (4, 8, (94.5, 88.3), (90.4, 78.8)),
        (6, 8, (94.8, 89.1), (90.7, 79.6)),
        (8, 8, (95.2, 89.6), (91.0, 80.7)),
        (4, 16, (95.7, 90.5), (91.6, 81.6)),
        (6, 16, (95.3, 90.2), (90.3, 80.9)),
        (8, 16, (95.5, 90.4), (91.5, 81.2)),
    )
)


# the paper prints its tables of levels and losses as pictures; only the whole map alone is quoted
def levels(stripes: int) -> tuple[Row, ...]:
    """Each level alone, and all levels from the finest on, of ``stripes`` stripes."""
    singles = ["0" * level + "1" + "0" * (stripes - level - 1) for level in range(stripes)]
    stacked = ["1" * level + "0" * (stripes - level) for level in range(2, stripes + 1)]
    quoted = {MARKET: (92.8, 82.1)} if stripes == 6 else {}
    return tuple(
        Row(name=mask, changes={"levels": mask}, paper=quoted if mask == singles[-1] else {})
        for mask in (*singles, *stacked)
    )


DYNAMICS = (
    Row(name="identity loss alone", changes={"losses": "identity"}),
    Row(name="triplet loss alone", changes={"losses": "triplet"}),
    Row(name="sum of both", changes={"losses": "both"}),
    Row(name="dynamic (authors' code)"),
    Row(name="dynamic (text)", changes={"dynamic": "paper"}),
)

THRESHOLDS = (
    *(Row(name=f"delta {value}", changes={"delta": value}) for value in (0.08, 0.16, 0.32)),
    *(Row(name=f"alpha {value}", changes={"alpha": value}) for value in (0.1, 0.5)),
    *(Row(name=f"gamma {value:g}", changes={"gamma": value}) for value in (1.0, 4.0)),
)


def learned(
    msmt17: Figures, market: Figures, personx: Figures, duke: Figures
) -> dict[str, Figures]:
    """The columns of the table of learning without labels: mAP and rank-1."""
    return {"MSMT17": msmt17, MARKET: market, "PersonX": personx, DUKE: duke}


BARE: dict[str, Any] = {"branch": "none", "non_local": "none"}

BRANCHES = (
    Row(
        name="Cluster Contrast",
        changes={**BARE, "balance": 1.0},
        paper=learned((33.3, 63.3), (82.6, 93.0), (84.8, 94.5), (72.8, 85.7)),
    ),
    Row(name="+ label smoothing alone (not printed)", changes=BARE),
    Row(
        name="feature pyramid branch",
        changes={"non_local": "none"},
        paper=learned((37.9, 68.3), (84.8, 93.8), (88.4, 95.7), (74.4, 86.0)),
    ),
    Row(
        name="non-local blocks",
        changes={"branch": "none"},
        paper=learned((35.9, 65.7), (83.8, 93.4), (86.7, 95.1), (74.1, 86.0)),
    ),
    Row(
        name="both",
        paper=learned((40.1, 69.3), (86.5, 94.7), (89.4, 96.0), (75.3, 86.5)),
    ),
)


def _tricks(title: str, rows: tuple[Row, ...]) -> Grid:
    return Grid(
        title=f"Bag of Tricks, {title}",
        rows=rows,
        base=BagOfTricks,
        small=bag_of_tricks.small_cpu,
        run=bag_of_tricks.run,
    )


def _fused(title: str, rows: tuple[Row, ...]) -> Grid:
    return Grid(
        title=f"fused loss, {title}",
        rows=rows,
        base=FusedLoss,
        small=fused_loss.small_cpu,
        run=fused_loss.run,
    )


def _pyramid(title: str, rows: tuple[Row, ...]) -> Grid:
    return Grid(
        title=f"Pyramid, {title}",
        rows=rows,
        base=Pyramid,
        small=pyramid.small_cpu,
        run=pyramid.run,
    )


GRIDS: dict[str, Grid] = {
    "A1": Grid(
        title="Cluster Contrast, feature pyramid branch and non-local blocks",
        rows=BRANCHES,
        base=ClusterContrast,
        small=cluster_contrast.small_branches,
        run=cluster_contrast.run,
        figures=("mAP", "rank-1"),
    ),
    **ATTENTION_GRIDS,
    "D1": _tricks("the tricks stacked", TRICKS),
    "D1-single": _tricks("each trick alone (not printed)", SINGLE_TRICKS),
    "D2": _tricks("feature and metric of the test", NECK),
    "D3": _tricks("identities x images of a batch", BATCHES),
    "D4": _tricks("height x width of the pictures", SIZES),
    "D5": _tricks("trained on one set, tested on another (give it by --also)", CROSS_DOMAIN),
    "C1": _fused("tricks on the identity loss alone", FUSED_TRICKS),
    "C2": _fused("losses beside softmax", SOFTMAX_LOSSES),
    "C3": _fused("losses beside circle loss", CIRCLE_LOSSES),
    "C4": _fused("images x identities of a batch, re-ranked", FUSED_BATCHES),
    "E1": _pyramid("levels, fine to coarse", levels(6)),
    "E2": _pyramid("losses", DYNAMICS),
    "E3": _pyramid("thresholds of the dynamic rule", THRESHOLDS),
}


def fitted(grid: Grid) -> Grid:
    """A grid for the small network: half of a picture's sides, its own stripes and ratios."""
    base = grid.small()
    if isinstance(base, Pyramid) and "levels" in grid.rows[0].changes:
        return replace(grid, rows=levels(base.stripes))
    if isinstance(base, AttentionOptions):
        return fitting(grid)
    rows = [
        replace(row, changes={**row.changes, "size": tuple(side // 2 for side in size)})
        if (size := row.changes.get("size"))
        else row
        for row in grid.rows
    ]
    return replace(grid, rows=rows)
