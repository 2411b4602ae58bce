"""The weighted regularised triplet loss of AGW (Ye et al., TPAMI 2021)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from passerby.losses.pairs import check_batch, euclidean_distances, partners


def weighted_triplet(features: Tensor, labels: Tensor, *, legacy: bool = False) -> Tensor:
    """Compute the mean over anchors of log(1 + exp(sum_p w_p d_p - sum_n w_n d_n)).

    w_p is the softmax of the distances to the anchor's positives, itself included. w_n is the
    softmax of minus the distances to its negatives. All pairs take part, hard ones most, and there
    is no margin. An anchor without a negative in the batch counts zero.

    Args:
        features: (B, D), taken as they are.
        labels: (B,) int64.
        legacy: Whether to use the arithmetic of the reference code, to reproduce its figures. Its
            softmax subtracts the maximum of the masked product (0 for negatives) and adds 1e-6 to
            the denominator. At distances above about 14 its negative weights vanish.

    Returns:
        A scalar.

    Example:
        >>> import torch
        >>> features = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
        >>> weighted_triplet(features, torch.tensor([0, 0, 1, 1])).item() < 0.05
        True
    """
    check_batch(features, labels)
    return weighted_triplet_of_distances(euclidean_distances(features), labels, legacy=legacy)


def weighted_triplet_of_distances(
    distances: Tensor, labels: Tensor, *, legacy: bool = False
) -> Tensor:
    """Compute :func:`weighted_triplet` from distances (B, B) with anchors in rows."""
    check_batch(distances, labels)
    same = partners(labels)
    softmax = _legacy_softmax if legacy else _masked_softmax
    positive = (softmax(distances, same) * distances).sum(dim=1)
    negative = (softmax(-distances, ~same) * distances).sum(dim=1)
    losses = F.softplus(positive - negative)
    if not legacy:
        losses = losses * (~same).any(dim=1)
    return losses.mean()


def _masked_softmax(values: Tensor, mask: Tensor) -> Tensor:
    # not -inf, as a row without any entry would then have weights and gradients of NaN
    low = torch.finfo(values.dtype).min
    return values.masked_fill(~mask, low).softmax(dim=1) * mask


def _legacy_softmax(values: Tensor, mask: Tensor) -> Tensor:
    values = values * mask  # before the exponential: far pairs of the other kind would overflow
    powers = (values - values.amax(dim=1, keepdim=True)).exp() * mask
    return powers / (powers.sum(dim=1, keepdim=True) + 1e-6)
