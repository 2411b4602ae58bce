"""Garments of the trunk and the arms as surfaces around the posed body."""

from dataclasses import dataclass

import numpy as np

from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.appearance import Appearance, Garment
from passerby.simulate.figure import Figure, ellipsoid_rows, limb_rows, span_legs, trunk_rows
from passerby.simulate.pose import Pose
from passerby.simulate.wardrobe import CUTS, Cut

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


@dataclass(frozen=True)
class Layer:
    """An upper garment being put on: cut, material, the air in it and the layers beneath (m)."""

    garment: Garment
    cut: Cut
    row: np.ndarray
    ease: float
    under: float

    def plain(self) -> np.ndarray:
        """The material without what is sewn to or printed on the trunk: for sleeves and hoods."""
        row = self.row.copy()
        for column in (m.LOGO, m.FRONT_LINE, m.POCKETS, m.STRAP, m.BANDS):
            row[column] = 0
        row[m.HEM] = row[m.COLLAR] = -99.0
        if self.garment.pattern in ("block", "gradient"):
            row[m.PATTERN] = m.PLAIN
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
    ease = under + max(0.85 * cut.ease * (1 + 0.35 * garment.fit), 0.003)
    layer = Layer(garment, cut, trunk_material(appearance, garment, pose), ease, under)
    rows = _trunk_of(layer, appearance, pose)
    figure.tube(
        rows, figure.paint(layer.row), rings=30, segments=26,
        wobble=0.008 * cut.folds * (1 + 0.4 * garment.fit), phase=garment.seed % 61,
    )  # fmt: skip
    if garment.sleeve >= 0.08:
        _sleeves(figure, pose, layer)
    if cut.collar > 0.015:
        _collar(figure, pose, layer)
    if cut.hood and appearance.headgear != "hood":
        _hood_down(figure, pose, layer)
    return ease


def _trunk_of(layer: Layer, appearance: Appearance, pose: Pose) -> np.ndarray:
    """Control rows of the part around the trunk, from hem to collar."""
    garment, cut, ease = layer.garment, layer.cut, layer.ease
    tucked = _tucked(appearance, garment)
    low = 0.24 if tucked else cut.hem + garment.length
    skirt = np.linspace(low, min(-0.1, low + 0.4), 5) if low < -0.3 else np.array([low])
    hips = [] if tucked else [0.05, 0.18]
    top = 1.03 if cut.collar > 0 else 0.995
    chest = [0.32, 0.48, 0.62, 0.75, 0.86, 0.93, 0.985, top]
    heights = np.concatenate([skirt, hips, chest])
    at, air = [0.6, 0.86, 0.95, 1.03], [ease, 0.5 * ease, 0.25 * ease + 0.003, 0.2 * ease + 0.004]
    rows = trunk_rows(
        pose, heights, ease=np.interp(heights, at, air),
        straight=min(cut.straight + 0.2 * garment.fit, 1),
    )  # fmt: skip
    span_legs(pose, rows, heights, ease, cut.flare * (1 + 0.3 * garment.fit))
    if not tucked:
        _clear_waist(rows, heights, appearance, ease)
    _gather(rows, heights, garment, cut)
    if garment.opening > 0:
        wide = 1.25 * garment.opening
        rows[:, q.OPENING] = np.interp(heights, [low, 0.5, 0.95], [wide, garment.opening, 0.42])
    elif cut.front or cut.collar == 0:
        rows[-2:, q.OPENING] = [0.12, 0.5] if cut.front else [-0.5, 0.35]
    return rows


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


def _sleeve_material(pose: Pose, layer: Layer, end: float) -> np.ndarray:
    garment, body = layer.garment, pose.body
    row = layer.plain()
    row[m.FOLD] *= 1.25
    row[m.FOLD_V] = 2.8
    if garment.sleeve > 0.9:
        row[m.HEM] = -(body.upper_arm + body.forearm) * end
    if garment.pattern == "block" and garment.seed % 3 == 0:
        row[m.COLOUR : m.COLOUR + 3] = row[m.SECOND : m.SECOND + 3]
    return row


def _sleeves(figure: Figure, pose: Pose, layer: Layer) -> None:
    body, garment, cut = pose.body, layer.garment, layer.cut
    end = min(garment.sleeve, 1.0) * 1.02
    material = figure.paint(_sleeve_material(pose, layer, end))
    wide = layer.ease * (0.62 if cut.quilt > 0 else 0.48)
    cuff = layer.ease * (0.45 if garment.sleeve > 0.9 else 1.1)
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


def _collar(figure: Figure, pose: Pose, layer: Layer) -> None:
    """A standing or folded collar around the neck."""
    garment = layer.garment
    rise = layer.cut.collar / pose.body.trunk_length
    heights = np.array([0.955, 0.99, 1.01 + rise])
    air = np.array([0.016, 0.014, 0.024]) + 0.4 * layer.under
    rows = trunk_rows(pose, heights, ease=air)
    rows[:, q.POWER] = 2.0
    gap = 0.0 if garment.kind == "turtleneck" else 0.30 + 0.4 * (garment.opening > 0)
    rows[:, q.OPENING] = [gap * 0.6, gap, gap * 1.4] if gap else -1.0
    figure.tube(rows, figure.paint(layer.plain()), rings=6, segments=18, phase=1.0)


def _hood_down(figure: Figure, pose: Pose, layer: Layer) -> None:
    """A hood lying on the upper back."""
    body = pose.body
    front = pose.trunk_front(0.95)
    centre = pose.trunk_point(0.94) - front * (0.052 * body.stature + 0.5 * layer.ease)
    right = np.array([front[2], 0.0, -front[0]])
    rows = ellipsoid_rows(
        centre, right, front, (0.072 * body.stature, 0.052 * body.stature, 0.030 * body.stature)
    )
    rows[:, 1] += 0.020 * body.stature * np.linspace(-1, 1, len(rows)) ** 2
    rows[:, q.FOLD] = 1.0
    figure.tube(rows, figure.paint(layer.plain()), rings=11, segments=12, wobble=0.006)
