"""Who lives in the city: homes, company, pace, and what they do with their clothes today."""

from dataclasses import dataclass

import numpy as np

from passerby.simulate.options import SimulationOptions
from passerby.simulate.streets import StreetMap

SLOWEST, FASTEST = 0.8, 1.8  # metres a second


@dataclass(frozen=True, kw_only=True)
class Population:
    """N people; index i is identity i + 1."""

    party: np.ndarray
    """(N,) number of the company each walks with; alone when no other has it."""
    rank: np.ndarray
    """(N,) place in the company, 0 for the one who leads."""
    home: np.ndarray
    """(N, 2) edge (as float) and share of the way along it."""
    pace: np.ndarray
    """(N,) metres a second."""
    side: np.ndarray
    """(N,) metres to the right of the street's axis at which each walks."""
    look_alike: np.ndarray
    """(N,) index of the person each dresses like; -1 for nobody."""
    changes: np.ndarray
    """(N,) share of the day after which the outer clothes change at the next stop; inf: never."""
    umbrella: np.ndarray
    """(N,) bool: carries an umbrella."""

    def __len__(self) -> int:
        return len(self.party)


def populate(
    options: SimulationOptions, streets: StreetMap, rng: np.random.Generator
) -> Population:
    """Draw the people of a city."""
    count = options.people
    party, rank = _parties(count, options.group_share, rng)
    homes = draw_places(home_weights(streets), count, rng)[party]
    pace = np.clip(rng.normal(1.33, 0.2, count), SLOWEST + 0.05, FASTEST - 0.05)[party]
    side = (rng.choice([1.0, 1.0, -1.0], count) * rng.uniform(2.0, 4.5, count))[party]
    abreast = np.where(rank < 3, rank * 0.75, (rank - 2.5) * 0.75)
    changes = np.where(
        rng.random(count) < options.change_share, rng.uniform(0.25, 0.6, count), np.inf
    )
    return Population(
        party=party,
        rank=rank,
        home=homes,
        pace=pace,
        side=side + np.where(side > 0, -1.0, 1.0) * abreast,
        look_alike=_look_alikes(count, options.look_alike_share, rng),
        changes=changes,
        umbrella=rng.random(count) < 0.5,
    )


def _parties(count: int, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Companies of two to four until ``share`` of the people have one; the rest walk alone."""
    party, rank = np.empty(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    person = 0
    while person < count:
        size = int(rng.choice([2, 3, 4], p=[0.62, 0.26, 0.12])) if rng.random() < 0.4 * share else 1
        if share >= 1.0:
            size = max(size, 2)
        members = np.arange(person, min(person + size, count))
        party[members], rank[members] = person, members - person
        person += size
    return party, rank


def _look_alikes(count: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Some people dress like one of a few models, the rest of the sharers like a random other.

    A model itself dresses like nobody, so that no chain forms.
    """
    follows = np.full(count, -1, dtype=np.int64)
    order = rng.permutation(count)
    followers, models = np.split(order, [int(share * count)])
    if len(models) == 0:
        followers, models = order[1:], order[:1]
    uniforms = models[: max(1, len(followers) // 12)]
    in_uniform = rng.random(len(followers)) < 0.4
    follows[followers] = np.where(
        in_uniform, rng.choice(uniforms, len(followers)), rng.choice(models, len(followers))
    )
    return follows


def home_weights(streets: StreetMap) -> np.ndarray:
    """(E,) how many live along each street: length, more in side streets, none in the park."""
    liking = {"primary": 0.6, "secondary": 1.0, "alley": 1.3, "path": 0.0}
    return streets.lengths * [liking[kind] for kind in streets.kinds]


def goal_weights(streets: StreetMap) -> np.ndarray:
    """(E,) how much each street draws people: length, main streets, the centre, the park."""
    liking = {"primary": 2.0, "secondary": 1.2, "alley": 0.5, "path": 1.0}
    middles = streets.nodes[streets.ends].mean(1)
    radius = np.hypot(*(streets.nodes - streets.nodes.mean(0)).T).max()
    central = np.exp(-((np.hypot(*middles.T) / (0.6 * radius)) ** 2))
    return streets.lengths * [liking[kind] for kind in streets.kinds] * (0.3 + central)


def draw_places(weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 2) places as (edge, share of the way along it)."""
    edges = rng.choice(len(weights), count, p=weights / weights.sum())
    return np.stack([edges.astype(np.float64), rng.uniform(0.1, 0.9, count)], axis=1)
