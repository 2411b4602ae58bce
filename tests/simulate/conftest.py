"""A small city for all tests of the room: built once, rendered once."""

from pathlib import Path

import pytest

from passerby.simulate.options import SimulationOptions
from passerby.simulate.world import World, build_world
from passerby.simulate.writer import simulate

SMALL = SimulationOptions(people=60, cameras=8, hours=1.0, seed=3)
TINY = SimulationOptions(
    people=14, cameras=4, hours=0.8, seed=5, extent=700.0, crops_per_passage=2, clips=1,
    clip_seconds=1.0,
)  # fmt: skip


@pytest.fixture(scope="session")
def world() -> World:
    return build_world(SMALL)


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny simulation on disk, rendered by one process."""
    out = tmp_path_factory.mktemp("simulated") / "city"
    simulate(out, TINY, workers=1, progress=False)
    return out
