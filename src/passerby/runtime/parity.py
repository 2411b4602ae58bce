"""Comparison of a written network with its original, on crops."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from passerby.data import CropTable
from passerby.errors import InputError
from passerby.metrics import evaluate_table
from passerby.models import ModelCard
from passerby.runtime.backend import Backend
from passerby.runtime.comparison import centred_cosines, cosines, smooth_pictures
from passerby.runtime.embedder import Embedder
from passerby.runtime.pictures import Picture, read_image, resize

LOWEST_COSINE = {"fp32": 0.9999, "int8": 0.995}
"""Least cosine of every crop in fp32; least mean over the crops in int8, where crops vary more."""
RANK1_POINTS = 0.005  # as a fraction: half a point
BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Agreement of a written network with its original."""

    pictures: int
    """Number of pictures in the comparison."""
    lowest_cosine: float
    """Least cosine of a vector and the original's vector."""
    mean_cosine: float
    mean_centred_cosine: float
    """Mean of :func:`passerby.runtime.comparison.centred_cosines`."""
    rank1: tuple[float, float] | None = None
    """Rank-1 of the original and of the written network on the labelled crops, fractions."""

    def fault(self, precision: str) -> str | None:
        """Return the reason why the written network must not be used, or None."""
        cosine = self.lowest_cosine if precision == "fp32" else self.mean_cosine
        which = "lowest" if precision == "fp32" else "mean"
        if not cosine >= LOWEST_COSINE[precision]:
            return f"{which} cosine {cosine:.6f}, wanted {LOWEST_COSINE[precision]}"
        if self.rank1 and not abs(self.rank1[0] - self.rank1[1]) <= RANK1_POINTS:
            return (
                f"rank-1 {100 * self.rank1[1]:.2f} instead of {100 * self.rank1[0]:.2f}, wanted "
                f"within {100 * RANK1_POINTS}"
            )
        return None


def crops_or_samples(pictures: Sequence[Picture], card: ModelCard) -> NDArray[np.uint8]:
    """Read pictures at the card's size, (N, H, W, 3); without any, return 8 random ones."""
    if not pictures:
        return smooth_pictures(card, 8)
    rows = [resize(read_image(one), card.input_size, card.interpolation) for one in pictures]
    return np.stack(rows)


@dataclass(frozen=True)
class Original:
    """The original network with the crops of the comparison. It runs once for all schemes."""

    backend: Backend
    card: ModelCard
    crops: NDArray[np.uint8]
    """(N, H, W, 3) RGB."""
    labelled: CropTable | None = None
    """Queries and a gallery, for the rank-1 of both networks."""

    def compare(self, written: Backend, precision: str) -> Parity:
        """Run a written network on the crops, in batches, and on the first 8 one by one.

        Rank-1 is computed only if the vectors are close enough for ``precision``.
        """
        got = _features(written, self.crops)
        single = np.concatenate([written.features(one[None]) for one in self.crops[:8]])
        agreement = cosines(got, self._features)
        lowest = min(agreement.min(), cosines(single, self._features[:8]).min())
        parity = Parity(
            pictures=len(self.crops),
            lowest_cosine=float(lowest),
            mean_cosine=float(agreement.mean()),
            mean_centred_cosine=float(centred_cosines(got, self._features).mean()),
        )
        if self.labelled is None or parity.fault(precision):
            return parity
        return replace(parity, rank1=(self._rank1, _rank1(written, self.card, self.labelled)))

    @cached_property
    def _features(self) -> NDArray[np.float32]:
        return _features(self.backend, self.crops)

    @cached_property
    def _rank1(self) -> float:
        assert self.labelled is not None
        return _rank1(self.backend, self.card, self.labelled)


def _features(backend: Backend, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    starts = range(0, len(crops), BATCH)
    return np.concatenate([backend.features(crops[first : first + BATCH]) for first in starts])


def _rank1(backend: Backend, card: ModelCard, labelled: CropTable) -> float:
    embedder = Embedder(backend, card, "parity")
    found = evaluate_table(labelled, lambda rows: embedder.embed(rows.paths()))
    return float(found.report.cmc[1])


def labelled_or_none(table: CropTable) -> CropTable | None:
    """Return the table if it has queries and a gallery, None if it has neither.

    Raises:
        InputError: It has only one of them.
    """
    queries, gallery = len(table.query), len(table.gallery)
    if not queries and not gallery:
        return None
    if not queries or not gallery:
        raise InputError(
            f"'{table.name}' has {queries} queries and {gallery} gallery crops; give both or none"
        )
    return table
