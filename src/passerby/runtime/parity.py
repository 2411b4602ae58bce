"""Whether a network that was written is the network it was made from, on real crops."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from passerby.data import CropTable
from passerby.errors import InputError
from passerby.models import ModelCard
from passerby.runtime.backend import Backend
from passerby.runtime.embedder import Embedder
from passerby.runtime.evaluation import evaluate_embedder
from passerby.runtime.pictures import Picture, read_image, resize
from passerby.runtime.samples import centred_cosines, cosines, smooth_pictures

LOWEST_COSINE = {"fp32": 0.9999, "int8": 0.995}
"""Of every crop in fp32; of the crops' mean in int8, where single crops scatter."""
RANK1_POINTS = 0.005  # as a fraction: half a point
BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How near a written network is to its original."""

    pictures: int
    """How many pictures the two were compared on."""
    lowest_cosine: float
    """The worst agreement of a vector with the original's."""
    mean_cosine: float
    mean_centred_cosine: float
    """With the original's mean vector taken away: what tells people apart."""
    rank1: tuple[float, float] | None = None
    """Original and written network on the labelled crops, fractions."""

    def fault(self, precision: str) -> str | None:
        """Why the written network must not be used, or None."""
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
    """Pictures at the card's size, (N, H, W, 3); smooth random ones when there are none."""
    if not pictures:
        return smooth_pictures(card, 8)
    rows = [resize(read_image(one), card.input_size, card.interpolation) for one in pictures]
    return np.stack(rows)


@dataclass(frozen=True)
class Original:
    """A network that others must equal, with the crops to try them on; it is run once."""

    backend: Backend
    card: ModelCard
    crops: NDArray[np.uint8]
    """(N, H, W, 3) RGB."""
    labelled: CropTable | None = None
    """Queries and a gallery, to find people in with both networks."""

    def compare(self, written: Backend, precision: str) -> Parity:
        """Run a written network on the crops, in batches and, the first few, one by one.

        People are only looked for when the vectors are near enough for ``precision``.
        """
        got = np.concatenate([written.features(part) for part in _parts(self.crops)])
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
        return np.concatenate([self.backend.features(part) for part in _parts(self.crops)])

    @cached_property
    def _rank1(self) -> float:
        assert self.labelled is not None
        return _rank1(self.backend, self.card, self.labelled)


def _parts(crops: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for first in range(0, len(crops), BATCH):
        yield crops[first : first + BATCH]


def _rank1(backend: Backend, card: ModelCard, labelled: CropTable) -> float:
    report = evaluate_embedder(Embedder(backend, card, "parity"), labelled)
    return float(report.cmc[1])


def labelled_or_none(table: CropTable) -> CropTable | None:
    """The table, if people can be looked for in it.

    Raises:
        InputError: it has queries without a gallery, or the other way round.
    """
    queries, gallery = len(table.query), len(table.gallery)
    if not queries and not gallery:
        return None
    if not queries or not gallery:
        raise InputError(
            f"'{table.name}' has {queries} queries and {gallery} gallery crops; give both or none"
        )
    return table
