"""The cluster memory of Cluster Contrast (Dai et al., ACCV 2022): one centroid a cluster."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.losses.cluster_contrast import contrast_logits
from passerby.losses.pairs import check_batch, wide


def cluster_centroids(features: Tensor, labels: NDArray[np.int64]) -> Tensor:
    """Compute unit means (K, D) of the rows of each cluster, float32, on the features' device.

    Args:
        features: (N, D).
        labels: (N,) clusters 0..K-1, each with at least one row; negative rows are left out.

    Raises:
        InputError: The labels have another length, a number has no rows, or there is no cluster.
    """
    if labels.shape != features.shape[:1]:
        raise InputError(f"{len(labels)} labels for {len(features)} features; give one a row")
    rows = np.flatnonzero(labels >= 0)
    counts = np.bincount(labels[rows])
    if not len(counts) or not counts.all():
        raise InputError("clusters must be numbered 0, 1, 2 ... and have members; label again")
    # a sparse product sums in the same order on every machine; a scatter does not
    shares = (1.0 / counts[labels[rows]]).astype(np.float32)
    mean = sparse.csr_matrix((shares, (labels[rows], rows)), shape=(len(counts), len(labels)))
    means = torch.from_numpy(mean @ features.detach().float().cpu().numpy())
    return F.normalize(means, dim=1).to(features.device)


def momentum_update(
    centroids: Tensor, features: Tensor, labels: Tensor, *, momentum: float
) -> Tensor:
    """Compute the centroids (K, D) after a batch, sample by sample in its order.

    c_y <- momentum c_y + (1 - momentum) q, then c_y <- c_y / |c_y|. Clusters are independent, so
    that the first samples of all clusters are processed together, then the second ones, and so on.

    Args:
        centroids: (K, D) unit rows; they are not changed.
        features: (B, D) unit rows q.
        labels: (B,) int64 in 0..K-1.
        momentum: Share of the old centroid.
    """
    updated = centroids.clone()
    for samples in _turns(labels):
        own = labels[samples]
        mixed = momentum * updated[own] + (1 - momentum) * features[samples]
        updated[own] = F.normalize(mixed, dim=1)
    return updated


def hardest(centroids: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """Find for each cluster in a batch the sample (its position) least similar to the centroid.

    Of equally similar samples it is the first. Arguments are those of :func:`momentum_update`.
    """
    similarity = (features * centroids[labels]).sum(dim=1)
    order = similarity.argsort(stable=True)
    order = order[labels[order].argsort(stable=True)]
    sorted_labels = labels[order]
    first = torch.ones_like(sorted_labels, dtype=torch.bool)
    first[1:] = sorted_labels[1:] != sorted_labels[:-1]
    return order[first]


class ClusterMemory(nn.Module):
    """Centroids (K, D) that follow the features of an epoch; logits against them.

    Where several processes train together, each has a memory of its own. All stay equal if
    :meth:`update` gets the rows of the whole batch, as :func:`passerby.train.gather` returns them.
    """

    centroids: Tensor
    cameras: Tensor

    def __init__(
        self,
        dimension: int,
        *,
        temperature: float = 0.05,
        momentum: float = 0.1,
        hard: bool = False,
    ) -> None:
        """Make an empty memory.

        Args:
            dimension: D.
            temperature: tau of the logits.
            momentum: Share of the old centroid in an update (0.1 in all published commands).
            hard: Whether to update a cluster by its hardest sample of a batch only.

        Raises:
            InputError: The momentum is not in 0..1.
        """
        super().__init__()
        if not 0 <= momentum <= 1:
            raise InputError(f"a cluster memory with momentum {momentum}; it must be in 0..1")
        self.temperature = temperature
        self.momentum = momentum
        self.hard = hard
        self.register_buffer("centroids", torch.empty(0, dimension))
        self.register_buffer("cameras", torch.empty(0, dtype=torch.int64))

    @property
    def by_camera(self) -> bool:
        """Whether clusters are compared only with those of their own camera."""
        return len(self.cameras) > 0

    def begin(self, centroids: Tensor, cameras: Tensor | None = None) -> None:
        """Start an epoch.

        Args:
            centroids: (K, D), as :func:`cluster_centroids` makes them.
            cameras: (K,) int64 camera of each cluster, where clusters are tracklets of one camera
                and must not be compared with those of others; None where clusters are people.

        Raises:
            InputError: The numbers of cameras and of centroids differ.
        """
        device = self.centroids.device
        if cameras is not None and cameras.shape != centroids.shape[:1]:
            raise InputError(f"{len(cameras)} cameras for {len(centroids)} clusters; give one each")
        self.centroids = F.normalize(centroids.detach().float(), dim=1).to(device)
        self.cameras = self.cameras.new_empty(0) if cameras is None else cameras.to(device)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Compute logits (B, K) of features (B, D) with labels (B,): cosine over temperature.

        Where clusters have cameras, the logits of other cameras than the label's are -inf.
        """
        if not len(self.centroids):
            raise InputError("the cluster memory is empty; begin an epoch with its centroids")
        logits = contrast_logits(features, self.centroids, temperature=self.temperature)
        if not self.by_camera:
            return logits
        elsewhere = self.cameras[labels][:, None] != self.cameras
        return logits.masked_fill(elsewhere, -torch.inf)

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor) -> None:
        """Update the centroids with one batch: features (B, D) of the forward pass, labels (B,).

        The published code does this within the backward pass. Here it may be done at any time after
        :meth:`forward`, as the centroids that a graph refers to are replaced, never changed.
        """
        check_batch(features, labels)
        rows = F.normalize(wide(features.detach()), dim=1).to(self.centroids.dtype)
        if self.hard:
            chosen = hardest(self.centroids, rows, labels)
            rows, labels = rows[chosen], labels[chosen]
        self.centroids = momentum_update(self.centroids, rows, labels, momentum=self.momentum)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *arguments: Any) -> None:
        # the number of clusters differs from epoch to epoch: take the saved one
        for name, own in (("centroids", self.centroids), ("cameras", self.cameras)):
            saved = state.get(prefix + name)
            if isinstance(saved, Tensor) and saved.ndim == own.ndim:
                setattr(self, name, own.new_empty(len(saved), *own.shape[1:]))
        super()._load_from_state_dict(state, prefix, *arguments)


def _turns(labels: Tensor) -> list[Tensor]:
    """Group the positions of a batch's samples: the first of every label, the second, and so on."""
    order = labels.argsort(stable=True)
    places = torch.arange(len(labels), device=labels.device)
    grouped = labels[order]
    starts = torch.ones_like(grouped, dtype=torch.bool)
    starts[1:] = grouped[1:] != grouped[:-1]
    turn = places - torch.where(starts, places, 0).cummax(dim=0).values
    by_turn = turn.argsort(stable=True)
    return list(order[by_turn].split(turn.bincount().tolist()))
