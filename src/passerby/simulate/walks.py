"""Who lives in the city, and everyone's day: stops in buildings and shortest walks between."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from passerby.simulate.geometry import cut, lengths_along, offset_polyline
from passerby.simulate.options import SimulationOptions
from passerby.simulate.streets import StreetMap

SLOWEST, FASTEST = 0.8, 1.8  # metres a second
GO_HOME = 0.2  # share of the trips that lead home
USUAL_TRIP = 900.0  # metres beyond which goals soon lose their attraction


@dataclass(frozen=True, kw_only=True)
class Population:
    """N people; index i is identity i + 1.

    Attributes:
        party: (N,) number of the company each walks with; alone when no other has it.
        rank: (N,) place in the company, 0 for the one who leads.
        home: (N, 2) edge (as float) and share of the way along it.
        pace: (N,) metres a second.
        side: (N,) metres to the right of the street's axis at which each walks.
        look_alike: (N,) index of the person each dresses like; -1 for nobody.
        changes: (N,) share of the day after which the outer clothes change at the next stop; inf:
            never.
        umbrella: (N,) bool: carries an umbrella.
    """

    party: np.ndarray
    rank: np.ndarray
    home: np.ndarray
    pace: np.ndarray
    side: np.ndarray
    look_alike: np.ndarray
    changes: np.ndarray
    umbrella: np.ndarray

    def __len__(self) -> int:
        return len(self.party)


def populate(
    options: SimulationOptions, streets: StreetMap, rng: np.random.Generator
) -> Population:
    """Draw the people of a city."""
    count = options.people
    party, rank = _parties(count, options.group_share, rng)
    livable = streets.lengths * [HOMES[kind] for kind in streets.kinds]
    homes = _draw_places(livable, count, rng)[party]
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
    """(count,) index of the person each dresses like, -1 for nobody: a model or a random other.

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


# how much people like to live along a street of some kind, and to go to it; none live in the park
HOMES = {"primary": 0.6, "secondary": 1.0, "alley": 1.3, "path": 0.0}
GOALS = {"primary": 2.0, "secondary": 1.2, "alley": 0.5, "path": 1.0}


def _goal_weights(streets: StreetMap) -> np.ndarray:
    """(E,) how much each street draws people: length, main streets, the centre, the park."""
    middles = streets.nodes[streets.ends].mean(1)
    radius = np.hypot(*(streets.nodes - streets.nodes.mean(0)).T).max()
    central = np.exp(-((np.hypot(*middles.T) / (0.6 * radius)) ** 2))
    return np.asarray(streets.lengths * [GOALS[k] for k in streets.kinds] * (0.3 + central))


def _draw_places(weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 2) places as (edge, share of the way along it)."""
    edges = rng.choice(len(weights), count, p=weights / weights.sum())
    return np.stack([edges.astype(np.float64), rng.uniform(0.1, 0.9, count)], axis=1)


@dataclass(frozen=True, kw_only=True)
class Walks:
    """K moments of N people, each person's in order of time; positions are linear between them.

    Attributes:
        first: (N + 1,) where each person's moments begin.
        time: (K,) seconds since the start.
        place: (K, 2) metres east, north.
        indoors: (K,) bool: from this moment to the next the person is inside a building.
    """

    first: np.ndarray
    time: np.ndarray
    place: np.ndarray
    indoors: np.ndarray

    @property
    def person(self) -> np.ndarray:
        """(K,) index of the person of each moment."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))

    def position(self, person: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Where people (S,) are at seconds (S,): (S, 2) metres."""
        # one long line of time, person after person
        day = float(self.time.max()) + 10.0
        line = self.time + day * self.person
        at = np.clip(time, 0.0, day - 10.0) + day * np.asarray(person)
        return np.stack([np.interp(at, line, self.place[:, i]) for i in (0, 1)], axis=-1)

    def outdoors(self, person: np.ndarray, time: np.ndarray) -> np.ndarray:
        """(S,) bool: whether people (S,) are on the street at seconds (S,)."""
        day = float(self.time.max()) + 10.0
        line = self.time + day * self.person
        moment = np.searchsorted(line, time + day * np.asarray(person), side="right") - 1
        return ~self.indoors[np.clip(moment, 0, None)]

    def direction(self, person: np.ndarray, time: np.ndarray, span: float = 0.6) -> np.ndarray:
        """Unit vectors (S, 2) in which people walk; zero for who stands still ``span`` seconds."""
        step = self.position(person, time + span / 2) - self.position(person, time - span / 2)
        length = np.hypot(*step.T)
        return np.asarray(step / np.maximum(length, 1e-6)[:, None])


Trip = tuple[float, float, np.ndarray]  # seconds at the start, metres a second, course (P, 2)


def walk_everyone(
    population: Population, streets: StreetMap, seconds: float, rng: np.random.Generator
) -> Walks:
    """Draw the day of every company; its members walk side by side.

    Args:
        population: who walks.
        streets: where.
        seconds: length of the day; walks are cut off there.
        rng: draws stops and goals.
    """
    goals = _goal_weights(streets)
    moments: list[np.ndarray] = []
    trips: list[Trip] = []
    for person in range(len(population)):
        if population.rank[person] == 0:
            trips = _itinerary(population, person, streets, goals=goals, seconds=seconds, rng=rng)
        moments.append(_moments(population, person, trips, seconds, rng))
    table = np.concatenate(moments)
    return Walks(
        first=np.cumsum([0, *map(len, moments)]),
        time=table[:, 0],
        place=table[:, 1:3],
        indoors=table[:, 3] > 0,
    )


def _itinerary(
    population: Population,
    person: int,
    streets: StreetMap,
    *,
    goals: np.ndarray,
    seconds: float,
    rng: np.random.Generator,
) -> list[Trip]:
    """Trips of one day, each leaving after a stop of minutes."""
    here = home = population.home[person]
    clock = float(rng.uniform(0, min(0.2 * seconds, 2400.0)))
    trips = []
    while clock < seconds:
        at_home = bool((here == home).all())
        goal = home if not at_home and rng.random() < GO_HOME else _goal(here, streets, goals, rng)
        course = shortest_course(streets, here, goal)
        pace = float(np.clip(population.pace[person] * rng.normal(1, 0.04), SLOWEST, FASTEST))
        trips.append((clock, pace, course))
        stop = float(np.clip(rng.lognormal(np.log(540.0), 0.8), 60.0, 5400.0))
        clock += lengths_along(course)[-1] / pace + stop
        here = goal
    return trips


def _goal(
    here: np.ndarray, streets: StreetMap, goals: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A place drawn by attraction and nearness (a gravity model)."""
    middles = streets.nodes[streets.ends].mean(1)
    far = np.hypot(*(middles - middles[int(here[0])]).T)
    weights = goals * np.exp(-far / USUAL_TRIP) * (far > 120.0)
    return np.asarray(_draw_places(weights if weights.any() else goals, 1, rng)[0])


def shortest_course(streets: StreetMap, start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Polyline (P, 2) in metres of the shortest walk between two places (edge, share of it)."""
    a, b = int(start[0]), int(goal[0])
    along_a, along_b = start[1] * streets.lengths[a], goal[1] * streets.lengths[b]
    if a == b:
        return cut(streets.courses[a], along_a, along_b)
    ends_a, ends_b = streets.ends[a], streets.ends[b]
    out = np.array([along_a, streets.lengths[a] - along_a])
    back = np.array([along_b, streets.lengths[b] - along_b])
    ways = out[:, None] + streets.distances[np.ix_(ends_a, ends_b)] + back
    i, j = np.unravel_index(np.argmin(ways), ways.shape)
    path = streets.node_path(int(ends_a[i]), int(ends_b[j]))
    parts = [cut(streets.courses[a], along_a, 0.0 if i == 0 else streets.lengths[a])]
    parts += [streets.course_between(*pair)[1:] for pair in pairwise(path)]
    parts.append(cut(streets.courses[b], 0.0 if j == 0 else streets.lengths[b], along_b)[1:])
    return np.concatenate(parts)


def _moments(
    population: Population,
    person: int,
    trips: list[Trip],
    seconds: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Moments (K, 4) of one person, cut off at the end of the day.

    Columns: seconds, east, north, and 1 where the person is indoors until the next moment.
    """
    rank = population.rank[person]
    lag = max(0, rank - 2) * 0.8 + rng.uniform(0, 0.5) * (rank > 0)
    steps = []
    for leave, pace, course in trips:
        # the company keeps together: all take the time of the street's axis
        time = leave + lag + lengths_along(course) / pace
        place = offset_polyline(course, population.side[person])
        steps.append(np.column_stack([time, place, np.arange(len(time)) == len(time) - 1]))
    day = np.concatenate(steps)
    begin = [0.0, *day[0, 1:3], 1.0]
    end = [max(seconds, day[-1, 0]) + 1.0, *day[-1, 1:3], 1.0]
    day = np.concatenate([[begin], day, [end]])
    last = [np.interp(seconds, day[:, 0], day[:, i]) for i in (1, 2)]
    keep = int(np.searchsorted(day[:, 0], seconds))
    return np.concatenate([day[:keep], [[seconds, *last, 1.0]]])
