"""The cluster-level contrastive loss of Cluster Contrast (Dai et al., ACCV 2022), smoothed."""

import torch
from torch import Tensor, nn
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
    """InfoNCE against all clusters, joined with label smoothing over the same logits.

    The logits are those of :func:`contrast_logits`, the loss :func:`cluster_contrast_of_logits`.

    Args:
        features: (B, D), normalised here.
        labels: (B,) int64 clusters in 0..K-1; outliers do not take part.
        centroids: (K, D) unit rows; no gradient flows to them.
        temperature: tau.
        smoothing: epsilon of the label smoothing.
        balance: lambda, the share of the plain InfoNCE; 1 for Cluster Contrast as published.

    Returns:
        A scalar.

    Raises:
        InputError: Shapes that do not belong together; an option out of range.
    """
    check_batch(features, labels)
    logits = contrast_logits(features, centroids, temperature=temperature)
    return cluster_contrast_of_logits(logits, labels, smoothing=smoothing, balance=balance)


def contrast_logits(features: Tensor, centroids: Tensor, *, temperature: float = 0.05) -> Tensor:
    """Logits (B, K) = cos(q, c_k) / tau of features (B, D) and unit centroids (K, D)."""
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
    """InfoNCE and its label-smoothed form over the same logits (B, K), joined.

    balance * InfoNCE + (1 - balance) * smoothed, where the smoothed term is
    (1 - epsilon) (-log p_y) + epsilon mean_k(-log p_k); with no classifier beside the memory its p
    is the memory's. Both together then are one cross entropy, smoothed by (1 - balance) epsilon.

    Raises:
        InputError: As :func:`cluster_contrast`.
    """
    check_batch(logits, labels)
    if not 0 <= balance <= 1 or not 0 <= smoothing <= 1:
        raise InputError(
            f"a contrast with smoothing {smoothing} and balance {balance}; both must be in 0..1"
        )
    return F.cross_entropy(wide(logits), labels, label_smoothing=(1 - balance) * smoothing)


class ClusterContrastLoss(nn.Module):
    """:func:`cluster_contrast_of_logits` as a module, for the logits of a cluster memory."""

    def __init__(self, *, smoothing: float = 0.1, balance: float = 0.5) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.balance = balance

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, K) and labels (B,) to a scalar."""
        return cluster_contrast_of_logits(
            logits, labels, smoothing=self.smoothing, balance=self.balance
        )
