"""Batches for labels made by clustering: pictures of an identity from several cameras."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passerby.data.samplers import whole_numbers
from passerby.data.seeds import numpy_generator
from passerby.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraSampler:
    """Batches of P identities with K pictures each, a picture's partners from other cameras.

    The sampler of SpCL and Cluster Contrast (Ge et al., NeurIPS 2020): identities in a random
    order; of each a random anchor, then K - 1 pictures of it from cameras other than the anchor's
    (any other pictures, where it has no other camera); drawn without replacement when at least K
    are there, else with. Where the order of identities is used up a new one begins, and those that
    do not fill a batch rest; with fewer than P identities they take turns within a batch.

    An identity with a single picture is left out. (The published code lists its picture alone,
    which shifts the groups of all batches after it.)

    Attributes:
        labels: (N,) identity of each row; negative rows (outliers) are left out.
        cameras: (N,) camera of each row; None where cameras are not known or shall not count.
        identities: P.
        images: K.
        iterations: Batches of an epoch; None for one pass over the identities.
        seed: Seed of all epochs.
    """

    labels: NDArray[np.int64]
    cameras: NDArray[np.int64] | None = None
    identities: int = 16
    images: int = 16
    iterations: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that a batch can be made at all."""
        object.__setattr__(self, "labels", whole_numbers(self.labels))
        if self.cameras is not None:
            object.__setattr__(self, "cameras", whole_numbers(self.cameras))
            if len(self.cameras) != len(self.labels):
                raise InputError(
                    f"{len(self.cameras)} cameras for {len(self.labels)} labels; give one a row"
                )
        if self.identities < 1 or self.images < 1:
            raise InputError("a batch needs at least one identity and one image of each")
        if self.iterations is not None and self.iterations < 1:
            raise InputError(f"an epoch of {self.iterations} iterations; give at least 1")
        if not self._groups():
            raise InputError(
                "no identity has two pictures or more, so there is nothing to pair; "
                "cluster more loosely or add crops"
            )

    @property
    def group(self) -> int:
        """K: so many neighbours in a batch belong together."""
        return self.images

    @property
    def batch_size(self) -> int:
        """B = P K."""
        return self.identities * self.images

    def batches(self, epoch: int) -> list[Tensor]:
        """Row indices (B,) int64 of each batch of ``epoch``; K neighbours share an identity."""
        random = numpy_generator(self.seed, epoch)
        groups = self._groups()
        count = self.iterations or max(1, len(groups) // self.identities)
        return [
            torch.from_numpy(np.concatenate([self._pictures(random, groups[i]) for i in chosen]))
            for chosen in islice(self._turns(random, len(groups)), count)
        ]

    def _groups(self) -> list[NDArray[np.int64]]:
        """The rows of each identity that has at least two."""
        order = np.argsort(self.labels, kind="stable")
        order = order[self.labels[order] >= 0]
        counts = np.unique(self.labels[order], return_counts=True)[1]
        groups = np.split(order, np.cumsum(counts)[:-1])
        return [rows for rows in groups if len(rows) > 1]

    def _turns(self, random: np.random.Generator, count: int) -> Iterator[NDArray[np.int64]]:
        """Which identities (P,) make up a batch, without end."""
        P = self.identities
        passes = -(-P // count)  # more than one only where a batch is larger than all identities
        while True:
            order = np.concatenate([random.permutation(count) for _ in range(passes)])
            yield from order[: len(order) // P * P].reshape(-1, P)

    def _pictures(self, random: np.random.Generator, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """An anchor among ``rows`` and its K - 1 partners."""
        anchor = rows[random.integers(len(rows))]
        others = rows[:0]
        if self.cameras is not None:
            others = rows[self.cameras[rows] != self.cameras[anchor]]
        if not len(others):
            others = rows[rows != anchor]
        K = self.images
        # the published bound is K, though K - 1 would do
        partners = random.choice(others, K - 1, replace=len(others) < K)
        return np.concatenate([[anchor], partners])
