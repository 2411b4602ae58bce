"""Control rows of tubes around a posed body, and of rounded things."""

import math

import numpy as np

from passerby.simulate import mesh as q
from passerby.simulate.body import Limb, Pose


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
    out = q.rows(
        len(heights),
        centre=[pose.trunk_point(float(s)) for s in heights],
        front=[pose.trunk_axes(float(s))[0] for s in heights],
        power=np.interp(heights, [-0.2, 0.3, 0.7, 0.9, 1.0], [2.3, 2.2, 2.5, 2.4, 2.0]),
        along=heights * body.trunk_length,
        fold=np.interp(heights, [-1.4, 0, 0.3, 0.6, 0.85, 1.0], [0.9, 0.8, 1.1, 0.55, 0.6, 0.8]),
        occlusion=np.interp(heights, [-0.25, 0.05, 0.9, 1.05], [0.7, 1.0, 1.0, 0.75]),
    )
    out[:, q.SIDES] = shape
    return out


def _leg_at(leg: Limb, height: float) -> np.ndarray:
    """Centre of a leg where it crosses ``height`` metres above the ground."""
    for a, b in ((leg.root, leg.middle), (leg.middle, leg.end)):
        if b[1] <= height:
            t = min(max((height - b[1]) / max(a[1] - b[1], 1e-6), 0.0), 1.0)
            return np.asarray(b + t * (a - b))
    return leg.end


def span_legs(pose: Pose, rows: np.ndarray, heights: np.ndarray, ease: float, flare: float) -> None:
    """Widen trunk rows below the hips in place, so that they hang around both legs."""
    low = float(heights.min())
    hips = pose.body.trunk_at(-0.08)
    for row, s in zip(rows, heights, strict=True):
        if s >= -0.02:
            continue
        left, right = (_leg_at(leg, float(row[1])) for leg in pose.legs)
        radius = float(np.interp(s, [-1.5, -0.72, 0.0], [0.022, 0.034, 0.056])) * pose.body.stature
        drop = min(max(-s / max(-low, 1e-6), 0.0), 1.0)
        soft = min(-s / 0.15, 1.0)
        row[0] += ((left[0] + right[0]) / 2 - row[0]) * 0.5 * soft
        row[2] += ((left[2] + right[2]) / 2 - row[2]) * 0.7 * soft
        across = max(abs(left[0] - row[0]), abs(right[0] - row[0])) + radius + ease
        ahead = (max(left[2], right[2]) - row[2]) * soft + radius + ease
        behind = (row[2] - min(left[2], right[2])) * soft + 0.9 * radius + ease
        taper = hips * (1 - 0.35 * min(-s, 1.4) / 1.4)
        row[q.SIDES] = np.maximum([across, ahead, behind], taper + ease) + flare * drop
        row[q.POWER], row[q.OCCLUSION] = 2.1, 1.0


# cloth wrinkles where a limb bends and where it ends, and is drawn smooth between
FOLD_SHARES = (0.0, 0.12, 0.3, 0.48, 0.6, 0.75, 0.9, 1.0)
FOLD_STRENGTH = (1.0, 0.7, 0.4, 1.1, 0.8, 0.5, 1.1, 1.2)


def limb_rows(
    limb: Limb,
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
        start: where to begin on the limb (0 root .. 1 ankle or wrist).
        end: where to stop.
        ease: air around the limb, at its start and at its end.
        count: number of control rows.
        lead: a point inside the trunk that the tube starts from; adds a row.
    """
    shares = np.linspace(start, end, count)
    first, last = ease if isinstance(ease, tuple) else (ease, ease)
    upper = (shares < 0.5).reshape(-1, 1)
    steps = np.where(upper[:, 0], shares * 2, shares * 2 - 1).reshape(-1, 1)
    roots = np.where(upper, limb.root, limb.middle)
    mix = np.clip((shares - 0.42) / 0.16, 0.0, 1.0).reshape(-1, 1)
    out = q.rows(
        count,
        centre=roots + (np.where(upper, limb.middle, limb.end) - roots) * steps,
        front=limb.front_upper * (1 - mix) + limb.front_lower * mix,
        along=-np.interp(shares, [0, 0.5, 1.0], [0.0, limb.lengths[0], sum(limb.lengths)]),
        fold=np.interp(shares, FOLD_SHARES, FOLD_STRENGTH),
    )
    for k in (1, 2, 3):
        out[:, q.WIDTH + k - 1] = np.interp(shares, limb.shape[:, 0], limb.shape[:, k])
    out[:, q.SIDES] += np.linspace(first, last, count).reshape(-1, 1)
    if lead is None:
        return out
    inside = out[:1].copy()  # so that a sleeve or trouser leg grows out of the trunk
    inside[0, :3] = lead
    inside[0, q.SIDES] *= 0.92
    inside[0, q.ALONG] += 0.05
    return np.concatenate([inside, out])


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
    return q.rows(
        count, centre=centre + np.outer(levels * half[0], axis), front=front,
        width=half[1] * scale, depth=half[2] * scale, power=power, along=levels * half[0],
    )  # fmt: skip
