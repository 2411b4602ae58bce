"""The simulated city as a whole: map, units, cameras, people and their day."""

from dataclasses import dataclass

import numpy as np

from passerby.simulate.cameras import CityCamera
from passerby.simulate.geometry import LocalFrame
from passerby.simulate.layout import Layout, plan
from passerby.simulate.options import SimulationOptions
from passerby.simulate.passages import Passages, find_passages
from passerby.simulate.people import Population, populate
from passerby.simulate.placing import place_cameras
from passerby.simulate.streets import StreetMap, build_streets
from passerby.simulate.units import Unit, build_units
from passerby.simulate.walks import Walks, walk_everyone

# streams of random numbers: one a part, so that a change in one leaves the others as they are
MAP, CAMERAS, PEOPLE, WALKS, SHOTS, SPLIT, LOOKS, CROP, CLIP = range(9)


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything but pictures."""

    options: SimulationOptions
    frame: LocalFrame
    layout: Layout
    streets: StreetMap
    units: list[Unit]
    cameras: list[CityCamera]
    population: Population
    walks: Walks
    passages: Passages

    @property
    def rain(self) -> tuple[float, float]:
        """First and last second of the rain; equal when it stays dry."""
        day = self.options.hours * 3600.0
        return (0.55 * day, 0.75 * day) if self.options.rain else (0.0, 0.0)


def stream(seed: int, *which: int) -> np.random.Generator:
    """The random numbers of one part, and of one person or crop of it."""
    return np.random.default_rng([seed, *which])


def build_world(options: SimulationOptions) -> World:
    """Lay out the city and let everyone live the day. Seconds, also for thousands of people."""
    rng = stream(options.seed, MAP)
    frame = LocalFrame()
    layout = plan(options.metres, rng)
    streets = build_streets(layout, rng)
    units = build_units(streets, layout.river, frame, rng)
    cameras = place_cameras(
        streets,
        units,
        frame,
        count=options.cameras,
        rng=stream(options.seed, CAMERAS),
        difficulty=options.difficulty,
    )
    population = populate(options, streets, stream(options.seed, PEOPLE))
    walks = walk_everyone(population, streets, options.hours * 3600.0, stream(options.seed, WALKS))
    return World(
        options=options,
        frame=frame,
        layout=layout,
        streets=streets,
        units=units,
        cameras=cameras,
        population=population,
        walks=walks,
        passages=find_passages(walks, cameras),
    )
