"""The simulated city as a whole: map, units, cameras, people, their day and what they wear."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from passerby.simulate.appearance import change_outer, open_umbrella, sample_appearance
from passerby.simulate.body import POSES
from passerby.simulate.cameras import CityCamera, place_cameras
from passerby.simulate.layout import Layout, plan
from passerby.simulate.observation import Passages, find_passages
from passerby.simulate.options import SimulationOptions
from passerby.simulate.streets import StreetMap, build_streets
from passerby.simulate.units import Unit, build_units
from passerby.simulate.walks import Population, Walks, populate, walk_everyone
from passerby.simulate.wardrobe import Appearance

# streams of random numbers: one a part, so that a change in one leaves the others as they are
MAP, CAMERAS, PEOPLE, WALKS, SHOTS, SPLIT, APPEARANCES, CROP, CLIP = range(9)


@dataclass(frozen=True, kw_only=True)
class World:
    """A simulated city without its pictures."""

    options: SimulationOptions
    layout: Layout
    streets: StreetMap
    units: list[Unit]
    cameras: list[CityCamera]
    population: Population
    walks: Walks
    passages: Passages


def stream(seed: int, *which: int) -> np.random.Generator:
    """A generator of random numbers for one part of the city, or one person or crop of it."""
    return np.random.default_rng([seed, *which])


def build_world(options: SimulationOptions) -> World:
    """Lay out the city and draw everyone's day. Takes seconds, also for thousands of people."""
    rng = stream(options.seed, MAP)
    layout = plan(options.metres, rng)
    streets = build_streets(layout, rng)
    units = build_units(streets, layout.river, rng)
    cameras = place_cameras(
        streets, units, count=options.cameras, rng=stream(options.seed, CAMERAS),
        difficulty=options.difficulty,
    )  # fmt: skip
    population = populate(options, streets, stream(options.seed, PEOPLE))
    walks = walk_everyone(population, streets, options.hours * 3600.0, stream(options.seed, WALKS))
    return World(
        options=options,
        layout=layout,
        streets=streets,
        units=units,
        cameras=cameras,
        population=population,
        walks=walks,
        passages=find_passages(walks, cameras),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Appearances:
    """What N people wear at a given time of the day; small enough to send to any process.

    Each appearance is drawn again from the seed wherever it is needed.

    Attributes:
        look_alike: (N,) index of the person each dresses like; -1 for nobody.
        change: (N,) seconds at which the outer clothes change; inf: never.
        umbrella: (N,) bool: carries an umbrella.
        rain: first and last second of the rain; equal when it stays dry.
    """

    seed: int
    look_alike: np.ndarray
    change: np.ndarray
    umbrella: np.ndarray
    rain: tuple[float, float]

    def at(self, person: int, time: float) -> Appearance:
        """The appearance of a person at ``time`` seconds."""
        wet = bool(self.umbrella[person]) and self.rain[0] <= time < self.rain[1]
        other = int(self.look_alike[person])
        return _appearance(self.seed, person, other, bool(time >= self.change[person]), wet)

    def pose(self, person: int, camera: int) -> str:
        """How the person walks past a camera."""
        rng = stream(self.seed, APPEARANCES, person, 1, camera)
        return str(rng.choice(POSES, p=(0.8, 0.07, 0.04, 0.09)))

    @cached_property
    def statures(self) -> np.ndarray:
        """(N,) metres."""
        return np.array([self.at(person, -1.0).stature for person in range(len(self.umbrella))])


def appearances_of(world: World) -> Appearances:
    """Gather what the appearances of a day depend on."""
    day = world.options.hours * 3600.0
    population, walks = world.population, world.walks
    change = np.full(len(population), np.inf)
    for person in np.flatnonzero(np.isfinite(population.changes)).tolist():
        own = slice(walks.first[person], walks.first[person + 1])
        stops = walks.time[own][walks.indoors[own]]
        later = stops[stops >= population.changes[person] * day]
        if len(later):
            change[person] = later[0]
    return Appearances(
        seed=world.options.seed,
        look_alike=population.look_alike,
        change=change,
        umbrella=population.umbrella,
        rain=(0.55 * day, 0.75 * day) if world.options.rain else (0.0, 0.0),
    )


@lru_cache(maxsize=4096)
def _appearance(seed: int, person: int, other: int, changed: bool, wet: bool) -> Appearance:
    if wet:
        dry = _appearance(seed, person, other, changed, False)
        return open_umbrella(dry, stream(seed, APPEARANCES, person, 2))
    if changed:
        before = _appearance(seed, person, other, False, False)
        return change_outer(before, stream(seed, APPEARANCES, person, 3))
    like = _appearance(seed, other, -1, False, False) if other >= 0 else None
    return sample_appearance(stream(seed, APPEARANCES, person, 0), look_alike=like)
