"""The method of Cluster Contrast: clusters before each epoch, a memory of them, the contrast."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passerby.cluster import Clustering, ClusterMemory, cluster_centroids, cluster_features
from passerby.data import CropTable
from passerby.data.samplers import CameraSampler
from passerby.errors import InputError
from passerby.losses.cluster_contrast import cluster_contrast_of_logits
from passerby.models import ModelCard, ReidNetwork
from passerby.recipes import supervised
from passerby.train import Batch, Method, ScheduledOptimiser, distributed, extract, gather
from passerby.train.device import find_device

if TYPE_CHECKING:
    from passerby.recipes.cluster_contrast import ClusterContrast


class ClusterContrastMethod(Method):
    """Clusters before each epoch, the contrast within it."""

    network: ReidNetwork
    labels: Tensor

    def __init__(
        self, config: "ClusterContrast", network: ReidNetwork, card: ModelCard, crops: Tensor
    ) -> None:
        """Take the network, its card, and all pictures (N, 3, H, W) uint8."""
        super().__init__()
        self.config = config
        self.network = network
        self.card = card
        self.crops = crops
        self.cameras: NDArray[np.int64] | None = None
        self.identities: NDArray[np.int64] | None = None
        self.tracklets: NDArray[np.int64] | None = None
        self.table: CropTable | None = None
        self.memory = ClusterMemory(
            network.dimension,
            temperature=config.temperature,
            momentum=config.momentum,
            hard=config.hard,
        )
        self.register_buffer("labels", torch.full((len(crops),), -1, dtype=torch.int64))
        self.register_load_state_dict_post_hook(_resume)  # type: ignore[no-untyped-call]

    def set_metadata(self, table: CropTable) -> None:
        """Take cameras, tracklets and identities of the training rows, and a set to test on."""
        train = table.train
        if self.config.use_cameras and (train.camera >= 0).any():
            self.cameras = train.camera
        if (train.identity > 0).any():
            self.identities = np.where(train.identity > 0, train.identity, -1)
        if len(table.query) and len(table.gallery):
            self.table = table
        if self.config.tracklet_epochs:
            self.tracklets = _numbered_tracklets(train)

    def on_epoch_start(self, epoch: int) -> Mapping[str, Any]:
        """Embed all pictures, cluster them, and fill the memory with the centroids.

        An epoch whose features do not cluster keeps the clusters before it.

        Raises:
            InputError: If the first epoch's features do not cluster.
        """
        config = self.config
        features = extract(
            self.network,
            self.card,
            self.crops,
            device=find_device(config.device),
            precision=config.precision,
            progress=config.progress,
        )
        clustering = distributed.once(lambda: self._cluster(features))
        # until features cluster for the first time, tracklets are the clusters
        if epoch <= config.tracklet_epochs or (self.memory.by_camera and not clustering.usable):
            self._take_tracklets(features)
            return {**self._summary(epoch, clustering), "tracklets": len(self.memory.cameras)}
        kept = not clustering.usable
        if kept and not (self.labels >= 0).any():
            raise InputError(f"'{config.data}' cannot be learned from: {clustering.obstacle}")
        self._take(self.labels.cpu().numpy() if kept else clustering.labels, features)
        summary = self._summary(epoch, clustering, kept)
        return summary | {"labels_kept": True} if kept else summary

    def _take(
        self, labels: NDArray[np.int64], features: Tensor, cameras: Tensor | None = None
    ) -> None:
        """Set the labels (N,), the memory of their centroids, and the batches of this epoch."""
        self.labels.copy_(torch.from_numpy(labels))
        self.memory.begin(cluster_centroids(features, labels), cameras)
        self.renew_sampler()

    def _take_tracklets(self, features: Tensor) -> None:
        """Use tracklets as clusters, each with its camera."""
        assert self.tracklets is not None
        assert self.cameras is not None
        first = np.unique(self.tracklets, return_index=True)[1]
        first = first[self.tracklets[first] >= 0]
        self._take(self.tracklets, features, torch.from_numpy(self.cameras[first]))

    def _cluster(self, features: Tensor) -> Clustering:
        config = self.config
        return cluster_features(
            features,
            k1=config.k1,
            k2=config.k2,
            eps=config.eps,
            min_samples=config.min_samples,
            cameras=self.cameras,
            identities=self.identities,
        )

    def renew_sampler(self) -> None:
        """Make the sampler for the present labels."""
        config = self.config
        self.sampler = CameraSampler(
            labels=self.labels.cpu().numpy(),
            cameras=self.cameras,
            identities=config.identities,
            images=config.images,
            iterations=config.iterations,
            seed=config.seed,
        )

    def _summary(self, epoch: int, clustering: Clustering, kept: bool = False) -> dict[str, Any]:
        """Print a summary of the clusters, and return it for the log."""
        if self.config.progress and distributed.is_main():
            lines = [clustering.summary.text]
            lines += [found.message for found in clustering.findings if epoch == 1 or found.stops]
            if self.memory.by_camera:
                lines += [f"learning from {len(self.memory.cameras):,} tracklets"]
            elif kept:
                lines += ["going on with the clusters of the epoch before"]
            print("\n".join(f"epoch {epoch}: {line}" for line in lines), file=sys.stderr)
        return {
            **clustering.summary.values(),
            "findings": [finding.kind for finding in clustering.findings],
            **self._score(epoch),
        }

    def _score(self, epoch: int) -> dict[str, Any]:
        every = self.config.test_every
        if self.table is None or not every or (epoch - 1) % every:
            return {}
        report = supervised.test(self.config, self.network, self.card, self.table)
        return {"mAP": report.mAP, "rank-1": report.cmc[1]} if report else {}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The joint contrast of a batch with the memory, which then follows the batch."""
        output = self.network(batch.images)
        # the feature of which the memory holds the centroids
        features = output.after_bn if self.network.feature == "after_bn" else output.before_bn
        labels = self.labels[batch.indices]
        contrast = cluster_contrast_of_logits(
            self.memory(features, labels),
            labels,
            smoothing=self.config.smoothing,
            balance=1.0 if self.memory.by_camera else self.config.balance,
        )
        self.memory.update(gather(features.detach()), gather(labels))
        return {"contrast": contrast}

    def optimisers(self) -> list[ScheduledOptimiser]:
        """Adam."""
        return [supervised.adam(self.network, self.config)]


def _resume(method: Any, _: object) -> None:
    """Make the sampler for the labels of a restored state."""
    if (method.labels >= 0).any():
        method.renew_sampler()


def _numbered_tracklets(train: CropTable) -> NDArray[np.int64]:
    """Tracklets (N,) numbered 0..T-1; -1 for pictures without one, or without a camera."""
    assert train.tracklet is not None
    usable = (train.tracklet >= 0) & (train.camera >= 0)
    numbers = np.full(len(train), -1)
    numbers[usable] = np.unique(train.tracklet[usable], return_inverse=True)[1]
    return numbers
