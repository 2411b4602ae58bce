"""A figure under construction: a mesh with its materials, and the rows of its rounded parts."""

import math

import numpy as np

from passerby.simulate import mesh as q
from passerby.simulate.pose import Limb, Pose


class Figure(q.Mesh):
    """The mesh of one or more persons and things, with its materials."""

    def __init__(self, *, finesse: float = 1.0) -> None:
        """Start empty; ``finesse`` scales the number of rings and segments."""
        super().__init__(finesse=finesse)
        self._rows: list[np.ndarray] = []

    def paint(self, row: np.ndarray) -> int:
        """Add a material row and return its index."""
        self._rows.append(row)
        return len(self._rows) - 1

    @property
    def table(self) -> np.ndarray:
        """(M, 62) the material table."""
        return np.stack(self._rows)


def trunk_rows(
    pose: Pose, heights: np.ndarray, *, ease: float | np.ndarray = 0.0, straight: float = 0.0
) -> np.ndarray:
    """Control rows around the trunk at ``heights`` (s, rising or falling).

    Args:
        pose: the posed skeleton.
        heights: (K,) heights on the trunk; below the crotch the section spans both legs.
        ease: air between body and surface, metres.
        straight: 0 follows the waist; 1 hangs straight between chest and hips.
    """
    body = pose.body
    shape = body.trunk_at(heights) + np.asarray(ease).reshape(-1, 1)
    if straight > 0:
        chest, hips = body.trunk_at(0.66), body.trunk_at(0.0)
        share = np.clip((0.66 - heights) / 0.66, 0, 1).reshape(-1, 1)
        hull = chest + (hips - chest) * share + np.asarray(ease).reshape(-1, 1)
        inside = (heights < 0.66).reshape(-1, 1)
        shape = np.where(inside, np.maximum(shape, shape + straight * (hull - shape)), shape)
    out = q.rows(len(heights))
    out[:, q.WIDTH : q.DEPTH_BACK + 1] = shape
    for i, s in enumerate(heights):
        out[i, :3] = pose.trunk_point(float(s))
        out[i, q.FRONT : q.FRONT + 3] = pose.trunk_front(float(s))
    out[:, q.POWER] = np.interp(heights, [-0.2, 0.3, 0.7, 0.9, 1.0], [2.3, 2.2, 2.5, 2.4, 2.0])
    out[:, q.ALONG] = heights * body.trunk_length
    out[:, q.FOLD] = np.interp(
        heights, [-1.4, 0.0, 0.3, 0.6, 0.85, 1.0], [0.9, 0.8, 1.1, 0.55, 0.6, 0.8]
    )
    out[:, q.OCCLUSION] = np.interp(heights, [-0.25, 0.05, 0.9, 1.05], [0.7, 1.0, 1.0, 0.75])
    return out


def leg_at(pose: Pose, side: int, height: float) -> np.ndarray:
    """Centre of a leg where it crosses ``height`` metres above the ground."""
    leg = pose.legs[side]
    for a, b in ((leg.root, leg.middle), (leg.middle, leg.end)):
        if b[1] <= height:
            t = min(max((height - b[1]) / max(a[1] - b[1], 1e-6), 0.0), 1.0)
            return b + t * (a - b)
    return leg.end


def span_legs(pose: Pose, rows: np.ndarray, heights: np.ndarray, ease: float, flare: float) -> None:
    """Widen trunk rows below the hips in place, so that they hang around both legs."""
    body = pose.body
    low = float(heights.min())
    hips = body.trunk_at(-0.08)
    for i, s in enumerate(heights):
        if s >= -0.02:
            continue
        level = float(rows[i, 1])
        left, right = leg_at(pose, 0, level), leg_at(pose, 1, level)
        radius = float(np.interp(s, [-1.5, -0.72, 0.0], [0.022, 0.034, 0.056])) * body.stature
        drop = min(max(-s / max(-low, 1e-6), 0.0), 1.0)
        spread = flare * drop
        soft = min(-s / 0.15, 1.0)
        rows[i, 0] += ((left[0] + right[0]) / 2 - rows[i, 0]) * 0.5 * soft
        rows[i, 2] += ((left[2] + right[2]) / 2 - rows[i, 2]) * 0.7 * soft
        across = max(abs(left[0] - rows[i, 0]), abs(right[0] - rows[i, 0])) + radius + ease
        ahead = (max(left[2], right[2]) - rows[i, 2]) * soft + radius + ease
        behind = (rows[i, 2] - min(left[2], right[2])) * soft + 0.9 * radius + ease
        taper = hips * (1 - 0.35 * min(-s, 1.4) / 1.4)
        rows[i, q.WIDTH] = max(across, taper[0] + ease) + spread
        rows[i, q.DEPTH_FRONT] = max(ahead, taper[1] + ease) + spread
        rows[i, q.DEPTH_BACK] = max(behind, taper[2] + ease) + spread
        rows[i, q.POWER] = 2.1
        rows[i, q.OCCLUSION] = 1.0


# cloth wrinkles where a limb bends and where it ends, and is drawn smooth between
FOLD_SHARES = (0.0, 0.12, 0.3, 0.48, 0.6, 0.75, 0.9, 1.0)
FOLD_STRENGTH = (1.0, 0.7, 0.4, 1.1, 0.8, 0.5, 1.1, 1.2)


def limb_rows(
    limb: Limb,
    table: np.ndarray,
    lengths: tuple[float, float],
    *,
    start: float = 0.0,
    end: float = 1.0,
    ease: float | tuple[float, float] = 0.0,
    count: int = 9,
    lead: np.ndarray | None = None,
) -> np.ndarray:
    """Control rows along a leg or an arm.

    Args:
        limb: posed bones.
        table: (K, 4) share along the limb (0.5: knee or elbow) and half extents.
        lengths: of the two bones, metres, for the texture coordinate.
        start: where to begin on the limb (0 root .. 1 ankle or wrist).
        end: where to stop.
        ease: air around the limb, at its start and at its end.
        count: number of control rows.
        lead: a point inside the trunk that the tube starts from.
    """
    shares = np.linspace(start, end, count)
    out = q.rows(count)
    first, last = (ease, ease) if isinstance(ease, (int, float)) else ease
    upper = (shares < 0.5).reshape(-1, 1)
    steps = np.where(upper[:, 0], shares * 2, shares * 2 - 1).reshape(-1, 1)
    roots = np.where(upper, limb.root, limb.middle)
    out[:, :3] = roots + (np.where(upper, limb.middle, limb.end) - roots) * steps
    mix = np.clip((shares - 0.42) / 0.16, 0.0, 1.0).reshape(-1, 1)
    out[:, q.FRONT : q.FRONT + 3] = limb.front_upper * (1 - mix) + limb.front_lower * mix
    for k in (1, 2, 3):
        out[:, q.WIDTH + k - 1] = np.interp(shares, table[:, 0], table[:, k])
    out[:, q.WIDTH : q.DEPTH_BACK + 1] += np.linspace(first, last, count).reshape(-1, 1)
    out[:, q.ALONG] = -np.interp(shares, [0, 0.5, 1.0], [0.0, lengths[0], lengths[0] + lengths[1]])
    out[:, q.FOLD] = np.interp(shares, FOLD_SHARES, FOLD_STRENGTH)
    return out if lead is None else np.concatenate([_lead_in(out[:1], lead), out])


def _lead_in(first: np.ndarray, lead: np.ndarray) -> np.ndarray:
    """A row inside the trunk, so that a sleeve or trouser leg grows out of it."""
    out = first.copy()
    out[0, :3] = lead
    out[0, q.WIDTH : q.DEPTH_BACK + 1] *= 0.92
    out[0, q.ALONG] += 0.05
    return out


def ellipsoid_rows(
    centre: np.ndarray,
    axis: np.ndarray,
    front: np.ndarray,
    half: tuple[float, float, float],
    *,
    power: float = 2.0,
    count: int = 7,
) -> np.ndarray:
    """Control rows of a closed rounded body: half length along ``axis``, half width, half depth."""
    angles = [-math.pi / 2 + math.pi * i / (count - 1) for i in range(count)]
    levels = np.array([math.sin(angle) for angle in angles])
    scale = np.array([max(math.cos(angle), 0.0) ** (2.0 / power) + 1e-4 for angle in angles])
    sides = (half[1] * scale, half[2] * scale)
    return straight_rows(centre, axis, front, levels * half[0], sides, power=power)


def straight_rows(
    centre: np.ndarray,
    axis: np.ndarray,
    front: np.ndarray,
    along: np.ndarray,
    sides: tuple[np.ndarray, np.ndarray],
    *,
    power: float,
) -> np.ndarray:
    """Control rows of a body with a straight axis.

    Args:
        centre: (3,) where ``along`` is 0.
        axis: (3,) unit vector.
        front: (3,) of every cross-section.
        along: (K,) places of the cross-sections on the axis, metres.
        sides: (K,) half widths and (K,) half depths, metres.
        power: exponent of the superellipse of the cross-sections.
    """
    out = q.rows(len(along))
    out[:, :3] = centre + np.outer(along, axis)
    out[:, q.WIDTH] = sides[0]
    out[:, q.DEPTH_FRONT] = out[:, q.DEPTH_BACK] = sides[1]
    out[:, q.FRONT : q.FRONT + 3] = front
    out[:, q.POWER] = power
    out[:, q.ALONG] = along
    return out
