"""Tables of labelled features: people as noisy directions, with junk and distractors."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray


@dataclass(frozen=True)
class World:
    queries: NDArray[np.float32]
    gallery: NDArray[np.float32]
    query_ids: NDArray[np.int64]
    gallery_ids: NDArray[np.int64]
    query_cameras: NDArray[np.int64]
    gallery_cameras: NDArray[np.int64]

    @property
    def all(self) -> tuple[NDArray, ...]:
        return (self.queries, self.gallery, *self.labels)

    @property
    def labels(self) -> tuple[NDArray[np.int64], ...]:
        return self.query_ids, self.gallery_ids, self.query_cameras, self.gallery_cameras


def make_world(  # noqa: PLR0917
    seed: int = 0,
    Q: int = 40,
    G: int = 200,
    people: int = 20,
    cameras: int = 3,
    noise: float = 1.0,
) -> World:
    """Queries of people (some with junk or no identity), gallery with -1 and 0 as well."""
    random = np.random.default_rng(seed)
    faces = random.normal(size=(people + 2, 8))
    query_ids = random.integers(-1, people + 1, Q)
    query_ids[0] = 1
    gallery_ids = random.integers(-1, people + 1, G)
    query_cameras = random.integers(1, cameras + 1, Q)
    gallery_cameras = random.integers(1, cameras + 1, G)
    gallery_ids[0], gallery_cameras[0] = 1, query_cameras[0] + 1  # somebody can be found

    def rows(ids: NDArray[np.int64]) -> NDArray[np.float32]:
        made = faces[ids] + noise * random.normal(size=(len(ids), 8))
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)

    return World(
        rows(query_ids), rows(gallery_ids), query_ids, gallery_ids, query_cameras, gallery_cameras
    )


@pytest.fixture
def world() -> World:
    return make_world()


@pytest.fixture(scope="session")
def large_world() -> World:
    return make_world(3, Q=400, G=3000, people=100, cameras=6, noise=1.3)


@pytest.fixture(scope="session")
def make() -> object:
    return make_world
