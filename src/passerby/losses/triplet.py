"""Batch-hard triplet loss (Hermans et al., 2017)."""

from torch import Tensor
from torch.nn import functional as F

from passerby.losses.pairs import check_batch, euclidean_distances, partners


def triplet(features: Tensor, labels: Tensor, *, margin: float | None = 0.3) -> Tensor:
    """Compute the mean over anchors of max(0, d(farthest positive) - d(nearest negative) + margin).

    Distances are Euclidean, between features as they are. Where a recipe wants unit features, it
    normalises them before. An anchor without a negative in the batch counts zero.

    Args:
        features: (B, D).
        labels: (B,) int64.
        margin: None for the soft margin, log(1 + exp(d_positive - d_negative)).

    Returns:
        A scalar.

    Example:
        >>> import torch
        >>> features = torch.tensor([[0.0], [1.0], [5.0], [6.0]])  # two people, two pictures each
        >>> triplet(features, torch.tensor([0, 0, 1, 1]), margin=4.0).item()
        0.5
    """
    check_batch(features, labels)
    return triplet_of_distances(euclidean_distances(features), labels, margin=margin)


def triplet_of_distances(
    distances: Tensor, labels: Tensor, *, margin: float | None = 0.3
) -> Tensor:
    """Compute :func:`triplet` from distances (B, B) with anchors in rows."""
    check_batch(distances, labels)
    same = partners(labels)
    # the mask contains the anchor itself, which at distance 0 is never the farthest of several
    positive = distances.masked_fill(~same, float("-inf")).amax(dim=1)
    negative = distances.masked_fill(same, float("inf")).amin(dim=1)
    gap = positive - negative
    losses = F.softplus(gap) if margin is None else F.relu(gap + margin)
    return losses.mean()
