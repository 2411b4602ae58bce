"""Diff Attention: a distance that depends on both pictures of a pair.

Zhu et al., multi-level person re-identification with urban information units and Diff Attention.
For every pair of a query and a gallery feature a small network weighs the D channels by the
difference of the two. The distance is that of the weighted features. With ratio r a pair costs
2 D D / r multiply-adds (2.1 million at D = 2048, r = 4), so that it suits the first places of a
ranking, or a GPU. Equation numbers are those of the paper. Formulas that its print lacks are those
of its code.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from passerby.errors import InputError

Transform = Literal["absolute", "difference", "square"]

CPU_BLOCK_BYTES = 2 * 2**20  # of one (pairs, D) tensor, so that several of them fit the cache
GPU_BLOCK_BYTES = 256 * 2**20
KEPT_PAIRS = 4096  # a batch of more pairs recomputes them in the backward pass, to save memory


class Side(NamedTuple):
    """One side of pairs: features, and the part of the attention that depends on them alone.

    Attributes:
        rows: (..., D) features.
        hidden: (..., D / r) their share of the first layer's output.
    """

    rows: Tensor
    hidden: Tensor

    def at(self, where: Tensor | slice) -> "Side":
        """Select the same rows of both tensors."""
        return Side(self.rows[where], self.hidden[where])

    def unsqueeze(self, dimension: int) -> "Side":
        """Insert a dimension of length 1 into both tensors."""
        return Side(self.rows.unsqueeze(dimension), self.hidden.unsqueeze(dimension))


def transformed(queries: Tensor, gallery: Tensor, transform: Transform) -> Tensor:
    """Compute the input transform t (..., D) of features: |q - g|, q - g or (q - g)^2."""
    difference = queries - gallery
    if transform == "absolute":
        return difference.abs()
    return difference.square() if transform == "square" else difference


def weighed_distances(
    weights: Tensor, queries: Tensor, gallery: Tensor, *, normalise: bool
) -> Tensor:
    """Compute Euclidean distances (...) between a * q and a * g, equation 6.

    Args:
        weights: a (..., D), from the attention.
        queries: (..., D), must broadcast to ``weights``.
        gallery: As ``queries``.
        normalise: Whether to scale both products to unit length first, as the test does.
    """
    left, right = weights * queries, weights * gallery
    if normalise:
        left, right = _unit(left), _unit(right)
    # 1e-6 is added to each difference, as in the published code: the gradient of a root of zero is
    # infinite
    return F.pairwise_distance(left, right, eps=1e-6)


class DiffAttention(nn.Module):
    """The attention and its distances.

    x = w1 t(q, g) + w2 q + w3 g + b (equation 4), a = sigmoid(W2 relu(W1 x)) (equation 5), without
    further biases; 2 D D / r + 4 parameters. As w2 and w3 differ, D(q, g) is not D(g, q).
    """

    def __init__(
        self,
        dimension: int,
        *,
        ratio: int = 4,
        transform: Transform = "absolute",
        tied: bool = False,
        length: float | None = None,
    ) -> None:
        """Start from torch's own initialisation.

        Args:
            dimension: D.
            ratio: r: the hidden layer has D / r units. The paper takes 4 with AGW and 512 with Bag
                of Tricks (at D = 2048).
            transform: t, see :func:`transformed`.
            tied: w2 = w3, which makes the distance symmetric unless t is the plain difference.
            length: The length to which every feature is scaled first. None takes features as they
                are, as in the paper. A gallery of unit vectors needs a length.

        Raises:
            InputError: The ratio does not divide D, the transform is unknown, or the length is not
                positive.
        """
        super().__init__()
        if ratio < 1 or dimension % ratio:
            raise InputError(
                f"ratio {ratio} does not divide {dimension} dimensions; choose another"
            )
        if transform not in get_args(Transform):
            known = ", ".join(get_args(Transform))
            raise InputError(f"no input transform '{transform}'; there are {known}")
        if length is not None and not 0 < length < float("inf"):
            raise InputError(f"features cannot be brought to length {length}; give a positive one")
        self.dimension, self.ratio, self.length = dimension, ratio, length
        self.transform: Transform = transform
        self.tied = tied
        self.aggregation = nn.Conv1d(2 if tied else 3, 1, 1)
        self.squeeze = nn.Linear(dimension, dimension // ratio, bias=False)
        self.excite = nn.Linear(dimension // ratio, dimension, bias=False)

    def queries(self, rows: Tensor) -> Side:
        """Prepare the query side (..., D) of pairs."""
        own = self._mix()[1] + (self._mix()[0] if self.transform == "difference" else 0)
        scaled = self._scaled(rows)
        bias = self.aggregation.bias * self.squeeze.weight.sum(dim=1)  # type: ignore[operator]
        return Side(scaled, own * self.squeeze(scaled) + bias)

    def gallery(self, rows: Tensor) -> Side:
        """Prepare the gallery side (..., D) of pairs."""
        own = self._mix()[2] - (self._mix()[0] if self.transform == "difference" else 0)
        scaled = self._scaled(rows)
        return Side(scaled, own * self.squeeze(scaled))

    def attention(self, queries: Side, gallery: Side) -> Tensor:
        """Compute the weights a (..., D), 0 to 1, of pairs of sides that broadcast."""
        hidden = queries.hidden + gallery.hidden
        if self.transform != "difference":
            both = transformed(queries.rows, gallery.rows, self.transform)
            hidden = hidden + self._mix()[0] * self.squeeze(both)
        return torch.sigmoid(self.excite(F.relu(hidden)))

    def pairs(self, queries: Side, gallery: Side, *, normalise: bool) -> Tensor:
        """Compute distances (...) of pairs of sides that broadcast, all at once."""
        weights = self.attention(queries, gallery)
        return weighed_distances(weights, queries.rows, gallery.rows, normalise=normalise)

    def forward(self, features: Tensor, *, normalise: bool = False) -> Tensor:
        """Compute distances (B, B) within a batch, symmetric, with gradients; the diagonal is zero.

        Each pair i < j is computed once, with i as the query, and mirrored. A batch of more than
        4096 pairs keeps only its features for the backward pass and recomputes the rest.

        Args:
            features: (B, D).
            normalise: As :func:`weighed_distances`; the paper trains without.
        """
        with torch.autocast(features.device.type, enabled=False):
            rows = features if features.dtype == torch.float64 else features.float()
            left, right = self.queries(rows), self.gallery(rows)
            B = len(rows)
            places = torch.triu_indices(B, B, 1, device=rows.device)
            parts = places.split(KEPT_PAIRS, dim=1)

            def of(part: Tensor) -> Tensor:
                return self.pairs(left.at(part[0]), right.at(part[1]), normalise=normalise)

            if len(parts) == 1:
                found = of(places)
            else:
                found = torch.cat([checkpoint(of, part, use_reentrant=False) for part in parts])
            upper = found.new_zeros(B, B).index_put((places[0], places[1]), found)
            return upper + upper.T

    @torch.no_grad()
    def candidates(self, queries: Tensor, candidates: Tensor) -> Tensor:
        """Compute test distances (Q, k) of queries (Q, D), each to its own candidates (Q, k, D).

        This is a distance for :func:`passerby.retrieval.rerank_pairs`.

        Raises:
            InputError: The shapes do not fit.
        """
        if candidates.ndim != 3 or len(queries) != len(candidates):
            raise InputError(
                f"candidates are {tuple(candidates.shape)} for queries {tuple(queries.shape)}; "
                "give (Q, k, D) and (Q, D)"
            )
        step = max(1, self.pairs_at_once(queries.device) // max(1, candidates.shape[1]))
        rows = [
            self.pairs(self.queries(some).unsqueeze(1), self.gallery(others), normalise=True)
            for some, others in zip(
                self.checked(queries).split(step), self.checked(candidates).split(step), strict=True
            )
        ]
        return torch.cat(rows) if rows else queries.new_empty(0, candidates.shape[1])

    def checked(self, features: Tensor) -> Tensor:
        """Check features (..., D); return them as float32, or as float64 where they are that.

        Raises:
            InputError: D is another, or a value is not finite.
        """
        if features.ndim < 2 or features.shape[-1] != self.dimension:
            raise InputError(
                f"features are {tuple(features.shape)}; this attention was made for "
                f"{self.dimension} dimensions"
            )
        if not bool(features.isfinite().all()):
            raise InputError("features have NaN or infinite values; embed these again")
        return features if features.dtype == torch.float64 else features.float()

    def pairs_at_once(self, device: torch.device) -> int:
        """Compute how many pairs a block without gradients has."""
        size = CPU_BLOCK_BYTES if device.type == "cpu" else GPU_BLOCK_BYTES
        return max(1, size // (4 * self.dimension))

    def _scaled(self, rows: Tensor) -> Tensor:
        return rows if self.length is None else F.normalize(rows, dim=-1) * self.length

    def _mix(self) -> tuple[Tensor, Tensor, Tensor]:
        weights = self.aggregation.weight.flatten()
        return weights[0], weights[1], weights[-1]


def attended_distances(attention: DiffAttention, queries: Tensor, gallery: Tensor) -> Tensor:
    """Compute test distances (Q, G): the Euclidean ones of weighted features of unit length.

    Args:
        attention: The trained module.
        queries: (Q, D), on the module's device.
        gallery: (G, D).

    Raises:
        InputError: The shapes do not fit, or values are not finite.
    """
    blocks = list(attended_blocks(attention, queries, gallery))
    return torch.cat(blocks) if blocks else queries.new_empty(0, len(gallery))


@torch.no_grad()
def attended_blocks(attention: DiffAttention, queries: Tensor, gallery: Tensor) -> Iterator[Tensor]:
    """Compute :func:`attended_distances` in blocks (b, G) of consecutive queries.

    W1 q and W1 g are computed once for each row. A pair then costs the product W1 t and the product
    with W2. With the plain difference, which is linear, it costs only the latter.
    """
    left = attention.queries(attention.checked(queries))
    right = attention.gallery(attention.checked(gallery))
    step = attention.pairs_at_once(queries.device)
    rows, columns = max(1, step // max(1, len(gallery))), min(step, max(1, len(gallery)))
    for start in range(0, len(queries), rows):
        some = left.at(slice(start, start + rows)).unsqueeze(1)
        parts = [
            attention.pairs(
                some, right.at(slice(first, first + columns)).unsqueeze(0), normalise=True
            )
            for first in range(0, len(gallery), columns)
        ]
        yield torch.cat(parts, dim=1) if parts else queries.new_empty(len(some.rows), 0)


def _unit(rows: Tensor) -> Tensor:
    # a product with the reciprocal is three times as fast as torch's normalise, which divides
    lengths: Tensor = rows.norm(dim=-1, keepdim=True)
    return rows * lengths.clamp(min=1e-12).reciprocal()
