"""Cross entropy with label smoothing (Szegedy et al., 2016)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from passerby.losses.pairs import check_batch, wide


def cross_entropy(
    logits: Tensor, labels: Tensor, *, smoothing: float = 0.1, others_only: bool = False
) -> Tensor:
    """Compute the mean over the batch of -sum_c q_c log p_c.

    The true class has q = 1 - smoothing + smoothing / C, every other class smoothing / C. This is
    the form of Bag of Tricks, AGW and torchreid. (Some papers print 1 - smoothing for the true
    class and smoothing / C for the others, which does not sum to one.)

    >>> import torch
    >>> round(cross_entropy(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), smoothing=0.0).item(), 4)
    0.1269

    Args:
        logits: (B, C).
        labels: (B,) int64 in 0..C-1.
        smoothing: epsilon; 0 for plain cross entropy.
        others_only: Whether to take the form of fast-reid: 1 - smoothing for the true class and
            smoothing / (C - 1) for each other class.

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
