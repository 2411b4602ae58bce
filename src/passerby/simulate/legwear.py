"""Trousers, shorts, skirts, tights, bare legs and shoes."""

import math

import numpy as np

from passerby.simulate import data_file
from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.body import Body, Limb, Pose
from passerby.simulate.clothes import cloth
from passerby.simulate.lofts import limb_rows, span_legs, trunk_rows
from passerby.simulate.mesh import Figure
from passerby.simulate.wardrobe import SKIRTS, Appearance, Garment

# along the foot from heel (-0.29) to toe (0.76), half width, height of the upper; foot lengths
UPPER = np.array(data_file("bodies")["shoe"])
# bulk, sole thickness (m), shaft as share of the leg, heel (m), shine, whether the sole contrasts
STYLE = data_file("bodies")["shoe_styles"]


def wear_lower(figure: Figure, appearance: Appearance, pose: Pose, garment: Garment) -> None:
    """Add trousers, shorts or a skirt."""
    cut = garment.cut
    row = cloth(garment, group=m.LEG_GROUP)
    row[m.HALF_GIRTH] = 0.30 * pose.body.stature / 1.75
    if garment.kind in SKIRTS:
        _skirt(figure, pose, garment, row)
        return
    pelvis = row.copy()
    pelvis[m.POCKETS], pelvis[m.LEVELS] = cut.pockets, 0.16 * pose.body.trunk_length
    ease = max(cut.ease * (1 + 0.3 * garment.fit), 0.002)
    heights = np.array([-0.20, -0.14, -0.05, 0.05, 0.18, 0.30])
    rows = trunk_rows(pose, heights, ease=np.interp(heights, [0, 0.3], [ease, 0.3 * ease]))
    rows[0, q.SIDES] *= 0.86
    figure.tube(rows, pelvis, rings=12, segments=22, wobble=0.004)
    if appearance.belt is not None:
        belt = trunk_rows(pose, np.array([0.235, 0.30]), ease=0.4 * ease + 0.006)
        figure.tube(belt, m.material(appearance.belt), rings=3, segments=20)
    _trouser_legs(figure, pose, garment, row, ease)


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
    body, cut = pose.body, garment.cut
    end = leg_share(cut.hem + garment.length, pose)
    flare = cut.flare * (1 + 0.35 * garment.fit)
    row[m.FOLD_U], row[m.FOLD_V] = 2.0, 1.9
    if garment.kind == "joggers" or garment.trim < 1:
        below = (2 * end - 1) * body.shin
        row[m.HEM] = -(2 * end * body.thigh if end < 0.5 else body.thigh + below)
    if garment.pattern == "block":
        row[m.PATTERN] = m.PLAIN
    shares = np.linspace(0, end, 11)
    widen = flare * np.clip((shares - 0.15) / max(end - 0.15, 0.1), 0, 1) ** 1.3
    for leg in pose.legs:
        lead = leg.root + np.array([-0.010 * leg.side, 0.035, 0.0]) * body.stature
        rows = limb_rows(leg, end=end, ease=ease, count=11, lead=lead)
        rows[1:, q.SIDES] += widen.reshape(-1, 1)
        if end > 0.93:
            rows[-2, q.SIDES] += 0.006 + 0.5 * max(ease - 0.01, 0)
        rows[1:, q.OCCLUSION] = np.interp(shares, [0, 0.3], [0.75, 1.0])
        figure.tube(
            rows, row, rings=24, segments=16, phase=garment.seed % 41 + 2 * leg.side,
            wobble=0.003 * cut.folds + 0.06 * (ease + flare) * cut.folds,
        )  # fmt: skip


def _skirt(figure: Figure, pose: Pose, garment: Garment, row: np.ndarray) -> None:
    cut = garment.cut
    low = cut.hem + garment.length
    heights = np.concatenate([np.linspace(low, -0.12, 7), np.array([-0.04, 0.08, 0.2, 0.31])])
    ease = cut.ease * (1 + 0.3 * garment.fit)
    rows = trunk_rows(pose, heights, ease=np.interp(heights, [0, 0.3], [ease, 0.004]))
    span_legs(pose, rows, heights, ease, cut.flare * (1 + 0.4 * garment.fit))
    rows[:, q.FOLD] = np.interp(heights, [low, 0.2], [1.0, 0.1])
    row[m.FOLD_U], row[m.FOLD_V] = 2.6, 0.7  # folds hang down
    row[m.FOLD] *= 1.3
    wobble, phase = 0.12 * max(cut.flare, 0.01), garment.seed % 43
    figure.tube(rows, row, rings=22, segments=28, wobble=wobble, phase=phase)


def bare_legs(figure: Figure, appearance: Appearance, pose: Pose, start: float) -> None:
    """Skin or tights of the legs from ``start`` (share of the leg) down to the ankle."""
    material = figure.paint(m.material(appearance.tights or appearance.skin, group=m.LEG_GROUP))
    for leg in pose.legs:
        rows = limb_rows(leg, start=start, ease=-0.002, count=11)
        figure.tube(rows, material, rings=18, segments=13)


def wear_shoes(figure: Figure, appearance: Appearance, pose: Pose, *, bare: bool) -> None:
    """Add both shoes; ``bare`` says that the leg above the ankle is seen."""
    shoes = appearance.shoes
    bulk, sole, shaft, heel, shine, contrast = STYLE[shoes.kind]
    upper = m.material(shoes.colour, shine=shine, gloss=14.0)
    if shoes.kind in ("sneaker", "runner") and shoes.seed % 3:
        upper[m.SECOND : m.SECOND + 3] = m.linear(shoes.third)
        upper[m.PATTERN], upper[m.SCALE], upper[m.DUTY] = m.VERTICAL, 0.16, 0.22
    if shoes.kind == "sandal":
        upper[m.COLOUR : m.COLOUR + 3] = m.linear(appearance.skin)
        upper[m.PATTERN], upper[m.SCALE], upper[m.DUTY] = m.HORIZONTAL, 0.075, 0.5
    tread = m.material(shoes.second if contrast else shoes.colour, kind=m.SOLID)
    if not contrast:
        tread[:3] *= 0.5
    boot = upper.copy()
    boot[m.FOLD], boot[m.GROUP] = 0.3, m.BOOT_GROUP
    sock = m.material(appearance.socks, group=m.LEG_GROUP)
    for leg in pose.legs:
        _shoe(figure, pose.body, leg, (upper, tread), (bulk, sole, heel))
        if shaft:
            rows = limb_rows(leg, start=1 - shaft, end=1.02, ease=0.011, count=6)
            figure.tube(rows, boot, rings=10, segments=12, wobble=0.003)
        elif bare and shoes.kind in ("sneaker", "runner", "leather"):
            tall = 0.80 if appearance.seed % 3 == 0 else 0.92
            rows = limb_rows(leg, start=tall, end=1.02, ease=0.004, count=4)
            figure.tube(rows, sock, rings=5, segments=10)


def _shoe(
    figure: Figure,
    body: Body,
    leg: Limb,
    materials: tuple[np.ndarray, np.ndarray],
    style: tuple[float, float, float],
) -> None:
    """Add the upper and the sole; ``style``: bulk, thickness of the sole and heel, metres."""
    bulk, sole, heel = style
    length = body.foot
    ahead = leg.tip / max(math.sqrt(float(np.sum(leg.tip * leg.tip))), 1e-9)
    level = np.array([ahead[0], 0.0, ahead[2]])
    level = level / max(math.sqrt(float(np.sum(level * level))), 1e-9)
    pitch = math.asin(min(max(float(ahead[1]), -1.0), 1.0))
    up = np.array([0.0, math.cos(pitch), 0.0]) - level * math.sin(pitch)
    ground = leg.end - up * body.ankle
    along, width, height = UPPER.T
    tall = height * length * bulk
    lift = heel * np.clip((0.35 - along) / 0.5, 0.0, 1.0)
    thick = sole + np.where(along < -0.05, heel, 0.15 * heel)
    base = ground + np.outer(along * length * bulk, ahead)
    upper = q.rows(
        len(UPPER), centre=base + np.outer(tall * 0.5 + sole * 0.3 + lift, up), front=up,
        width=width * length * bulk, depth=tall * 0.5, power=2.4, along=along * length,
        occlusion=0.85,
    )  # fmt: skip
    figure.tube(upper, materials[0], rings=12, segments=12)
    tread = q.rows(
        len(UPPER), centre=base + np.outer(lift - thick * 0.5 + sole * 0.9, up), front=up,
        width=width * length * bulk * 1.07, depth=thick * 0.55, power=4.0, along=along * length,
        occlusion=0.7,
    )  # fmt: skip
    figure.tube(tread, materials[1], rings=11, segments=10)
