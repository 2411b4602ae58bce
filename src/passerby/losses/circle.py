"""Circle loss (Sun et al., CVPR 2020) of classes and of pairs."""

import torch
from torch import Tensor
from torch.nn import functional as F

from passerby.losses.pairs import check_batch, partners, wide


def circle(
    cosines: Tensor,
    labels: Tensor,
    *,
    gamma: float = 64.0,
    margin: float = 0.35,
    smoothing: float = 0.0,
) -> Tensor:
    """Compute the circle loss of classes: cross entropy over :func:`circle_logits`.

    Args:
        cosines: (B, C) between L2-normalised features and L2-normalised class weights.
        labels: (B,) int64 in 0..C-1.
        gamma: Scale. 64 with margin 0.35 is a published stable setting. The paper's own setting
            for re-identification is 128 with 0.25.
        margin: m.
        smoothing: Label smoothing, as in :func:`passerby.losses.cross_entropy`.

    Returns:
        A scalar.

    Example:
        >>> import torch
        >>> cosines = torch.tensor([[0.9, 0.1], [0.2, 0.8]])  # of two features to two classes
        >>> circle(cosines, torch.tensor([0, 1])).item() < 0.01
        True
    """
    check_batch(cosines, labels)
    logits = circle_logits(cosines, labels, gamma=gamma, margin=margin)
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def circle_logits(
    cosines: Tensor, labels: Tensor, *, gamma: float = 64.0, margin: float = 0.35
) -> Tensor:
    """Compute logits (B, C): gamma a_p (s_p - 1 + m) for the true class, else gamma a_n (s_n - m).

    a_p = max(0, 1 + m - s_p) and a_n = max(0, s_n + m) weigh each similarity by its distance from
    its optimum. No gradient flows through them (section 3 of the paper).
    """
    check_batch(cosines, labels)
    cosines = wide(cosines)
    true = F.one_hot(labels, cosines.shape[1]).bool()
    return torch.where(true, _positive(cosines, gamma, margin), _negative(cosines, gamma, margin))


def pair_circle(
    features: Tensor, labels: Tensor, *, gamma: float = 128.0, margin: float = 0.25
) -> Tensor:
    """Compute the circle loss of pairs: the mean over anchors of softplus(LSE_n + LSE_p).

    This is equation 6 of the paper. Anchors without a positive or without a negative in the batch
    are left out.

    Args:
        features: (B, D); they are normalised here. An anchor is not its own positive.
        labels: (B,) int64.
        gamma: Scale.
        margin: m.

    Returns:
        A scalar; zero when all anchors are left out.
    """
    check_batch(features, labels)
    with torch.autocast(features.device.type, enabled=False):
        unit = F.normalize(wide(features), dim=1)
        similarities = unit @ unit.T
    same = partners(labels)
    other = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    counted = (same & other).any(dim=1) & (~same).any(dim=1)
    if not counted.any():
        return features.sum() * 0.0
    rows = similarities[counted]
    return circle_of_masks(rows, (same & other)[counted], ~same[counted], gamma, margin).mean()


def circle_of_masks(
    similarities: Tensor, positive: Tensor, negative: Tensor, gamma: float, margin: float
) -> Tensor:
    """Compute the circle loss (B,) of each anchor from its similarities.

    Args:
        similarities: (B, N) of each anchor to N features.
        positive: (B, N) mask of its positives; each anchor needs at least one.
        negative: (B, N) mask of its negatives; each anchor needs at least one.
        gamma: Scale.
        margin: m.
    """
    low = float("-inf")
    towards = -_positive(similarities, gamma, margin).masked_fill(~positive, -low)
    away = _negative(similarities, gamma, margin).masked_fill(~negative, low)
    return F.softplus(towards.logsumexp(dim=1) + away.logsumexp(dim=1))


def _positive(similarities: Tensor, gamma: float, margin: float) -> Tensor:
    weights = (1 + margin - similarities.detach()).clamp(min=0)
    return gamma * weights * (similarities - (1 - margin))


def _negative(similarities: Tensor, gamma: float, margin: float) -> Tensor:
    weights = (similarities.detach() + margin).clamp(min=0)
    return gamma * weights * (similarities - margin)
