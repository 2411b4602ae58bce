"""A whole person: body, clothes, head and carried things, standing at a place."""

import math

from passerby.simulate.appearance import Appearance, Garment
from passerby.simulate.bags import carry
from passerby.simulate.body import measure
from passerby.simulate.clothes import wear_upper
from passerby.simulate.figure import Figure
from passerby.simulate.hair import Back, add_hair
from passerby.simulate.head import add_head
from passerby.simulate.headgear import FLATTENS_HAIR, HIDES_HAIR, add_headgear, add_scarf
from passerby.simulate.legwear import bare_legs, leg_share, wear_lower
from passerby.simulate.pose import Pose, strike
from passerby.simulate.shoes import wear_shoes
from passerby.simulate.skin import bare_arms, hands
from passerby.simulate.wardrobe import CUTS, SKIRTS


def add_person(
    figure: Figure,
    appearance: Appearance,
    *,
    pose: str = "walk",
    phase: float = 0.0,
    heading: float = 0.0,
    x: float = 0.0,
    z: float = 0.0,
) -> Pose:
    """Add a person to a figure.

    Args:
        figure: collects the surfaces.
        appearance: the person.
        pose: one of ``pose.POSES``.
        phase: 0..1 of the walk cycle.
        heading: radians; 0 faces the camera, pi / 2 walks towards the right of the picture.
        x: place on the ground, metres to the right.
        z: place on the ground, metres away from the camera.

    Returns:
        The posed skeleton in the person's own axes.
    """
    start = figure.vertex_count
    posed = strike(appearance, measure(appearance), pose, phase)
    air = _dress(figure, appearance, posed)
    head = add_head(figure, appearance, posed)
    if appearance.headgear not in HIDES_HAIR:
        flat = appearance.headgear in FLATTENS_HAIR
        add_hair(figure, appearance, head, Back(posed, air), flat=flat)
    add_headgear(figure, appearance, head)
    add_scarf(figure, appearance, posed)
    carry(figure, appearance, posed, pose, air)
    figure.place(start, turn=math.pi - heading, x=x, z=z)
    return posed


def _dress(figure: Figure, appearance: Appearance, pose: Pose) -> float:
    """Add clothes and the skin they leave bare; returns the thickness on the trunk."""
    inner, outer, lower = appearance.inner, appearance.outer, appearance.lower
    hem = _leg_hem(inner, lower)
    end = leg_share(hem, pose)
    if end < 0.97:
        bare_legs(figure, appearance, pose, max(end - 0.08, 0.0))
    if lower is not None:
        wear_lower(figure, appearance, pose, lower)
    wear_shoes(figure, appearance, pose, bare=end < 0.9 and appearance.tights is None)
    air = wear_upper(figure, appearance, pose, inner, under=0.0)
    sleeve = inner.sleeve
    if outer is not None:
        air = wear_upper(figure, appearance, pose, outer, under=0.8 * air)
        sleeve = max(sleeve, outer.sleeve)
    if sleeve < 0.93:
        bare_arms(figure, appearance, pose, max(sleeve - 0.15, 0.0))
    hands(figure, appearance, pose)
    return air


def _leg_hem(inner: Garment, lower: Garment | None) -> float:
    """Lowest edge of what covers the legs, trunk lengths below the hip joint."""
    garment = lower if lower is not None else inner
    skirt = lower is None or lower.kind in SKIRTS
    hem = CUTS[garment.kind].hem + garment.length
    return min(hem + 0.25, 0.0) if skirt else hem
