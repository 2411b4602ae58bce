"""Cluster Contrast with a feature pyramid branch and non-local attention: learning without labels.

Dai et al., Cluster Contrast for Unsupervised Person Re-Identification, ACCV 2022, on the network of
the feature-pyramid paper. Before every epoch all pictures are embedded and clustered (Jaccard
distances, DBSCAN). The centroids of the clusters fill a memory. The contrast pulls each picture of
a batch to its cluster's centroid and pushes it away from all others, and the memory follows the
batch (``contrast_method.py``). Identities in the data only score the clusters in the log.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from passerby.data import CropTable, ImageStore
from passerby.errors import InputError
from passerby.metrics import Report
from passerby.models import ModelCard, ReidNetwork, load
from passerby.models.ghost_norm import ghost_batch_norm
from passerby.models.identity import find_file
from passerby.models.structure import Value
from passerby.recipes import run_folder, supervised
from passerby.recipes.contrast_method import ClusterContrastMethod
from passerby.recipes.supervised import CAMERAS, NetworkOptions, augmentation, check_weights
from passerby.train import fit
from passerby.train.device import find_device

NAME = "cluster-contrast"


@dataclass(frozen=True, kw_only=True)
class ClusterContrast(NetworkOptions):
    """Without labels: feature pyramid branch, non-local blocks, ResNet-50.

    Attributes:
        init: A model file to go on from ("default": the bundled network), whose architecture is
            then the network's; empty: ``backbone``, from ``weights``.
        interpolation: How crops are resized.
        branch: Feature pyramid branch: none, dense 3x3 convolutions, or depthwise separable ones.
        branch_width: Channels within the branch.
        non_local: Non-local blocks: none, three softmax blocks, or AGW's layout.
        pooling: How a map becomes a feature.
        ghost: Pictures of a virtual batch in batch normalisation, as four GPUs had; 0: the whole
            batch.
        k1: Length of the neighbour lists, the picture itself included.
        k2: Rows averaged in the local query expansion.
        eps: Largest Jaccard distance between neighbours in a cluster; 0.4 for Market-1501 and 0.7
            for others in the settings published with them.
        min_samples: Pictures within eps that make a picture the core of a cluster.
        tracklet_epochs: First epochs in which tracklets are the clusters, each compared with those
            of its own camera, for random start weights, whose features do not cluster; the data
            must have tracklets and cameras. In no paper.
        identities: P, clusters in a batch.
        images: K, pictures of each cluster in a batch.
        iterations: Batches of an epoch.
        use_cameras: Batches pair pictures of a cluster from different cameras.
        temperature: tau of the contrast.
        momentum: Share of the old centroid when the memory follows a picture.
        hard: The memory follows the hardest picture of each cluster alone.
        smoothing: Label smoothing of the contrast over all clusters.
        balance: Share of the plain contrast beside the smoothed one; 1: Cluster Contrast as
            published.
        test_every: Epochs between tests in the log, where there are queries; nothing is chosen by
            them. 0: only at the end.
    """

    out: Path = Path("runs/cluster-contrast")

    # network
    init: str = ""
    backbone: str = "resnet50"
    branch: Literal["none", "dense", "dwsep"] = "dense"
    branch_width: int = 256
    non_local: Literal["none", "default", "agw"] = "default"
    pooling: Literal["average", "gem"] = "average"
    ghost: int = 64
    size: tuple[int, int] = (256, 128)
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"

    # clusters before every epoch
    k1: int = 30
    k2: int = 6
    eps: float = 0.6
    min_samples: int = 4
    tracklet_epochs: int = 0

    # batches of P clusters x K pictures
    identities: int = 16
    images: int = 16
    iterations: int = 200
    use_cameras: bool = True

    # augmentation: flip, pad and crop, normalise, erase
    flip: float = 0.5
    padding: int = 10
    erasing: float = 0.5

    # contrast with the memory of centroids
    temperature: float = 0.05
    momentum: float = 0.1
    hard: bool = False
    smoothing: float = 0.1
    balance: float = 0.5

    # Adam, without warm-up; a tenth after each milestone
    epochs: int = 50
    learning_rate: float = 3.5e-4
    weight_decay: float = 5e-4
    warmup: int = 0
    milestones: tuple[int, ...] = (20, 40)
    decay: float = 0.1

    test_every: int = 10


# Settings of Cluster Contrast's release of April 2021. The feature-pyramid paper starts from its
# figures; the later release has eps 0.6, the default here, for every set.
def market1501() -> ClusterContrast:
    """The same with the settings published for Market-1501."""
    return ClusterContrast(data="market1501:PATH", eps=0.4)


def dukemtmc_reid() -> ClusterContrast:
    """The same with the settings published for DukeMTMC-reID."""
    return ClusterContrast(data="dukemtmc-reid:PATH", eps=0.7)


def personx() -> ClusterContrast:
    """The same with the settings published for PersonX."""
    return ClusterContrast(data="personx:PATH", eps=0.7)


def msmt17() -> ClusterContrast:
    """The same with the settings published for MSMT17."""
    return ClusterContrast(data="msmt17:PATH", eps=0.7, iterations=400)


def paper_literal() -> ClusterContrast:
    """The same with eps 0.4, which the feature-pyramid paper prints for every set."""
    return ClusterContrast(eps=0.4)


def paper_literal_msmt17() -> ClusterContrast:
    """The same for MSMT17, whose pictures are square in the paper."""
    return replace(paper_literal(), size=(224, 224), iterations=400)


def small_cpu() -> ClusterContrast:
    """Without labels: a small network that goes on from the bundled one, for CPUs."""
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
        iterations=110,
        epochs=8,
        schedule="cosine",
        learning_rate=1e-4,
        k1=20,
        eps=0.5,
        test_every=1,
        precision="bf16",
    )


def small_from_scratch() -> ClusterContrast:
    """Without labels: tracklets, then clusters, from random weights, for CPUs."""
    return replace(
        small_cpu(),
        init="",
        backbone="slim18",
        tracklet_epochs=8,
        epochs=24,
        warmup=1,
        learning_rate=1e-3,
    )


def small_branches() -> ClusterContrast:
    """Without labels: a narrow branch and non-local blocks on the bundled backbone, for CPUs."""
    return replace(
        small_cpu(),
        init="",
        backbone="slim18",
        weights=Path("default"),
        branch="dense",
        branch_width=64,
        non_local="default",
    )


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
        network, card = _from_options(config)
    if not hasattr(network, "bnneck"):
        raise InputError(
            f"{card.architecture} gives no single feature to cluster by; take a network with one"
        )
    if config.ghost:
        ghost_batch_norm(network, config.ghost, running="first")  # DataParallel keeps these
    return network, card


def _from_options(config: ClusterContrast) -> tuple[ReidNetwork, ModelCard]:
    structure: dict[str, Value] = {}
    if config.non_local != "none":
        structure["non_local"] = config.non_local
    architecture = config.backbone
    if config.branch != "none":
        architecture = f"fpb:{config.backbone}"
        structure |= {"convolution": config.branch, "branch_width": config.branch_width}
    network, card = supervised.build_network(
        config, architecture, structure=structure, pooling=config.pooling
    )
    return network, replace(card, interpolation=config.interpolation)


def check(config: ClusterContrast, table: CropTable) -> None:
    """Check before any work that a run can be trained.

    Raises:
        InputError: If the data have an error or the options are at fault.
    """
    if config.tracklet_epochs and len(table.train):
        _check_tracklets(config, table.train)
    supervised.check_data(config, table, labelled=False)
    if config.init and config.weights is not None:
        raise InputError("both --init and --weights say where to start from; give one of them")
    check_weights(config)
    find_device(config.device)


def _check_tracklets(config: ClusterContrast, train: CropTable) -> None:
    if train.tracklet is None:
        raise InputError(
            f"'{config.data}' says nothing of tracklets; give data that do, or --tracklet-epochs 0"
        )
    if not config.use_cameras or (train.camera < 0).all():
        known = f"'{config.data}' says nothing of cameras" if config.use_cameras else "no cameras"
        raise InputError(
            f"{known}, without which tracklets of one person would be told apart; "
            "give data and options with cameras, or --tracklet-epochs 0"
        )


def run(config: ClusterContrast, table: CropTable) -> Report | None:
    """Learn from the pictures of ``table``'s training rows; test where there are queries.

    Writes the same files as :func:`passerby.recipes.supervised.run`. Identities of the training
    rows, if known, only score the clusters in the log.

    Returns:
        The report; None for data without queries or gallery.

    Raises:
        InputError: If the options or the data are at fault, the first epoch's features do not
            cluster, or ``out`` holds another run.
    """
    check(config, table)
    train = table.train
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    network, card = new_network(config)
    origin = run_folder.open_run(config.out, NAME, config)
    if run_folder.is_finished(config.out, config.epochs):
        network, card = load(config.out / run_folder.MODEL)
        return supervised.test(config, network, card, table)
    store = ImageStore.load(
        train, size=config.size, interpolation=config.interpolation, progress=config.progress
    )
    method = ClusterContrastMethod(config, network, card, store.images)
    method.set_metadata(table)
    fit(method, store.images, augmentation(config, card), config)
    card = replace(card, training=supervised.provenance(config, table, origin))
    report = supervised.test(config, network, card, table)
    supervised.finish(config, network, card, report)
    return report
