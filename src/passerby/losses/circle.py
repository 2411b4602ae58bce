"""Circle loss (Sun et al., CVPR 2020), of classes and of pairs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.losses.pairs import check_batch, partners, wide


def circle(
    cosines: Tensor,
    labels: Tensor,
    *,
    gamma: float = 64.0,
    margin: float = 0.35,
    smoothing: float = 0.0,
) -> Tensor:
    """Circle loss of classes: cross entropy over the logits of :func:`circle_logits`.

    Args:
        cosines: (B, C) between L2-normalised features and L2-normalised class weights.
        labels: (B,) int64 in 0..C-1.
        gamma: Scale. 64 with margin 0.35 is a published stable setting; the paper's own for
            re-identification is 128 with 0.25.
        margin: m.
        smoothing: Label smoothing, as in :func:`passerby.losses.cross_entropy`.

    Returns:
        A scalar.
    """
    check_batch(cosines, labels)
    logits = circle_logits(cosines, labels, gamma=gamma, margin=margin)
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def circle_logits(
    cosines: Tensor, labels: Tensor, *, gamma: float = 64.0, margin: float = 0.35
) -> Tensor:
    """Logits (B, C): gamma a_p (s_p - 1 + m) for the true class, gamma a_n (s_n - m) for others.

    a_p = max(0, 1 + m - s_p) and a_n = max(0, s_n + m) weigh each similarity by how far it is
    from its optimum; no gradient flows through them (section 3 of the paper).
    """
    check_batch(cosines, labels)
    cosines = wide(cosines)
    true = F.one_hot(labels, cosines.shape[1]).bool()
    return torch.where(true, _positive(cosines, gamma, margin), _negative(cosines, gamma, margin))


def pair_circle(
    features: Tensor, labels: Tensor, *, gamma: float = 128.0, margin: float = 0.25
) -> Tensor:
    """Circle loss of pairs (equation 6): mean over anchors with a partner of softplus(LSE_n+LSE_p).

    Args:
        features: (B, D); normalised here, an anchor is not its own partner.
        labels: (B,) int64.
        gamma: Scale.
        margin: m.

    Returns:
        A scalar; zero when no anchor has both a positive and a negative in the batch.
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
    return _of_masks(rows, (same & other)[counted], ~same[counted], gamma, margin).mean()


def circle_of_similarities(
    positives: Tensor, negatives: Tensor, *, gamma: float = 128.0, margin: float = 0.25
) -> Tensor:
    """Circle loss of one anchor from its similarities to positives (K,) and negatives (L,)."""
    if not positives.numel() or not negatives.numel():
        raise InputError("circle loss needs at least one positive and one negative similarity")
    row = torch.cat([positives, negatives])[None]
    positive = (torch.arange(row.shape[1], device=row.device) < len(positives))[None]
    return _of_masks(row, positive, ~positive, gamma, margin).squeeze(0)


class CircleLoss(nn.Module):
    """:func:`circle` as a module."""

    def __init__(
        self, *, gamma: float = 64.0, margin: float = 0.35, smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.margin = margin
        self.smoothing = smoothing

    def forward(self, cosines: Tensor, labels: Tensor) -> Tensor:
        """Cosines (B, C) and labels (B,) to a scalar."""
        return circle(
            cosines, labels, gamma=self.gamma, margin=self.margin, smoothing=self.smoothing
        )


class PairCircleLoss(nn.Module):
    """:func:`pair_circle` as a module."""

    def __init__(self, *, gamma: float = 128.0, margin: float = 0.25) -> None:
        super().__init__()
        self.gamma = gamma
        self.margin = margin

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Features (B, D) and labels (B,) to a scalar."""
        return pair_circle(features, labels, gamma=self.gamma, margin=self.margin)


def _positive(similarities: Tensor, gamma: float, margin: float) -> Tensor:
    weights = (1 + margin - similarities.detach()).clamp(min=0)
    return gamma * weights * (similarities - (1 - margin))


def _negative(similarities: Tensor, gamma: float, margin: float) -> Tensor:
    weights = (similarities.detach() + margin).clamp(min=0)
    return gamma * weights * (similarities - margin)


def _of_masks(
    similarities: Tensor, positive: Tensor, negative: Tensor, gamma: float, margin: float
) -> Tensor:
    low = float("-inf")
    towards = -_positive(similarities, gamma, margin).masked_fill(~positive, -low)
    away = _negative(similarities, gamma, margin).masked_fill(~negative, low)
    return F.softplus(towards.logsumexp(dim=1) + away.logsumexp(dim=1))
