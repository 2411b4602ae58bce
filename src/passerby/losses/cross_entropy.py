"""Cross entropy with label smoothing (Szegedy et al., 2016)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.losses.pairs import check_batch, wide


def cross_entropy(
    logits: Tensor, labels: Tensor, *, smoothing: float = 0.1, others_only: bool = False
) -> Tensor:
    """Mean over the batch of -sum_c q_c log p_c.

    The true class has q = 1 - smoothing + smoothing / C, the others smoothing / C: the form of Bag
    of Tricks, AGW and torchreid. (The formula printed in some papers, 1 - smoothing for the true
    class and smoothing / C for the others, does not sum to one.)

    Args:
        logits: (B, C).
        labels: (B,) int64 in 0..C-1.
        smoothing: epsilon; 0 for plain cross entropy.
        others_only: The form of fast-reid: 1 - smoothing for the true class and
            smoothing / (C - 1) for each other one.

    Returns:
        A scalar.
    """
    check_batch(logits, labels)
    if not others_only:
        return F.cross_entropy(wide(logits), labels, label_smoothing=smoothing)
    logarithms = wide(logits).log_softmax(dim=1)
    true = logarithms.gather(1, labels[:, None]).squeeze(1)
    others = (logarithms.sum(dim=1) - true) / max(logits.shape[1] - 1, 1)
    return torch.mean(-(1 - smoothing) * true - smoothing * others)


class CrossEntropyLoss(nn.Module):
    """:func:`cross_entropy` as a module."""

    def __init__(self, *, smoothing: float = 0.1, others_only: bool = False) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.others_only = others_only

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, C) and labels (B,) to a scalar."""
        return cross_entropy(logits, labels, smoothing=self.smoothing, others_only=self.others_only)
