"""The rows of each batch. The batches of an epoch depend on (seed, epoch) alone.

So a resumed run draws the same batches as one that was not interrupted.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from passerby.errors import InputError


def numpy_generator(seed: int, *place: int) -> np.random.Generator:
    """Make a numpy generator for ``seed`` and a place, such as an epoch's number."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *place])))


def torch_generator(seed: int, *place: int, device: str = "cpu") -> torch.Generator:
    """Make a torch generator for ``seed`` and a place, such as an epoch's number."""
    state = int(np.random.SeedSequence([seed, *place]).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(state >> 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class _IdentitySampler:
    """The base of samplers whose batches have P identities with K images each."""

    labels: NDArray[np.int64]
    identities: int = 16
    images: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that a batch can be made."""
        object.__setattr__(self, "labels", whole_numbers(self.labels))
        if self.identities < 1 or self.images < 1:
            raise InputError("a batch needs at least one identity and one image of each")

    @property
    def batch_size(self) -> int:
        """B = P K."""
        return self.identities * self.images

    @property
    def group(self) -> int:
        """K: this many neighbours in a batch share an identity."""
        return self.images


@dataclass(frozen=True, kw_only=True, eq=False)
class PKSampler(_IdentitySampler):
    """Batches of P identities with K images each.

    Hermans et al. (2017), in the form of the Bag of Tricks code (Luo et al., 2019). Each identity's
    images are shuffled and cut into chunks of K; a remainder is dropped. An identity with fewer
    than K images has one chunk, drawn with replacement. Then P identities that still have chunks
    are drawn, one chunk each, until fewer than P identities remain. The number of batches varies a
    little from epoch to epoch.

    Pyramid's code (Zheng et al., CVPR 2019) takes ``once``: one chunk of every identity an epoch.
    Of an identity with fewer than K images, each image is then taken equally often, or once more.

    Attributes:
        labels: (N,) class of each row.
        identities: P.
        images: K.
        seed: Seed of all epochs.
        once: Whether an epoch takes one chunk of each identity instead of all.
    """

    once: bool = False

    def __post_init__(self) -> None:
        """Check that a batch can be made."""
        super().__post_init__()
        present = len(np.unique(self.labels))
        if present < self.identities:
            raise InputError(
                f"{present} identities cannot fill batches of {self.identities}; "
                "lower the identities per batch"
            )

    def batches(self, epoch: int) -> list[Tensor]:
        """Draw the rows (B,) int64 of each batch of ``epoch``; K neighbours share an identity."""
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
        """Shuffle the rows of each identity and cut them into (chunks, K)."""
        K = self.images
        # a random order of all rows, stably sorted by label, shuffles the rows of each label
        order = random.permutation(len(self.labels))
        order = order[np.argsort(self.labels[order], kind="stable")]
        ends = np.cumsum(np.unique(self.labels, return_counts=True)[1])
        chunks = []
        for rows in np.split(order, ends[:-1]):
            full = rows[: len(rows) // K * K] if len(rows) >= K else self._repeated(rows, random)
            chunks.append(full.reshape(-1, K)[: 1 if self.once else None])
        return chunks

    def _repeated(self, rows: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """Draw K of fewer than K rows."""
        if self.once:
            return np.resize(rows, self.images)
        return random.choice(rows, self.images)


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraSampler(_IdentitySampler):
    """Batches of P identities with K pictures each, from several cameras; for pseudo labels.

    This is the sampler of SpCL and Cluster Contrast (Ge et al., NeurIPS 2020). Identities come in a
    random order. Of each a random anchor is drawn, then K - 1 of its pictures from cameras other
    than the anchor's, or any other pictures where it has no other camera. They are drawn without
    replacement when there are at least K, otherwise with replacement. At the end of the order a new
    one begins, and identities that do not fill a batch are left out. With fewer than P identities
    an identity occurs several times in a batch.

    An identity with a single picture is left out. (The published code lists its picture alone,
    which shifts the groups of all later batches.)

    Attributes:
        labels: (N,) identity of each row; negative rows (outliers) are left out.
        identities: P.
        images: K.
        seed: Seed of all epochs.
        cameras: (N,) camera of each row; None where cameras are unknown or must not count.
        iterations: Batches of an epoch; None for one pass over the identities.
    """

    images: int = 16
    cameras: NDArray[np.int64] | None = None
    iterations: int | None = None

    def __post_init__(self) -> None:
        """Check that a batch can be made."""
        super().__post_init__()
        if self.cameras is not None:
            object.__setattr__(self, "cameras", whole_numbers(self.cameras))
            if len(self.cameras) != len(self.labels):
                raise InputError(
                    f"{len(self.cameras)} cameras for {len(self.labels)} labels; give one a row"
                )
        if self.iterations is not None and self.iterations < 1:
            raise InputError(f"an epoch of {self.iterations} iterations; give at least 1")
        if not self._groups():
            raise InputError(
                "no identity has two pictures or more, so there is nothing to pair; "
                "cluster more loosely or add crops"
            )

    def batches(self, epoch: int) -> list[Tensor]:
        """Draw the rows (B,) int64 of each batch of ``epoch``; K neighbours share an identity."""
        random = numpy_generator(self.seed, epoch)
        groups = self._groups()
        count = self.iterations or max(1, len(groups) // self.identities)
        return [
            torch.from_numpy(np.concatenate([self._pictures(random, groups[i]) for i in chosen]))
            for chosen in islice(self._turns(random, len(groups)), count)
        ]

    def _groups(self) -> list[NDArray[np.int64]]:
        """List the rows of each identity that has at least two."""
        order = np.argsort(self.labels, kind="stable")
        order = order[self.labels[order] >= 0]
        counts = np.unique(self.labels[order], return_counts=True)[1]
        groups = np.split(order, np.cumsum(counts)[:-1])
        return [rows for rows in groups if len(rows) > 1]

    def _turns(self, random: np.random.Generator, count: int) -> Iterator[NDArray[np.int64]]:
        """Yield the identities (P,) of one batch after another, without end."""
        P = self.identities
        passes = -(-P // count)  # more than one only where a batch is larger than all identities
        while True:
            order = np.concatenate([random.permutation(count) for _ in range(passes)])
            yield from order[: len(order) // P * P].reshape(-1, P)

    def _pictures(self, random: np.random.Generator, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Draw an anchor among ``rows`` and its K - 1 partners."""
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


@dataclass(frozen=True, kw_only=True)
class ShuffleSampler:
    """Batches in a random order of all rows; a last smaller batch is dropped.

    Attributes:
        count: N, number of rows.
        batch_size: B.
        seed: Seed of all epochs.
    """

    count: int
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that a batch can be made."""
        if not 1 <= self.batch_size <= self.count:
            raise InputError(
                f"{self.count} rows cannot fill a batch of {self.batch_size}; lower the batch size"
            )

    def batches(self, epoch: int) -> list[Tensor]:
        """Draw the rows (B,) int64 of each batch of ``epoch``."""
        order = torch.from_numpy(numpy_generator(self.seed, epoch).permutation(self.count))
        return list(order[: self.count // self.batch_size * self.batch_size].split(self.batch_size))


@dataclass(frozen=True, kw_only=True, eq=False)
class SwitchSampler:
    """Batches of one of two samplers; the choice is made when a batch is taken.

    This is Pyramid's dynamic training (Zheng et al., CVPR 2019, section 3.3). It draws images at
    random while the identity loss alone is minimised, and balanced batches while the triplet loss
    takes part. The step before decides. Batch i of an epoch is batch i of the chosen sampler,
    counted from the start again where that has fewer. It depends on (seed, epoch, i) and the
    decision alone, so that a run whose method saves the decision resumes exactly.

    Attributes:
        random: The sampler of random batches. It gives the length of an epoch, N / B.
        balanced: The sampler of balanced batches, of the same batch size.
        wants_balanced: Returns the decision for the next batch.
    """

    random: ShuffleSampler
    balanced: PKSampler
    wants_balanced: Callable[[], bool]

    def __post_init__(self) -> None:
        """Check that the batches have one size."""
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
        """Return the batches of ``epoch``; each is chosen when it is taken."""
        return _Switched(
            self.random.batches(epoch), self.balanced.batches(epoch), self.wants_balanced
        )


class _Switched(Sequence[Tensor]):
    """The batches of an epoch of :class:`SwitchSampler`."""

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
    """Check that labels are whole numbers (N,), and return them as int64.

    Raises:
        InputError: They are not.
    """
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(f"labels are {array.dtype} {array.shape}; give whole numbers (N,)")
    return array.astype(np.int64)
