"""Which crops make up a batch. Every epoch's batches are a function of (seed, epoch) alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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

    Pyramid's code (Zheng et al., CVPR 2019) takes ``once``: one chunk of every identity an epoch,
    and of an identity with fewer than K images each as often as the others, give or take one.

    Attributes:
        labels: (N,) class of each row.
        identities: P.
        images: K.
        seed: Seed of all epochs.
        once: One chunk of each identity an epoch instead of all.
    """

    labels: NDArray[np.int64]
    identities: int = 16
    images: int = 4
    seed: int = 0
    once: bool = False

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

    @property
    def group(self) -> int:
        """K: so many neighbours in a batch belong together."""
        return self.images

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
            full = rows[: len(rows) // K * K] if len(rows) >= K else self._repeated(rows, random)
            chunks.append(full.reshape(-1, K)[: 1 if self.once else None])
        return chunks

    def _repeated(self, rows: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """K of fewer than K rows."""
        if self.once:
            return np.resize(rows, self.images)
        return random.choice(rows, self.images)


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


@dataclass(frozen=True, kw_only=True, eq=False)
class SwitchSampler:
    """Batches of one sampler or another, as decided when each is asked for.

    Pyramid's dynamic training (Zheng et al., CVPR 2019, section 3.3) draws images at random while
    the identity loss alone is minimised and balanced batches while the triplet loss takes part; the
    step before decides. Batch i of an epoch is batch i of the sampler chosen (from the start again
    where that has fewer), so that it follows from (seed, epoch, i) and the decision alone: a run
    whose method keeps the decision in its state resumes exactly.

    Attributes:
        random: Gives the length of an epoch, N / B.
        balanced: Of the same batch size.
        wants_balanced: The decision for the next batch.
    """

    random: ShuffleSampler
    balanced: PKSampler
    wants_balanced: Callable[[], bool]

    def __post_init__(self) -> None:
        """Check that the batches are alike."""
        if self.random.batch_size != self.balanced.batch_size:
            raise InputError(
                f"batches of {self.random.batch_size} images and of {self.balanced.batch_size} "
                "cannot take turns; give both one size"
            )

    @property
    def group(self) -> int:
        """K of the balanced batches."""
        return self.balanced.group

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """The batches of ``epoch``, each decided upon when it is taken."""
        return _Switched(
            self.random.batches(epoch), self.balanced.batches(epoch), self.wants_balanced
        )


class _Switched(Sequence[Tensor]):
    """See :class:`SwitchSampler`."""

    def __init__(
        self, random: list[Tensor], balanced: list[Tensor], wants_balanced: Callable[[], bool]
    ) -> None:
        self._random, self._balanced = random, balanced
        self._wants_balanced = wants_balanced

    def __len__(self) -> int:
        return len(self._random)

    def __getitem__(self, place: Any) -> Any:
        if not 0 <= place < len(self):
            raise IndexError(place)
        chosen = self._balanced if self._wants_balanced() else self._random
        return chosen[place % len(chosen)]


def whole_numbers(labels: ArrayLike) -> NDArray[np.int64]:
    """Labels (N,) as int64; anything else is refused."""
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(f"labels are {array.dtype} {array.shape}; give whole numbers (N,)")
    return array.astype(np.int64)
