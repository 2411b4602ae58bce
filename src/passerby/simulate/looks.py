"""What everyone wears at a given time of the day, rebuilt from the seed wherever it is needed."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from passerby.simulate.appearance import (
    Appearance,
    change_outer,
    open_umbrella,
    sample_appearance,
)
from passerby.simulate.world import LOOKS, World, stream

POSES = ("walk", "phone", "call", "pockets")
OFTEN = (0.8, 0.07, 0.04, 0.09)


@dataclass(frozen=True, kw_only=True, eq=False)
class Looks:
    """The looks of N people and of the cameras' pictures; small enough to send to any process."""

    seed: int
    look_alike: np.ndarray
    """(N,) whom each dresses like; -1 for nobody."""
    change: np.ndarray
    """(N,) seconds at which the outer clothes change; inf: never."""
    umbrella: np.ndarray
    """(N,) bool."""
    rain: tuple[float, float]

    def appearance(self, person: int, time: float) -> Appearance:
        """The look of a person at ``time`` seconds."""
        wet = bool(self.umbrella[person]) and self.rain[0] <= time < self.rain[1]
        other = int(self.look_alike[person])
        return _look(self.seed, person, other, bool(time >= self.change[person]), wet)

    def pose(self, person: int, camera: int) -> str:
        """How the person walks past a camera."""
        rng = stream(self.seed, LOOKS, person, 1, camera)
        return str(rng.choice(POSES, p=OFTEN))

    def statures(self) -> np.ndarray:
        """(N,) metres."""
        people = range(len(self.look_alike))
        return np.array([self.appearance(person, -1.0).stature for person in people])


def looks_of(world: World) -> Looks:
    """Gather what the looks of a day depend on."""
    day = world.options.hours * 3600.0
    change = np.full(len(world.population), np.inf)
    for person in np.flatnonzero(np.isfinite(world.population.changes)).tolist():
        own = slice(world.walks.first[person], world.walks.first[person + 1])
        stops = world.walks.time[own][world.walks.indoors[own]]
        later = stops[stops >= world.population.changes[person] * day]
        if len(later):
            change[person] = later[0]
    return Looks(
        seed=world.options.seed,
        look_alike=world.population.look_alike,
        change=change,
        umbrella=world.population.umbrella,
        rain=world.rain,
    )


@lru_cache(maxsize=4096)
def _look(seed: int, person: int, other: int, changed: bool, wet: bool) -> Appearance:
    if wet:
        return open_umbrella(
            _look(seed, person, other, changed, False), stream(seed, LOOKS, person, 2)
        )
    if changed:
        return change_outer(
            _look(seed, person, other, False, False), stream(seed, LOOKS, person, 3)
        )
    like = _look(seed, other, -1, False, False) if other >= 0 else None
    return sample_appearance(stream(seed, LOOKS, person, 0), look_alike=like)
