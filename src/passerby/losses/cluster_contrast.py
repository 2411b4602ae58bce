"""The contrastive loss against clusters of Cluster Contrast (Dai et al., ACCV 2022), smoothed."""

import torch
from torch import Tensor
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.losses.pairs import check_batch, wide


def cluster_contrast(
    features: Tensor,
    labels: Tensor,
    centroids: Tensor,
    *,
    temperature: float = 0.05,
    smoothing: float = 0.1,
    balance: float = 0.5,
) -> Tensor:
    """Compute InfoNCE against all clusters, joined with its label-smoothed form.

    The logits are those of :func:`contrast_logits`, the loss is :func:`cluster_contrast_of_logits`.

    Args:
        features: (B, D); they are normalised here.
        labels: (B,) int64 clusters in 0..K-1; outliers must be left out before.
        centroids: (K, D) unit rows; no gradient flows to them.
        temperature: tau.
        smoothing: epsilon of the label smoothing.
        balance: lambda, the share of the plain InfoNCE; 1 for Cluster Contrast as published.

    Returns:
        A scalar.

    Raises:
        InputError: Shapes do not fit, or an option is out of range.

    Example:
        >>> import torch
        >>> centroids = torch.eye(3)
        >>> loss = cluster_contrast(torch.eye(3), torch.tensor([0, 1, 2]), centroids, smoothing=0)
        >>> loss.item() < 1e-6
        True
    """
    check_batch(features, labels)
    logits = contrast_logits(features, centroids, temperature=temperature)
    return cluster_contrast_of_logits(logits, labels, smoothing=smoothing, balance=balance)


def contrast_logits(features: Tensor, centroids: Tensor, *, temperature: float = 0.05) -> Tensor:
    """Compute logits (B, K) = cos(q, c_k) / tau of features (B, D) and unit centroids (K, D)."""
    if temperature <= 0:
        raise InputError(f"a contrast at temperature {temperature}; it must be above 0")
    if centroids.ndim != 2 or centroids.shape[1:] != features.shape[1:]:
        raise InputError(
            f"centroids are {tuple(centroids.shape)} and features {tuple(features.shape)}; "
            "give (K, D) and (B, D) of one network"
        )
    with torch.autocast(features.device.type, enabled=False):
        rows = F.normalize(wide(features), dim=1)
        return rows @ centroids.detach().to(rows.dtype).T / temperature


def cluster_contrast_of_logits(
    logits: Tensor, labels: Tensor, *, smoothing: float = 0.1, balance: float = 0.5
) -> Tensor:
    """Compute balance * InfoNCE + (1 - balance) * smoothed from logits (B, K).

    The smoothed term is (1 - epsilon) (-log p_y) + epsilon mean_k(-log p_k). There is no classifier
    beside the memory, so that its p is that of the memory. The sum is then one cross entropy with a
    label smoothing of (1 - balance) epsilon.

    Raises:
        InputError: As :func:`cluster_contrast`.
    """
    check_batch(logits, labels)
    if not 0 <= balance <= 1 or not 0 <= smoothing <= 1:
        raise InputError(
            f"a contrast with smoothing {smoothing} and balance {balance}; both must be in 0..1"
        )
    return F.cross_entropy(wide(logits), labels, label_smoothing=(1 - balance) * smoothing)
