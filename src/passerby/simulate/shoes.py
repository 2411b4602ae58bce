"""Shoes: an upper, a sole, and the shaft of a boot."""

import numpy as np

from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.appearance import Appearance
from passerby.simulate.clothes import LEG_GROUP
from passerby.simulate.figure import Figure, limb_rows
from passerby.simulate.pose import Limb, Pose
from passerby.simulate.skin import foot_frame

# along the foot from heel (-0.28) to toe (0.74), half width, height of the upper; foot lengths
UPPER = np.array([
    [-0.29, 0.10, 0.16], [-0.25, 0.155, 0.30], [-0.10, 0.165, 0.40], [0.08, 0.165, 0.37],
    [0.26, 0.185, 0.27], [0.46, 0.205, 0.20], [0.62, 0.185, 0.165], [0.72, 0.13, 0.13],
    [0.76, 0.04, 0.08],
])  # fmt: skip
# kind: (bulk, sole thickness, shaft as share of the leg, heel, shine, contrast sole)
STYLE: dict[str, tuple[float, float, float, float, float, bool]] = {
    "sneaker": (1.04, 0.026, 0.0, 0.0, 0.02, True),
    "runner": (1.08, 0.034, 0.0, 0.01, 0.02, True),
    "leather": (0.98, 0.020, 0.0, 0.012, 0.20, False),
    "boot": (1.06, 0.028, 0.14, 0.012, 0.10, False),
    "tall boot": (1.0, 0.022, 0.44, 0.03, 0.16, False),
    "flat": (0.92, 0.012, 0.0, 0.0, 0.10, False),
    "heel": (0.88, 0.012, 0.0, 0.055, 0.18, False),
    "sandal": (0.96, 0.022, 0.0, 0.0, 0.03, False),
}


def wear_shoes(figure: Figure, appearance: Appearance, pose: Pose, *, bare: bool) -> None:
    """Add both shoes; ``bare`` says that the leg above the ankle is seen."""
    kind = appearance.shoes.kind
    bulk, sole, shaft, heel, shine, contrast = STYLE[kind]
    upper_colour = appearance.skin if kind == "sandal" else appearance.shoes.colour
    upper = m.material(upper_colour, kind=m.CLOTH)
    upper[m.SHINE], upper[m.GLOSS] = shine, 14.0
    if kind in ("sneaker", "runner") and appearance.shoes.seed % 3:
        upper[m.SECOND : m.SECOND + 3] = m.linear(appearance.shoes.third)
        upper[m.PATTERN], upper[m.SCALE], upper[m.DUTY] = m.VERTICAL, 0.16, 0.22
    if kind == "sandal":
        upper[m.SECOND : m.SECOND + 3] = m.linear(appearance.shoes.colour)
        upper[m.PATTERN], upper[m.SCALE], upper[m.DUTY] = m.HORIZONTAL, 0.075, 0.5
    tread_colour = appearance.shoes.second if contrast else appearance.shoes.colour
    tread = m.material(tread_colour, kind=m.SOLID)
    if not contrast:
        tread[:3] *= 0.5
    materials = figure.paint(upper), figure.paint(tread)
    for leg in pose.legs:
        _shoe(figure, pose, leg, materials, (bulk, sole, heel))
        if shaft:
            _shaft(figure, pose, leg, upper, shaft)
    if bare and not shaft and kind in ("sneaker", "runner", "leather"):
        _socks(figure, appearance, pose)


def _shoe(
    figure: Figure,
    pose: Pose,
    leg: Limb,
    materials: tuple[int, int],
    style: tuple[float, float, float],
) -> None:
    body = pose.body
    bulk, sole, heel = style
    ahead, up = foot_frame(leg)
    length = body.foot
    ground = leg.end - up * body.ankle
    rows = q.rows(len(UPPER))
    for i, (along, width, height) in enumerate(UPPER):
        tall = height * length * bulk
        lift = heel * min(max((0.35 - along) / 0.5, 0.0), 1.0)
        rows[i, :3] = (
            ground + ahead * (along * length * bulk) + up * (tall * 0.5 + sole * 0.3 + lift)
        )
        rows[i, q.WIDTH] = width * length * bulk
        rows[i, q.DEPTH_FRONT], rows[i, q.DEPTH_BACK] = tall * 0.5, tall * 0.5
        rows[i, q.ALONG] = along * length
    rows[:, q.FRONT : q.FRONT + 3] = up
    rows[:, q.POWER] = 2.4
    rows[:, q.OCCLUSION] = 0.85
    figure.tube(rows, materials[0], rings=12, segments=12)
    flat = rows.copy()
    for i, (along, _, height) in enumerate(UPPER):
        lift = heel * min(max((0.35 - along) / 0.5, 0.0), 1.0)
        thick = sole + (heel if along < -0.05 else 0.15 * heel)
        middle = lift - thick * 0.5 + sole * 0.9
        flat[i, :3] = ground + ahead * (along * length * bulk) + up * middle
        flat[i, q.DEPTH_FRONT] = flat[i, q.DEPTH_BACK] = thick * 0.55
        del height
    flat[:, q.WIDTH] *= 1.07
    flat[:, q.POWER] = 4.0
    flat[:, q.OCCLUSION] = 0.7
    figure.tube(flat, materials[1], rings=11, segments=10)


def _shaft(figure: Figure, pose: Pose, leg: Limb, upper: np.ndarray, share: float) -> None:
    body = pose.body
    row = upper.copy()
    row[m.FOLD], row[m.GROUP] = 0.3, LEG_GROUP + 2
    rows = limb_rows(
        leg, body.leg, (body.thigh, body.shin), start=1 - share, end=1.02, ease=0.011, count=6
    )
    figure.tube(rows, figure.paint(row), rings=10, segments=12, wobble=0.003)


def _socks(figure: Figure, appearance: Appearance, pose: Pose) -> None:
    body = pose.body
    material = figure.paint(m.material(appearance.socks, group=LEG_GROUP))
    tall = 0.80 if appearance.seed % 3 == 0 else 0.92
    for leg in pose.legs:
        rows = limb_rows(
            leg, body.leg, (body.thigh, body.shin), start=tall, end=1.02, ease=0.004, count=4
        )
        figure.tube(rows, material, rings=5, segments=10)
