"""The networks behind a gallery: that of its vectors, and a second stage of the search."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery.port import Gallery
from passerby.city.sightings import FloatArray
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.models.attention_files import AttentionCard
    from passerby.models.diff_attention import DiffAttention
    from passerby.runtime import Embedder

CANDIDATES = 100


def check_network(gallery: Gallery, model_id: str) -> None:
    """Refuse a network before the work; the gallery itself would refuse its vectors after it.

    Raises:
        InputError: The gallery was made by another network.
    """
    stored = gallery.model_id
    if stored is not None and stored != model_id:
        raise InputError(
            f"the gallery was made by '{stored}', this is '{model_id}'; "
            "use that network, or ingest the city again"
        )


class Networks:
    """The network of a gallery, or two networks of which the second will replace the first.

    ``passerby admin gallery reembed`` switches a gallery from one network to another at one moment.
    A program that has loaded both needs no restart.
    """

    def __init__(
        self, gallery: Gallery, embedder: "Embedder", following: "Embedder | None" = None
    ) -> None:
        """Use the network of ``gallery``, and the one that it may be switched to.

        Raises:
            InputError: The gallery was made by neither of them.
        """
        self._gallery = gallery
        self._known = {one.model_id: one for one in (embedder, following) if one is not None}
        self._first = embedder
        if gallery.model_id not in self._known:
            check_network(gallery, embedder.model_id)

    def named(self, model_id: str) -> "Embedder":
        """One of the networks, by the id of its vectors."""
        return self._known[model_id]

    def now(self) -> "Embedder":
        """The network that made the gallery's vectors; for an empty gallery the first one.

        A gallery that was switched to a third network gets the first one too, and refuses its
        vectors.
        """
        stored = self._gallery.model_id
        return self._first if stored is None else self._known.get(stored, self._first)


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondStage:
    """A Diff Attention that re-orders the first candidates of a search; see :meth:`load`.

    Attributes:
        attention: Weighs the elements of a pair of vectors.
        card: The card of its file.
        candidates: Number of first candidates that are re-ordered; the others stay behind them.
    """

    attention: "DiffAttention"
    card: "AttentionCard"
    candidates: int = CANDIDATES

    @classmethod
    def load(cls, path: Path | str, *, candidates: int = CANDIDATES) -> "SecondStage":
        """Open a Diff Attention file that can compare the unit vectors of a gallery.

        Raises:
            InputError: There is no such file, its attention needs features of the network's own
                length, or there are fewer than two candidates.
        """
        from passerby.models.attention_files import load_attention

        if candidates < 2:
            raise InputError(f"{candidates} candidates have no order; give at least 2")
        attention, card = load_attention(path)
        if card.length is None:
            raise InputError(
                f"'{path}' needs features of the network's own length, which a gallery does not "
                "keep; train it with 'passerby train diff-attention-unit'"
            )
        return cls(attention=attention, card=card, candidates=candidates)

    def check(self, model_id: str | None) -> None:
        """Refuse the vectors of another network.

        Raises:
            InputError: It was trained for another network than ``model_id``.
        """
        if model_id != self.card.model_id:
            raise InputError(
                f"the second stage was trained for the network {self.card.model_id}, the gallery "
                f"has vectors of {model_id}; train one for that network, or search without it"
            )

    def order(self, query: FloatArray, vectors: FloatArray) -> NDArray[np.int64]:
        """The (n,) indices of the candidates in their new order.

        The first candidates are ordered by the distance of the attention, and the rest follow as
        they are.

        Args:
            query: (1, D) unit vector.
            vectors: (n, D) unit vectors, best candidate first. Equal distances keep this order.
        """
        from passerby.retrieval import Ranking, rerank_pairs

        count = min(self.candidates, len(vectors))
        first = Ranking(np.arange(count)[None], np.zeros((1, count), dtype=np.float32))
        again = rerank_pairs(first, query, vectors[:count], self.attention.candidates)
        return np.concatenate([again.indices[0], np.arange(count, len(vectors))])
