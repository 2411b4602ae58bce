"""Cluster Contrast with a feature pyramid branch and non-local attention: learning without labels.

Dai et al., Cluster Contrast for Unsupervised Person Re-Identification, ACCV 2022, on the network of
the feature-pyramid paper. Before every epoch all pictures are embedded and clustered (Jaccard
distances, DBSCAN); the clusters' centroids make a memory; a batch is drawn to its clusters' places
in the memory and away from all others, and the memory follows. No identity is read from the data
but to score the clusters in the log.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passerby.cluster import Clustering, ClusterMemory, cluster_centroids, cluster_features
from passerby.data import CropTable, ImageStore
from passerby.data.camera_sampler import CameraSampler
from passerby.errors import InputError
from passerby.losses.cluster_contrast import cluster_contrast_of_logits
from passerby.metrics import Report
from passerby.models import ModelCard, ReidNetwork, build, load, preprocessing
from passerby.models.ghost_norm import ghost_batch_norm
from passerby.models.identity import find_file
from passerby.models.structure import plain_values
from passerby.recipes import run_folder, supervised
from passerby.recipes.options import CAMERAS, RunOptions, augmentation, check_weights, fit_options
from passerby.train import Batch, Method, ScheduledOptimiser, distributed, extract, fit, gather
from passerby.train.device import find_device

NAME = "cluster-contrast"


@dataclass(frozen=True, kw_only=True)
class ClusterContrast(RunOptions):
    """Options of a run."""

    out: Path = Path("runs/cluster-contrast")
    """The run's folder; a killed run continues from there."""
    init: str = ""
    """A model file to go on from ("default": the bundled network), whose architecture is then the
    network's; empty: ``backbone``, from ``weights``."""
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    """How crops are resized."""

    branch: Literal["none", "dense", "dwsep"] = "dense"
    """Feature pyramid branch: none, dense 3x3 convolutions, or depthwise separable ones."""
    branch_width: int = 256
    """Channels within the branch."""
    non_local: Literal["none", "default", "agw"] = "default"
    """Non-local blocks: none, three softmax blocks, or AGW's layout."""
    pooling: Literal["average", "gem"] = "average"
    """How a map becomes a feature."""

    k1: int = 30
    """Length of the neighbour lists, the picture itself included."""
    k2: int = 6
    """Rows averaged in the local query expansion."""
    eps: float = 0.6
    """Largest Jaccard distance between neighbours in a cluster; 0.4 for Market-1501 and 0.7 for
    others in the release behind the published figures."""
    min_samples: int = 4
    """Pictures within eps that make a picture the core of a cluster."""
    temperature: float = 0.05
    """tau of the contrast."""
    momentum: float = 0.1
    """Share of the old centroid when the memory follows a picture."""
    hard: bool = False
    """The memory follows the hardest picture of each cluster alone."""
    smoothing: float = 0.1
    """Label smoothing of the contrast over all clusters."""
    balance: float = 0.5
    """Share of the plain contrast beside the smoothed one; 1: Cluster Contrast as published."""
    ghost: int = 64
    """Pictures of a virtual batch in batch normalisation, as four GPUs had; 0: the whole batch."""
    use_cameras: bool = True
    """Batches pair pictures of a cluster from different cameras."""

    identities: int = 16
    """P, clusters in a batch."""
    images: int = 16
    """K, pictures of each cluster in a batch."""
    iterations: int = 200
    """Batches of an epoch."""
    epochs: int = 50
    """Length of the training."""
    milestones: tuple[int, ...] = (20, 40)
    """Epochs after which the rate falls."""
    warmup_epochs: int = 0
    """The learning rate grows linearly over the first epochs."""
    test_every: int = 10
    """Epochs between tests in the log, where there are queries; nothing is chosen by them. 0: only
    at the end."""


def paper_literal() -> ClusterContrast:
    """As the feature-pyramid paper prints it: eps 0.4 for every set."""
    return ClusterContrast(eps=0.4)


def small_cpu() -> ClusterContrast:
    """A small network that goes on from the bundled one, on two CPU cores."""
    return ClusterContrast(
        init="default",
        size=(128, 64),
        interpolation="bilinear",
        branch="none",
        non_local="none",
        padding=5,
        colour=CAMERAS,
        identities=16,
        images=4,
        ghost=0,
        iterations=60,
        epochs=12,
        milestones=(8,),
        test_every=4,
        precision="bf16",
    )


def small_branches() -> ClusterContrast:
    """As :func:`small_cpu`, with a narrow branch and non-local blocks on its backbone alone."""
    return replace(
        small_cpu(),
        init="",
        backbone="slim18",
        weights=Path("default"),
        branch="dense",
        branch_width=64,
        non_local="default",
    )


class ClusterContrastMethod(Method):
    """Clusters before each epoch, the contrast within it."""

    network: ReidNetwork
    labels: Tensor

    def __init__(
        self, config: ClusterContrast, network: ReidNetwork, card: ModelCard, crops: Tensor
    ) -> None:
        """Take the network, how it wants its pictures, and all of them (N, 3, H, W) uint8."""
        super().__init__()
        self.config = config
        self.network = network
        self.card = card
        self.crops = crops
        self.cameras: NDArray[np.int64] | None = None
        self.identities: NDArray[np.int64] | None = None
        self.table: CropTable | None = None
        self.memory = ClusterMemory(
            network.dimension,
            temperature=config.temperature,
            momentum=config.momentum,
            hard=config.hard,
        )
        self.register_buffer("labels", torch.full((len(crops),), -1, dtype=torch.int64))
        self.register_load_state_dict_post_hook(_resume)

    def know(self, table: CropTable, train: CropTable) -> None:
        """What else is known: cameras of the pictures, people for the scores, a set to test on."""
        if self.config.use_cameras and (train.camera >= 0).any():
            self.cameras = train.camera
        if (train.identity > 0).any():
            self.identities = np.where(train.identity > 0, train.identity, -1)
        if len(table.query) and len(table.gallery):
            self.table = table

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
        kept = not clustering.usable
        if kept and not (self.labels >= 0).any():
            raise InputError(f"'{config.data}' cannot be learned from: {clustering.obstacle}")
        if not kept:
            self.labels.copy_(torch.from_numpy(clustering.labels))
        self.memory.begin(cluster_centroids(features, self.labels.cpu().numpy()))
        self.renew_sampler()
        self._tell(epoch, clustering, kept)
        return {
            **clustering.summary.values(),
            "findings": [finding.kind for finding in clustering.findings],
            **({"labels_kept": True} if kept else {}),
            **self._score(epoch),
        }

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
        """Batches of the clusters as they are now."""
        config = self.config
        self.sampler = CameraSampler(
            labels=self.labels.cpu().numpy(),
            cameras=self.cameras,
            identities=config.identities,
            images=config.images,
            iterations=config.iterations,
            seed=config.seed,
        )

    def _tell(self, epoch: int, clustering: Clustering, kept: bool) -> None:
        if not (self.config.progress and distributed.is_main()):
            return
        lines = [f"epoch {epoch}: {clustering.summary.text}"]
        lines += [
            f"epoch {epoch}: {found.message}"
            for found in clustering.findings
            if epoch == 1 or found.stops
        ]
        lines += [f"epoch {epoch}: going on with the clusters of the epoch before"] if kept else []
        print("\n".join(lines), file=sys.stderr)

    def _score(self, epoch: int) -> dict[str, Any]:
        every = self.config.test_every
        if self.table is None or not every or (epoch - 1) % every:
            return {}
        report = supervised.test(self.config, self.network, self.card, self.table)
        return {"mAP": report.mAP, "rank-1": report.cmc[1]}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The joint contrast of a batch; the memory follows the batch behind it."""
        features = self.network(batch.images).after_bn
        labels = self.labels[batch.indices]
        contrast = cluster_contrast_of_logits(
            self.memory(features),
            labels,
            smoothing=self.config.smoothing,
            balance=self.config.balance,
        )
        self.memory.update(gather(features.detach()), gather(labels))
        return {"contrast": contrast}

    def optimisers(self) -> list[ScheduledOptimiser]:
        """Adam."""
        return [supervised.adam(self.network, self.config)]


def _resume(method: Any, _: object) -> None:
    """A restored run has the labels of its epoch: make the batches they stand for."""
    if (method.labels >= 0).any():
        method.renew_sampler()


def new_network(config: ClusterContrast) -> tuple[ReidNetwork, ModelCard]:
    """The network and its card, from ``init`` or from the options.

    Raises:
        InputError: If ``init`` is no model file of Passerby, or of a kind without one feature.
    """
    if config.init:
        network, card = load(find_file(config.init))
        network.classifier = None
        card = replace(
            card,
            input_size=config.size,
            interpolation=config.interpolation,
            training={},
            scores={},
            calibration=None,
            notes="",
        )
    else:
        network, card = _built(config)
    if not hasattr(network, "bnneck"):
        raise InputError(
            f"{card.architecture} gives no single feature to cluster by; take a network with one"
        )
    if config.ghost:
        ghost_batch_norm(network, config.ghost)
    return network, card


def _built(config: ClusterContrast) -> tuple[ReidNetwork, ModelCard]:
    branched = config.branch != "none"
    architecture = f"fpb:{config.backbone}" if branched else config.backbone
    structure = plain_values(config.structure)
    if config.non_local != "none":
        structure["non_local"] = config.non_local
    if branched:
        structure |= {"convolution": config.branch, "branch_width": config.branch_width}
    network = build(
        architecture,
        pooling=config.pooling,
        feature=config.feature,
        input_size=config.size,
        structure=structure,
        weights=config.weights,
    )
    card = ModelCard(
        architecture=architecture,
        dimension=network.dimension,
        input_size=config.size,
        interpolation=config.interpolation,
        feature=config.feature,
        pooling=config.pooling,
        structure=structure,
    )
    prepared = asdict(preprocessing(architecture, config.weights))
    del prepared["interpolation"]  # an option of the run
    return network, replace(card, **prepared)


def check(config: ClusterContrast, table: CropTable) -> None:
    """Refuse what cannot train, before any work.

    Raises:
        InputError: If there are no pictures or the options are at fault.
    """
    if not len(table.train):
        raise InputError(f"'{config.data}' has no train rows to learn from; see 'passerby check'")
    if config.init and config.weights is not None:
        raise InputError("both --init and --weights say where to start from; give one of them")
    check_weights(config)
    find_device(config.device)


def run(config: ClusterContrast, table: CropTable) -> Report | None:
    """Learn from the pictures of ``table``'s training rows; test where there are queries.

    Writes what :func:`passerby.recipes.supervised.run` writes. Identities of the training rows, if
    known, score the clusters in the log and nothing else.

    Returns:
        The report; None for data without queries or gallery.

    Raises:
        InputError: If the options or the data are at fault, the first epoch's features do not
            cluster, or ``out`` holds another run.
    """
    check(config, table)
    train = table.train
    tested = bool(len(table.query) and len(table.gallery))
    begun = run_folder.open_run(config.out, NAME, config)
    if config.threads:
        torch.set_num_threads(config.threads)
    if (config.out / run_folder.REPORT).exists():
        network, card = load(config.out / run_folder.MODEL)
        return supervised.test(config, network, card, table) if tested else None
    store = ImageStore.load(
        train, size=config.size, interpolation=config.interpolation, progress=config.progress
    )
    torch.manual_seed(config.seed)
    network, card = new_network(config)
    method = ClusterContrastMethod(config, network, card, store.images)
    method.know(table, train)
    augment = supervised.as_the_card_says(augmentation(config), card)
    fit(method, store.images, augment, fit_options(config))
    card = replace(card, training=supervised.provenance(config, table, begun))
    report = supervised.test(config, network, card, table) if tested else None
    supervised.finish(config, network, card, report)
    return report
