"""Which crops make up a batch. Every epoch's batches are a function of (seed, epoch) alone."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from passerby.data.seeds import numpy_generator
from passerby.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class PKSampler:
    """Batches of P identities with K images each.

    Hermans et al. (2017), in the form of the Bag of Tricks code (Luo et al., 2019): each identity's
    images are shuffled and cut into chunks of K (fewer than K images: K drawn with replacement; a
    remainder is dropped); then P identities that still have chunks are drawn, one chunk each, until
    fewer than P identities remain. The number of batches varies a little from epoch to epoch.

    Attributes:
        labels: (N,) class of each row.
        identities: P.
        images: K.
        seed: Seed of all epochs.
    """

    labels: NDArray[np.int64]
    identities: int = 16
    images: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that a batch can be made at all."""
        object.__setattr__(self, "labels", whole_numbers(self.labels))
        present = len(np.unique(self.labels))
        if self.identities < 1 or self.images < 1:
            raise InputError("a batch needs at least one identity and one image of each")
        if present < self.identities:
            raise InputError(
                f"{present} identities cannot fill batches of {self.identities}; "
                "lower the identities per batch"
            )

    @property
    def batch_size(self) -> int:
        """B = P K."""
        return self.identities * self.images

    def batches(self, epoch: int) -> list[Tensor]:
        """Row indices (B,) int64 of each batch of ``epoch``; K neighbours share an identity."""
        random = numpy_generator(self.seed, epoch)
        chunks = self._chunks(random)
        left = np.array([len(c) for c in chunks])
        made = []
        while (alive := np.flatnonzero(left)).size >= self.identities:
            chosen = random.choice(alive, self.identities, replace=False)
            left[chosen] -= 1
            rows = np.concatenate([chunks[i][left[i]] for i in chosen])
            made.append(torch.from_numpy(rows))
        return made

    def _chunks(self, random: np.random.Generator) -> list[NDArray[np.int64]]:
        """Per identity its shuffled rows as (chunks, K)."""
        K = self.images
        # a random order of all rows, stably sorted by label: each label's rows are shuffled
        order = random.permutation(len(self.labels))
        order = order[np.argsort(self.labels[order], kind="stable")]
        ends = np.cumsum(np.unique(self.labels, return_counts=True)[1])
        chunks = []
        for rows in np.split(order, ends[:-1]):
            full = rows[: len(rows) // K * K] if len(rows) >= K else random.choice(rows, K)
            chunks.append(full.reshape(-1, K))
        return chunks


@dataclass(frozen=True, kw_only=True)
class ShuffleSampler:
    """Batches of a random order of all rows; a last smaller batch is dropped.

    Attributes:
        count: N, number of rows.
        batch_size: B.
        seed: Seed of all epochs.
    """

    count: int
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that a batch can be made at all."""
        if not 1 <= self.batch_size <= self.count:
            raise InputError(
                f"{self.count} rows cannot fill a batch of {self.batch_size}; lower the batch size"
            )

    def batches(self, epoch: int) -> list[Tensor]:
        """Row indices (B,) int64 of each batch of ``epoch``."""
        order = torch.from_numpy(numpy_generator(self.seed, epoch).permutation(self.count))
        return list(order[: self.count // self.batch_size * self.batch_size].split(self.batch_size))


def whole_numbers(labels: ArrayLike) -> NDArray[np.int64]:
    """Labels (N,) as int64; anything else is refused."""
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(f"labels are {array.dtype} {array.shape}; give whole numbers (N,)")
    return array.astype(np.int64)
