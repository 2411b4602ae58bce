"""Generated sightings of a city, chunk by chunk, so that ten million need not lie in memory.

Vectors as in the specification's comparison of stores: identities of 20 sightings each (low-rank
identity and nuisance, isotropic noise; cosine 0.66 within, 0.00 +- 0.09 between). 2,000 cells at
five levels, 4,000 cameras, 30 days. One busy street has 4.3 % of the sightings, so that this street
in one week is 1 % of the city. The scopes do not depend on the vectors, which is the worst case for
approximate indices.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from passerby.city import Scope

DAY_MS = 86_400_000  # no import: the first edition has it elsewhere
START = 1_777_593_600_000
DAYS = 30
IMAGES = 20
CHUNK = 20_000
BUSY = 37  # the busy street, of 100
BUSY_EXTRA = 0.0337  # 0.01 * (1 - x) + x = 0.043
DISTRICT, STREET, CELL = 200, 20, 1  # cells in each


def code_of(cell: int) -> str:
    """10 districts x 10 streets x 5 areas x 4 cells."""
    district, rest = divmod(int(cell), DISTRICT)
    street, rest = divmod(rest, STREET)
    area, last = divmod(rest, 4)
    return f"99{district:02d}{street:02d}{area:02d}{last:02d}"


@dataclass(frozen=True)
class Wanted:
    """A scope in three forms: for us, as cell and time ranges for others, and as a mask."""

    scope: Scope
    cells: tuple[int, int]
    times: tuple[int, int]

    def mask(self, source: "Source") -> NDArray[np.bool_]:
        """(N,) rows inside."""
        inside = (source.cells >= self.cells[0]) & (source.cells < self.cells[1])
        return inside & (source.times >= self.times[0]) & (source.times < self.times[1])


@dataclass(frozen=True)
class Source:
    """The same sightings for the same figures."""

    rows: int
    dimension: int
    seed: int = 0
    model: str = "generated"

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.rows // CHUNK)

    @cached_property
    def cells(self) -> NDArray[np.int64]:
        """(N,) cell numbers."""
        rng = np.random.default_rng([self.seed, 1])
        cells = rng.integers(0, 2000, self.rows)
        busy = rng.random(self.rows) < BUSY_EXTRA
        cells[busy] = BUSY * STREET + rng.integers(0, STREET, int(busy.sum()))
        return cells

    @cached_property
    def cameras(self) -> NDArray[np.int64]:
        """(N,) camera numbers, two in a cell."""
        return self.cells * 2 + np.random.default_rng([self.seed, 2]).integers(0, 2, self.rows)

    @cached_property
    def times(self) -> NDArray[np.int64]:
        """(N,) milliseconds, ascending."""
        rng = np.random.default_rng([self.seed, 3])
        return START + np.sort(rng.integers(0, DAYS * DAY_MS, self.rows))

    @cached_property
    def _bases(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rng, size = np.random.default_rng([self.seed, 4]), self.dimension
        identity = rng.standard_normal((size // 2, size)).astype(np.float32) / np.sqrt(size // 2)
        nuisance = rng.standard_normal((size // 8, size)).astype(np.float32) / np.sqrt(size // 8)
        return identity, nuisance

    def chunk(self, number: int) -> NDArray[np.float32]:
        """(n, D) float32 unit rows of a chunk."""
        rows = min(CHUNK, self.rows - number * CHUNK)
        rng = np.random.default_rng([self.seed, 5, number])
        identity, nuisance = self._bases
        people = rng.standard_normal((rows // IMAGES + 1, len(identity)), np.float32) @ identity
        vectors = people[np.arange(rows) // IMAGES]
        vectors += 0.45 * (rng.standard_normal((rows, len(nuisance)), np.float32) @ nuisance)
        vectors += 0.54 * rng.standard_normal((rows, self.dimension), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def queries(self, count: int) -> NDArray[np.float32]:
        """(Q, D) unit rows: noisy copies of stored vectors."""
        rng = np.random.default_rng([self.seed, 6])
        base = np.concatenate([self.chunk(n) for n in rng.integers(0, self.chunks, 4)])
        chosen = base[rng.integers(0, len(base), count)]
        noisy = chosen + 0.3 / np.sqrt(self.dimension) * rng.standard_normal(chosen.shape)
        unit: NDArray[np.float32] = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
        return unit.astype(np.float32)

    def scopes(self) -> dict[str, Wanted]:
        """The scopes that are measured."""
        week = (START + 7 * DAY_MS, START + 14 * DAY_MS)
        moment = (START + 12 * DAY_MS, START + 12 * DAY_MS + int(DAYS * DAY_MS * 0.00233))
        street = (BUSY * STREET, (BUSY + 1) * STREET)
        code = code_of(street[0])[:6]
        always, everywhere = (0, 1 << 62), (0, 2000)
        return {
            "whole city": Wanted(Scope(), everywhere, always),
            "10 %: a district": Wanted(Scope(units=("9905",)), (1000, 1200), always),
            "1 %: a street, a week": Wanted(
                Scope(units=(code,), start=week[0], end=week[1]), street, week
            ),
            "0.01 %: a street, 100 minutes": Wanted(
                Scope(units=(code,), start=moment[0], end=moment[1]), street, moment
            ),
        }
