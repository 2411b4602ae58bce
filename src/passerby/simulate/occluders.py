"""Things between a camera and a person."""

import math

import numpy as np

from passerby.simulate.figure import Figure
from passerby.simulate.scene import Placed
from passerby.simulate.things import PAINTS, add_bin, add_bush, add_car, add_pole


def add_occluder(figure: Figure, person: Placed, rng: np.random.Generator) -> np.ndarray:
    """Put a pole, bin, bush or car a little nearer the camera than a person.

    Returns:
        (F, 3) contact shadows: x, z, radius in metres.
    """
    reach = math.hypot(person.x, person.z)
    nearer = 1 - (0.7 + 0.9 * rng.random()) / max(reach, 2.0)
    aside = 0.28 * float(rng.standard_normal())
    x, z = person.x * nearer + aside, person.z * nearer
    kind = int(rng.integers(5))
    paint = PAINTS[int(rng.integers(len(PAINTS)))]
    if kind <= 1:
        radius = 0.04 + 0.06 * float(rng.random())
        add_pole(figure, x, z, height=4.0 if kind == 0 else 1.0, radius=radius, colour=paint)
        return np.array([[x, z, 2 * radius]])
    if kind == 2:
        add_bin(figure, x, z, paint)
        return np.array([[x, z, 0.35]])
    if kind == 3:
        add_bush(figure, x, z, 0.35 + 0.25 * float(rng.random()), int(rng.integers(50)))
        return np.array([[x, z, 0.5]])
    z = max(min(z, person.z - 1.5), 2.0)
    side = 1.0 if rng.random() < 0.5 else -1.0  # a bonnet, seldom the cabin, hides the legs
    x += side * (1.5 + 0.9 * float(rng.random()))
    yaw = math.pi * (side > 0) + 0.15 * float(rng.standard_normal())
    add_car(figure, x, z, yaw=yaw, paint=paint)
    return np.array([[x, z, 1.2]])
