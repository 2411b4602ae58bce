"""Garments as surfaces around the posed body."""

import math

import numpy as np

from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.appearance import Appearance, Garment
from passerby.simulate.figure import Figure, ellipsoid_rows, limb_rows, span_legs, trunk_rows
from passerby.simulate.pose import Limb, Pose
from passerby.simulate.wardrobe import CUTS, SKIRTS, Cut

TRUNK_GROUP, LEG_GROUP, SKIN_GROUP = 1, 2, 3  # normals are smoothed within a group


def cloth(garment: Garment, cut: Cut, *, group: int) -> np.ndarray:
    """Material row of a garment: colours, print, fabric, folds, highlight."""
    row = m.material(garment.colour, group=group)
    row[m.SECOND : m.SECOND + 3] = m.linear(garment.second)
    row[m.THIRD : m.THIRD + 3] = m.linear(garment.third)
    row[m.PATTERN] = m.PATTERNS[garment.pattern]
    row[m.SCALE], row[m.DUTY] = garment.scale, garment.duty
    row[m.SEED] = (garment.seed % 997) / 31.0
    if garment.pattern in ("floral", "camouflage"):
        row[m.OFFSET_U] = (garment.seed % 53) * 0.37
    row[m.FABRIC] = m.FABRICS[cut.fabric]
    row[m.WEAR] = (garment.seed % 7) / 6.0
    row[m.FOLD] = 0.42 * cut.folds
    row[m.FOLD_U], row[m.FOLD_V] = 2.4, 1.5
    row[m.SHINE], row[m.GLOSS] = cut.shine, 7.0
    row[m.QUILT] = cut.quilt
    row[m.HEM_SHADE], row[m.HEM_BAND] = garment.trim, 0.045
    return row


def _print_logo(row: np.ndarray, garment: Garment) -> None:
    row[m.LOGO] = m.LOGOS[garment.logo]
    row[m.LOGO_U], row[m.LOGO_V] = garment.logo_place
    row[m.LOGO_WIDTH], row[m.LOGO_HEIGHT] = garment.logo_size
    row[m.LOGO_SEED] = garment.seed % 97
    row[m.LOGO_BACK] = float(garment.logo_back)
    row[m.INK : m.INK + 3] = m.linear(garment.ink)


def _straps(row: np.ndarray, appearance: Appearance, pose: Pose) -> None:
    """Paint the straps of worn bags on a garment of the trunk."""
    length = pose.body.trunk_length
    for thing in appearance.carried:
        if thing.kind == "backpack":
            row[m.STRAP] = 1
        elif thing.kind == "cross bag":
            row[m.STRAP] = 2 if thing.side > 0 else 3
        else:
            continue
        row[m.STRAP_COLOUR : m.STRAP_COLOUR + 3] = m.linear(thing.colour) * 0.8
    row[m.LEVELS + 1] = 0.45 * length
    row[m.LEVELS + 2] = 0.92 * length
    row[m.LEVELS + 3] = 0.52 * length


def trunk_material(appearance: Appearance, garment: Garment, pose: Pose) -> np.ndarray:
    """Material row of an upper garment, with its front, collar, pockets, logo and straps."""
    cut = CUTS[garment.kind]
    length = pose.body.trunk_length
    row = cloth(garment, cut, group=TRUNK_GROUP)
    _print_logo(row, garment)
    row[m.LOGO_V] *= length / 0.55
    row[m.SPLIT] = (0.35 + 0.3 * ((garment.seed % 11) / 10)) * length
    row[m.FRONT_LINE] = {0: 0, 1: 1, 2: 2, 3: 1 + garment.seed % 2}[cut.front]
    if garment.opening > 0:
        row[m.FRONT_LINE] = 0
    row[m.HEM] = (cut.hem + garment.length) * length
    row[m.COLLAR] = (0.965 if cut.front or cut.collar else 0.985) * length
    row[m.POCKETS] = cut.pockets
    row[m.LEVELS] = {1: 0.12, 3: 0.52, 4: 0.04}.get(cut.pockets, 0.1) * length
    row[m.BANDS] = float(garment.kind == "safety vest")
    _straps(row, appearance, pose)
    return row


def wear_upper(
    figure: Figure, appearance: Appearance, pose: Pose, garment: Garment, *, under: float
) -> float:
    """Add a shirt, jacket, coat or dress; returns the air it leaves for the next layer.

    Args:
        figure: what the surfaces are added to.
        appearance: the person.
        pose: the posed skeleton.
        garment: what is worn.
        under: thickness of the layers below, metres.
    """
    cut = CUTS[garment.kind]
    row = trunk_material(appearance, garment, pose)
    ease = under + max(0.85 * cut.ease * (1 + 0.35 * garment.fit), 0.003)
    tucked = _tucked(appearance, garment)
    low = 0.24 if tucked else cut.hem + garment.length
    top = 1.03 if cut.collar > 0 else 0.995
    heights = np.concatenate([
        np.linspace(low, min(-0.1, low + 0.4), 5) if low < -0.3 else np.array([low]),
        np.array([] if tucked else [0.05, 0.18]), np.array([0.32, 0.48, 0.62, 0.75, 0.86, 0.93, 0.985, top]),
    ])  # fmt: skip
    air = np.interp(
        heights,
        [0.6, 0.86, 0.95, 1.03],
        [ease, 0.5 * ease, 0.25 * ease + 0.003, 0.2 * ease + 0.004],
    )
    rows = trunk_rows(pose, heights, ease=air, straight=min(cut.straight + 0.2 * garment.fit, 1))
    span_legs(pose, rows, heights, ease, cut.flare * (1 + 0.3 * garment.fit))
    if not tucked:
        _clear_waist(rows, heights, appearance, ease)
    _gather(rows, heights, garment, cut)
    if garment.opening > 0:
        rows[:, q.OPENING] = np.interp(
            heights, [low, 0.5, 0.95], [1.25 * garment.opening, garment.opening, 0.42]
        )
    elif cut.front or cut.collar == 0:
        rows[-2:, q.OPENING] = [0.12, 0.5] if cut.front else [-0.5, 0.35]
    figure.tube(
        rows, figure.paint(row), rings=30, segments=26,
        wobble=0.008 * cut.folds * (1 + 0.4 * garment.fit), phase=garment.seed % 61,
    )  # fmt: skip
    _sleeves(figure, pose, garment, cut, row, ease)
    if cut.collar > 0.015:
        _collar(figure, pose, row, cut, garment, under)
    if cut.hood and appearance.headgear != "hood":
        _hood_down(figure, pose, row, ease)
    return ease


def _tucked(appearance: Appearance, garment: Garment) -> bool:
    """Whether a shirt is worn inside the trousers or the skirt."""
    kinds = ("shirt", "blouse", "top", "tee", "turtleneck", "polo")
    return appearance.lower is not None and garment.kind in kinds and garment.seed % 5 < 2


def _clear_waist(
    rows: np.ndarray, heights: np.ndarray, appearance: Appearance, ease: float
) -> None:
    """Keep what hangs over the trousers outside them."""
    if appearance.lower is None:
        return
    below = CUTS[appearance.lower.kind].ease * (1 + 0.3 * appearance.lower.fit) + 0.012
    lack = max(below - ease, 0.0) * np.interp(heights, [0.25, 0.4], [1.0, 0.0]).reshape(-1, 1)
    rows[:, q.WIDTH : q.DEPTH_BACK + 1] += lack


def _gather(rows: np.ndarray, heights: np.ndarray, garment: Garment, cut: Cut) -> None:
    """Elastic hems draw in; the cloth above bulges."""
    if garment.kind not in ("bomber", "hoodie", "sweater", "zip hoodie", "gilet", "puffer"):
        return
    near = np.exp(-(((heights - heights[0]) / 0.10) ** 2)).reshape(-1, 1)
    rows[:, q.WIDTH : q.DEPTH_BACK + 1] -= 0.45 * cut.ease * near


def _sleeves(
    figure: Figure, pose: Pose, garment: Garment, cut: Cut, row: np.ndarray, ease: float
) -> None:
    body = pose.body
    if garment.sleeve < 0.08:
        return
    sleeve = row.copy()
    sleeve[m.LOGO] = sleeve[m.FRONT_LINE] = sleeve[m.POCKETS] = sleeve[m.STRAP] = 0
    sleeve[m.FOLD] *= 1.25
    sleeve[m.FOLD_V] = 2.8
    sleeve[m.COLLAR] = -99.0
    length = body.upper_arm + body.forearm
    end = min(garment.sleeve, 1.0) * 1.02
    sleeve[m.HEM] = -length * end if garment.sleeve > 0.9 else -99.0
    if garment.pattern == "block":
        sleeve[m.PATTERN] = m.PLAIN
        if garment.seed % 3 == 0:
            sleeve[m.COLOUR : m.COLOUR + 3] = sleeve[m.SECOND : m.SECOND + 3]
    elif garment.pattern == "gradient":
        sleeve[m.PATTERN] = m.PLAIN
    sleeve[m.BANDS] = 0
    material = figure.paint(sleeve)
    wide = ease * (0.62 if cut.quilt > 0 else 0.48)
    cuff = ease * (0.45 if garment.sleeve > 0.9 else 1.1)
    centre = pose.trunk_point(body.shoulder)
    for side, arm in zip((-1, 1), pose.arms, strict=True):
        lead = centre + (arm.root - centre) * 0.50 + np.array([0.0, 0.006, 0.0]) * body.stature
        rows = limb_rows(
            arm, body.arm, (body.upper_arm, body.forearm),
            end=end if end < 1 else 1.02, ease=(wide, cuff), count=10, lead=lead,
        )  # fmt: skip
        rows[1, :3] += np.array([-0.010 * side, -0.002, 0.0]) * body.stature
        rows[:2, q.WIDTH : q.DEPTH_BACK + 1] -= 0.55 * wide  # cloth rests on the shoulder
        rows[2, q.WIDTH : q.DEPTH_BACK + 1] -= 0.25 * wide
        figure.tube(
            rows, material, rings=20, segments=13,
            wobble=0.004 * cut.folds + 0.1 * wide * cut.folds, phase=garment.seed % 37 + side,
        )  # fmt: skip


def _collar(
    figure: Figure, pose: Pose, row: np.ndarray, cut: Cut, garment: Garment, under: float
) -> None:
    """A standing or folded collar around the neck."""
    body = pose.body
    stand = row.copy()
    stand[m.PATTERN] = m.PLAIN if garment.pattern in ("block", "gradient") else row[m.PATTERN]
    stand[m.LOGO] = stand[m.STRAP] = stand[m.POCKETS] = stand[m.FRONT_LINE] = 0
    stand[m.HEM] = stand[m.COLLAR] = -99.0
    rise = cut.collar / body.trunk_length
    heights = np.array([0.955, 0.99, 1.01 + rise])
    rows = trunk_rows(pose, heights, ease=np.array([0.016, 0.014, 0.020]) + 0.4 * under)
    rows[-1, q.WIDTH : q.DEPTH_BACK + 1] += 0.004
    rows[:, q.POWER] = 2.0
    gap = 0.0 if garment.kind == "turtleneck" else 0.30 + 0.4 * (garment.opening > 0)
    rows[:, q.OPENING] = [gap * 0.6, gap, gap * 1.4] if gap else -1.0
    figure.tube(rows, figure.paint(stand), rings=6, segments=18, phase=1.0)


def _hood_down(figure: Figure, pose: Pose, row: np.ndarray, ease: float) -> None:
    """A hood lying on the upper back."""
    body = pose.body
    cloth_row = row.copy()
    cloth_row[m.LOGO] = cloth_row[m.STRAP] = cloth_row[m.POCKETS] = cloth_row[m.FRONT_LINE] = 0
    cloth_row[m.HEM] = cloth_row[m.COLLAR] = -99.0
    front = pose.trunk_front(0.95)
    centre = pose.trunk_point(0.94) - front * (0.052 * body.stature + 0.5 * ease)
    right = np.array([front[2], 0.0, -front[0]])
    rows = ellipsoid_rows(
        centre, right, front, (0.072 * body.stature, 0.052 * body.stature, 0.030 * body.stature)
    )
    rows[:, 1] += 0.020 * body.stature * np.linspace(-1, 1, len(rows)) ** 2
    rows[:, q.FOLD] = 1.0
    figure.tube(rows, figure.paint(cloth_row), rings=11, segments=12, wobble=0.006)


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
    _trouser_legs(figure, pose, garment, cut, row, ease)


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
    figure: Figure, pose: Pose, garment: Garment, cut: Cut, row: np.ndarray, ease: float
) -> None:
    body = pose.body
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


def bare_arms(figure: Figure, appearance: Appearance, pose: Pose, start: float) -> None:
    """Skin of the arms from ``start`` to the wrist."""
    body = pose.body
    material = figure.paint(m.material(appearance.skin, kind=m.SKIN, group=SKIN_GROUP))
    centre = pose.trunk_point(body.shoulder)
    for side, arm in zip((-1, 1), pose.arms, strict=True):
        lead = None
        if start <= 0.01:
            lead = centre + (arm.root - centre) * 0.6
        rows = limb_rows(
            arm, body.arm, (body.upper_arm, body.forearm), start=start, end=1.0, count=9, lead=lead
        )
        if lead is not None:
            rows[1, :3] += np.array([-0.012 * side, 0.004, 0.0]) * body.stature
        figure.tube(rows, material, rings=15, segments=11)


def hands(figure: Figure, appearance: Appearance, pose: Pose) -> None:
    """Mitten hands with a thumb, slightly curled, in the direction of the forearm."""
    body = pose.body
    material = figure.paint(m.material(appearance.skin, kind=m.SKIN, group=SKIN_GROUP))
    for side, arm in zip((-1, 1), pose.arms, strict=True):
        inward = np.array([-side, 0.0, 0.0]) * 0.35 + arm.front_lower * 0.25
        rows = q.rows(6)
        shares = np.array([-0.10, 0.12, 0.40, 0.65, 0.88, 1.0])
        for i, share in enumerate(shares):
            rows[i, :3] = (
                arm.end + body.hand * share * arm.tip + inward * body.hand * 0.35 * share**2
            )
        rows[:, q.FRONT : q.FRONT + 3] = arm.front_lower
        rows[:, q.WIDTH] = np.array([0.014, 0.012, 0.014, 0.012, 0.010, 0.002]) * body.stature
        deep = np.array([0.015, 0.018, 0.025, 0.023, 0.017, 0.004]) * body.stature
        rows[:, q.DEPTH_FRONT] = rows[:, q.DEPTH_BACK] = deep
        figure.tube(rows, material, rings=8, segments=9)
        thumb = ellipsoid_rows(
            arm.end + body.hand * 0.38 * arm.tip + arm.front_lower * 0.024 * body.stature,
            _unit(arm.tip + 0.6 * arm.front_lower), arm.front_lower,
            (0.021 * body.stature, 0.006 * body.stature, 0.006 * body.stature), count=4,
        )  # fmt: skip
        figure.tube(thumb, material, rings=4, segments=6)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(math.sqrt(float(np.sum(vector * vector))), 1e-9)


def foot_frame(leg: Limb) -> tuple[np.ndarray, np.ndarray]:
    """Unit direction of the toes and the direction square to the sole."""
    ahead = _unit(leg.tip)
    level = _unit(np.array([ahead[0], 0.0, ahead[2]]))
    pitch = math.asin(min(max(float(ahead[1]), -1.0), 1.0))
    up = np.array([0.0, math.cos(pitch), 0.0]) - level * math.sin(pitch)
    return ahead, up
