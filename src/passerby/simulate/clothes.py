"""Garments of the trunk and the arms, bare arms and hands, as surfaces around the posed body."""

import math
from dataclasses import dataclass

import numpy as np

from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.body import Pose
from passerby.simulate.lofts import ellipsoid_rows, limb_rows, span_legs, trunk_rows
from passerby.simulate.mesh import Figure
from passerby.simulate.wardrobe import Appearance, Garment


def cloth(garment: Garment, *, group: int) -> np.ndarray:
    """Material row of a garment: colours, print, fabric, folds, highlight."""
    cut = garment.cut
    row = m.material(
        garment.colour, second=garment.second, third=garment.third, group=group,
        pattern=m.PATTERNS[garment.pattern], scale=garment.scale, duty=garment.duty,
        fold=0.42 * cut.folds, folds=(2.4, 1.5), shine=cut.shine, gloss=7.0,
        seed=(garment.seed % 997) / 31.0,
    )  # fmt: skip
    if garment.pattern in ("floral", "camouflage"):
        row[m.OFFSET_U] = (garment.seed % 53) * 0.37
    row[m.FABRIC] = m.FABRICS[cut.fabric]
    row[m.WEAR] = (garment.seed % 7) / 6.0
    row[m.QUILT] = cut.quilt
    row[m.HEM_SHADE], row[m.HEM_BAND] = garment.trim, 0.045
    return row


def _trunk_material(appearance: Appearance, garment: Garment, length: float) -> np.ndarray:
    """Material row of an upper garment, with its front, collar, pockets, logo and straps.

    ``length`` is that of the trunk, metres.
    """
    cut = garment.cut
    row = cloth(garment, group=m.TRUNK_GROUP)
    row[m.LOGO] = m.LOGOS[garment.logo]
    row[m.LOGO_U], row[m.LOGO_V] = garment.logo_place
    row[m.LOGO_V] *= length / 0.55
    row[m.LOGO_WIDTH], row[m.LOGO_HEIGHT] = garment.logo_size
    row[m.LOGO_SEED], row[m.LOGO_BACK] = garment.seed % 97, garment.logo_back
    row[m.INK : m.INK + 3] = m.linear(garment.ink)
    row[m.SPLIT] = (0.35 + 0.3 * ((garment.seed % 11) / 10)) * length
    if garment.opening == 0:
        row[m.FRONT_LINE] = 1 + garment.seed % 2 if cut.front == 3 else cut.front
    row[m.HEM] = (cut.hem + garment.length) * length
    row[m.COLLAR] = (0.965 if cut.front or cut.collar else 0.985) * length
    row[m.POCKETS] = cut.pockets
    pocket = {1: 0.12, 3: 0.52, 4: 0.04}.get(cut.pockets, 0.1)
    row[m.LEVELS : m.LEVELS + 4] = np.array([pocket, 0.45, 0.92, 0.52]) * length
    row[m.BANDS] = garment.kind == "safety vest"
    for thing in appearance.carried:  # their straps are painted on
        if thing.kind in ("backpack", "cross bag"):
            row[m.STRAP] = 1 if thing.kind == "backpack" else 2 if thing.side > 0 else 3
            row[m.STRAP_COLOUR : m.STRAP_COLOUR + 3] = m.linear(thing.colour) * 0.8
    return row


@dataclass(frozen=True)
class _Layer:
    """An upper garment being put on.

    Attributes:
        row: its material.
        ease: air in it, metres.
        under: thickness of the layers below, metres.
    """

    figure: Figure
    pose: Pose
    garment: Garment
    row: np.ndarray
    ease: float
    under: float

    def plain(self) -> np.ndarray:
        """The material of sleeves, collar and hood: without logo, pockets, straps and bands."""
        row = self.row.copy()
        row[[m.LOGO, m.FRONT_LINE, m.POCKETS, m.STRAP, m.BANDS]] = 0
        row[m.HEM] = row[m.COLLAR] = -99.0
        if self.garment.pattern in ("block", "gradient"):
            row[m.PATTERN] = m.PLAIN
        return row

    def trunk(self, appearance: Appearance) -> None:
        """Add the part around the trunk, from hem to collar."""
        garment, cut, ease = self.garment, self.garment.cut, self.ease
        tucked = _tucked(appearance, garment)
        low = 0.24 if tucked else cut.hem + garment.length
        skirt = np.linspace(low, min(-0.1, low + 0.4), 5) if low < -0.3 else np.array([low])
        hips = [] if tucked else [0.05, 0.18]
        top = 1.03 if cut.collar > 0 else 0.995
        chest = [0.32, 0.48, 0.62, 0.75, 0.86, 0.93, 0.985, top]
        heights = np.concatenate([skirt, hips, chest])
        air = [ease, 0.5 * ease, 0.25 * ease + 0.003, 0.2 * ease + 0.004]
        rows = trunk_rows(
            self.pose, heights, ease=np.interp(heights, [0.6, 0.86, 0.95, 1.03], air),
            straight=min(cut.straight + 0.2 * garment.fit, 1),
        )  # fmt: skip
        span_legs(self.pose, rows, heights, ease, cut.flare * (1 + 0.3 * garment.fit))
        if not tucked and appearance.lower is not None:  # it hangs outside the trousers
            below = appearance.lower.cut.ease * (1 + 0.3 * appearance.lower.fit) + 0.012
            lack = max(below - ease, 0.0) * np.interp(heights, [0.25, 0.4], [1.0, 0.0])
            rows[:, q.SIDES] += lack.reshape(-1, 1)
        if garment.kind in ("bomber", "hoodie", "sweater", "zip hoodie", "gilet", "puffer"):
            # an elastic hem draws in
            near = np.exp(-(((heights - heights[0]) / 0.10) ** 2)).reshape(-1, 1)
            rows[:, q.SIDES] -= 0.45 * cut.ease * near
        if garment.opening > 0:
            wide = [1.25 * garment.opening, garment.opening, 0.42]
            rows[:, q.OPENING] = np.interp(heights, [low, 0.5, 0.95], wide)
        elif cut.front or cut.collar == 0:
            rows[-2:, q.OPENING] = [0.12, 0.5] if cut.front else [-0.5, 0.35]
        wobble = 0.008 * cut.folds * (1 + 0.4 * garment.fit)
        phase = garment.seed % 61
        self.figure.tube(rows, self.row, rings=30, segments=26, wobble=wobble, phase=phase)

    def sleeves(self) -> None:
        """Add both sleeves."""
        body, garment, cut = self.pose.body, self.garment, self.garment.cut
        end = min(garment.sleeve, 1.0) * 1.02
        row = self.plain()
        row[m.FOLD] *= 1.25
        row[m.FOLD_V] = 2.8
        if garment.sleeve > 0.9:
            row[m.HEM] = -(body.upper_arm + body.forearm) * end
        if garment.pattern == "block" and garment.seed % 3 == 0:
            row[m.COLOUR : m.COLOUR + 3] = row[m.SECOND : m.SECOND + 3]
        material = self.figure.paint(row)
        wide = self.ease * (0.62 if cut.quilt > 0 else 0.48)
        cuff = self.ease * (0.45 if garment.sleeve > 0.9 else 1.1)
        centre = self.pose.trunk_point(body.shoulder)
        for arm in self.pose.arms:
            lead = centre + (arm.root - centre) * 0.50 + np.array([0.0, 0.006, 0.0]) * body.stature
            end_at = end if end < 1 else 1.02
            rows = limb_rows(arm, end=end_at, ease=(wide, cuff), count=10, lead=lead)
            rows[1, :3] += np.array([-0.010 * arm.side, -0.002, 0.0]) * body.stature
            rows[:2, q.SIDES] -= 0.55 * wide  # cloth rests on the shoulder
            rows[2, q.SIDES] -= 0.25 * wide
            self.figure.tube(
                rows, material, rings=20, segments=13, phase=garment.seed % 37 + arm.side,
                wobble=0.004 * cut.folds + 0.1 * wide * cut.folds,
            )  # fmt: skip

    def collar(self) -> None:
        """Add a standing or folded collar around the neck."""
        garment = self.garment
        rise = garment.cut.collar / self.pose.body.trunk_length
        air = np.array([0.016, 0.014, 0.024]) + 0.4 * self.under
        rows = trunk_rows(self.pose, np.array([0.955, 0.99, 1.01 + rise]), ease=air)
        rows[:, q.POWER] = 2.0
        gap = 0.0 if garment.kind == "turtleneck" else 0.30 + 0.4 * (garment.opening > 0)
        rows[:, q.OPENING] = [gap * 0.6, gap, gap * 1.4] if gap else -1.0
        self.figure.tube(rows, self.plain(), rings=6, segments=18, phase=1.0)

    def hood(self) -> None:
        """Add a hood that lies on the upper back."""
        h = self.pose.body.stature
        front, right = self.pose.trunk_axes(0.95)
        centre = self.pose.trunk_point(0.94) - front * (0.052 * h + 0.5 * self.ease)
        rows = ellipsoid_rows(centre, right, front, (0.072 * h, 0.052 * h, 0.030 * h))
        rows[:, 1] += 0.020 * h * np.linspace(-1, 1, len(rows)) ** 2
        rows[:, q.FOLD] = 1.0
        self.figure.tube(rows, self.plain(), rings=11, segments=12, wobble=0.006)


def _tucked(appearance: Appearance, garment: Garment) -> bool:
    """Whether a shirt is worn inside the trousers or the skirt."""
    kinds = ("shirt", "blouse", "top", "tee", "turtleneck", "polo")
    return appearance.lower is not None and garment.kind in kinds and garment.seed % 5 < 2


def wear_upper(
    figure: Figure, appearance: Appearance, pose: Pose, garment: Garment, *, under: float
) -> float:
    """Add a shirt, jacket, coat or dress; returns the thickness below the next layer, metres.

    Args:
        figure: what the surfaces are added to.
        appearance: the person.
        pose: the posed skeleton.
        garment: what is worn.
        under: thickness of the layers below, metres.
    """
    cut = garment.cut
    ease = under + max(0.85 * cut.ease * (1 + 0.35 * garment.fit), 0.003)
    row = _trunk_material(appearance, garment, pose.body.trunk_length)
    layer = _Layer(figure, pose, garment, row, ease, under)
    layer.trunk(appearance)
    if garment.sleeve >= 0.08:
        layer.sleeves()
    if cut.collar > 0.015:
        layer.collar()
    if cut.hood and appearance.headgear != "hood":
        layer.hood()
    return ease


def bare_arms(figure: Figure, appearance: Appearance, pose: Pose, start: float) -> None:
    """Add the skin of the arms from ``start`` (share of the arm) to the wrist."""
    material = figure.paint(m.material(appearance.skin, kind=m.SKIN, group=m.SKIN_GROUP))
    centre = pose.trunk_point(pose.body.shoulder)
    for arm in pose.arms:
        lead = centre + (arm.root - centre) * 0.6 if start <= 0.01 else None
        rows = limb_rows(arm, start=start, lead=lead)
        if lead is not None:
            rows[1, :3] += np.array([-0.012 * arm.side, 0.004, 0.0]) * pose.body.stature
        figure.tube(rows, material, rings=15, segments=11)


def hands(figure: Figure, appearance: Appearance, pose: Pose) -> None:
    """Add mitten hands with a thumb, slightly curled, in the direction of the forearm."""
    hand, h = pose.body.hand, pose.body.stature
    material = figure.paint(m.material(appearance.skin, kind=m.SKIN, group=m.SKIN_GROUP))
    shares = np.array([-0.10, 0.12, 0.40, 0.65, 0.88, 1.0])
    for arm in pose.arms:
        inward = np.array([-arm.side, 0.0, 0.0]) * 0.35 + arm.front_lower * 0.25
        curl = np.outer(shares**2, inward * hand * 0.35)
        rows = q.rows(
            6,
            centre=arm.end + np.outer(hand * shares, arm.tip) + curl,
            front=arm.front_lower,
            width=np.array([0.014, 0.012, 0.014, 0.012, 0.010, 0.002]) * h,
            depth=np.array([0.015, 0.018, 0.025, 0.023, 0.017, 0.004]) * h,
        )
        figure.tube(rows, material, rings=8, segments=9)
        thumb = arm.tip + 0.6 * arm.front_lower
        rows = ellipsoid_rows(
            arm.end + hand * 0.38 * arm.tip + arm.front_lower * 0.024 * h,
            thumb / max(math.sqrt(float(np.sum(thumb * thumb))), 1e-9), arm.front_lower,
            (0.021 * h, 0.006 * h, 0.006 * h), count=4,
        )  # fmt: skip
        figure.tube(rows, material, rings=4, segments=6)
