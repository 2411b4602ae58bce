"""A second look at the first candidates of a search, by Diff Attention."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from passerby.city.sightings import FloatArray
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.models.attention_files import AttentionCard
    from passerby.models.diff_attention import DiffAttention

CANDIDATES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondStage:
    """A Diff Attention with the network it belongs to; see :meth:`load`.

    Attributes:
        attention: weighs a pair of vectors.
        card: what its file says.
        candidates: how many of the first candidates it puts in order; the others stay behind.
    """

    attention: "DiffAttention"
    card: "AttentionCard"
    candidates: int = CANDIDATES

    @classmethod
    def load(cls, path: Path | str, *, candidates: int = CANDIDATES) -> "SecondStage":
        """Open a Diff Attention file that can judge the unit vectors of a gallery.

        Raises:
            InputError: no such file, or its attention needs features of the network's own length;
                fewer than two candidates.
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
            InputError: it was trained for another network than ``model_id``.
        """
        if model_id != self.card.model_id:
            raise InputError(
                f"the second stage was trained for the network {self.card.model_id}, the gallery "
                f"has vectors of {model_id}; train one for that network, or search without it"
            )

    def order(self, query: FloatArray, vectors: FloatArray) -> NDArray[np.int64]:
        """Places (n,) of candidates in their new order: the first few by distance, then the rest.

        Args:
            query: (1, D) unit vector.
            vectors: (n, D) unit vectors, best candidate first; equal distances keep that order.
        """
        from passerby.retrieval import Ranking, rerank_pairs

        count = min(self.candidates, len(vectors))
        first = Ranking(np.arange(count)[None], np.zeros((1, count), dtype=np.float32))
        again = rerank_pairs(first, query, vectors[:count], self.attention.candidates)
        return np.concatenate([again.indices[0], np.arange(count, len(vectors))])
