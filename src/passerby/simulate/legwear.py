"""Trousers, shorts, skirts, tights and bare legs."""

import numpy as np

from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.appearance import Appearance, Garment
from passerby.simulate.clothes import LEG_GROUP, cloth
from passerby.simulate.figure import Figure, limb_rows, span_legs, trunk_rows
from passerby.simulate.pose import Pose
from passerby.simulate.wardrobe import CUTS, SKIRTS, Cut


def wear_lower(figure: Figure, appearance: Appearance, pose: Pose, garment: Garment) -> None:
    """Add trousers, shorts or a skirt."""
    cut = CUTS[garment.kind]
    length = pose.body.trunk_length
    row = cloth(garment, cut, group=LEG_GROUP)
    row[m.HALF_GIRTH] = 0.30 * pose.body.stature / 1.75
    if garment.kind in SKIRTS:
        _skirt(figure, pose, garment, cut, row)
        return
    pelvis = row.copy()
    pelvis[m.POCKETS], pelvis[m.LEVELS] = cut.pockets, 0.16 * length
    ease = max(cut.ease * (1 + 0.3 * garment.fit), 0.002)
    heights = np.array([-0.20, -0.14, -0.05, 0.05, 0.18, 0.30])
    rows = trunk_rows(pose, heights, ease=np.interp(heights, [0, 0.3], [ease, 0.3 * ease]))
    rows[0, q.WIDTH : q.DEPTH_BACK + 1] *= 0.86
    figure.tube(rows, figure.paint(pelvis), rings=12, segments=22, wobble=0.004)
    if appearance.belt is not None:
        _belt(figure, pose, appearance, ease)
    _trouser_legs(figure, pose, garment, row, ease)


def _belt(figure: Figure, pose: Pose, appearance: Appearance, ease: float) -> None:
    assert appearance.belt is not None
    rows = trunk_rows(pose, np.array([0.235, 0.30]), ease=0.4 * ease + 0.006)
    figure.tube(rows, figure.paint(m.material(appearance.belt)), rings=3, segments=20)


def leg_share(s: float, pose: Pose) -> float:
    """Share of the leg (0 hip .. 1 ankle) at a height in trunk lengths."""
    body = pose.body
    drop = -s * body.trunk_length
    if drop < body.thigh:
        return 0.5 * drop / body.thigh
    return min(0.5 + 0.5 * (drop - body.thigh) / body.shin, 1.0)


def _trouser_legs(
    figure: Figure, pose: Pose, garment: Garment, row: np.ndarray, ease: float
) -> None:
    body, cut = pose.body, CUTS[garment.kind]
    end = leg_share(cut.hem + garment.length, pose)
    flare = cut.flare * (1 + 0.35 * garment.fit)
    legs = row.copy()
    legs[m.FOLD_U], legs[m.FOLD_V] = 2.0, 1.9
    length = 2 * end * body.thigh if end < 0.5 else body.thigh + (2 * end - 1) * body.shin
    if garment.kind == "joggers" or garment.trim < 1:
        legs[m.HEM] = -length
    if garment.pattern == "block":
        legs[m.PATTERN] = m.PLAIN
    stack = 0.006 + 0.5 * max(ease - 0.01, 0) if end > 0.93 else 0.0
    for side, leg in zip((-1, 1), pose.legs, strict=True):
        rows = limb_rows(
            leg, body.leg, (body.thigh, body.shin), end=end, ease=(ease, ease), count=11,
            lead=leg.root + np.array([-0.010 * side, 0.035, 0.0]) * body.stature,
        )  # fmt: skip
        shares = np.linspace(0, end, 11)
        widen = flare * np.clip((shares - 0.15) / max(end - 0.15, 0.1), 0, 1) ** 1.3
        rows[1:, q.WIDTH : q.DEPTH_BACK + 1] += widen.reshape(-1, 1)
        rows[-2, q.WIDTH : q.DEPTH_BACK + 1] += stack
        rows[1:, q.OCCLUSION] = np.interp(shares, [0, 0.3], [0.75, 1.0])
        figure.tube(
            rows, figure.paint(legs), rings=24, segments=16,
            wobble=0.003 * cut.folds + 0.06 * (ease + flare) * cut.folds,
            phase=garment.seed % 41 + 2 * side,
        )  # fmt: skip


def _skirt(figure: Figure, pose: Pose, garment: Garment, cut: Cut, row: np.ndarray) -> None:
    low = cut.hem + garment.length
    heights = np.concatenate([np.linspace(low, -0.12, 7), np.array([-0.04, 0.08, 0.2, 0.31])])
    ease = cut.ease * (1 + 0.3 * garment.fit)
    rows = trunk_rows(pose, heights, ease=np.interp(heights, [0, 0.3], [ease, 0.004]))
    span_legs(pose, rows, heights, ease, cut.flare * (1 + 0.4 * garment.fit))
    rows[:, q.FOLD] = np.interp(heights, [low, 0.2], [1.0, 0.1])
    row[m.FOLD_U], row[m.FOLD_V] = 2.6, 0.7  # folds hang down
    row[m.FOLD] *= 1.3
    figure.tube(
        rows, figure.paint(row), rings=22, segments=28,
        wobble=0.12 * max(cut.flare, 0.01), phase=garment.seed % 43,
    )  # fmt: skip


def bare_legs(figure: Figure, appearance: Appearance, pose: Pose, start: float) -> None:
    """Skin or tights of the legs from ``start`` (share of the leg) down to the ankle."""
    body = pose.body
    colour = appearance.tights if appearance.tights is not None else appearance.skin
    row = m.material(colour, kind=m.CLOTH, group=LEG_GROUP)
    row[m.FOLD] = 0.0
    material = figure.paint(row)
    for leg in pose.legs:
        rows = limb_rows(
            leg, body.leg, (body.thigh, body.shin), start=start, end=1.0, ease=-0.002, count=11
        )
        figure.tube(rows, material, rings=18, segments=13)
