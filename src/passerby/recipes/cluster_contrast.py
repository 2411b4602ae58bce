"""Cluster Contrast with a feature pyramid branch and non-local attention: learning without labels.

Dai et al., Cluster Contrast for Unsupervised Person Re-Identification, ACCV 2022, on the network of
the feature-pyramid paper. Before every epoch all pictures are embedded and clustered (Jaccard
distances, DBSCAN); the clusters' centroids make a memory; a batch is drawn to its clusters' places
in the memory and away from all others, and the memory follows. No identity is read from the data
but to score the clusters in the log.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from passerby.data import CropTable, ImageStore
from passerby.errors import InputError
from passerby.metrics import Report
from passerby.models import ModelCard, ReidNetwork, build, load, preprocessing
from passerby.models.ghost_norm import ghost_batch_norm
from passerby.models.identity import find_file
from passerby.models.structure import plain_values
from passerby.recipes import run_folder, supervised
from passerby.recipes.contrast_method import ClusterContrastMethod
from passerby.recipes.options import CAMERAS, RunOptions, augmentation, check_weights, fit_options
from passerby.train import fit
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
    others in the settings published with them."""
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
    tracklet_epochs: int = 0
    """First epochs that tell tracklets from others of their own camera, for random start weights,
    whose features do not cluster; the data must have tracklets and cameras. In no paper."""

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


def published(data_set: str) -> ClusterContrast:
    """The settings of a data set in Cluster Contrast's release of April 2021.

    The feature-pyramid paper starts from its figures; the later release has eps 0.6, the default
    here, for every set.

    Args:
        data_set: "market1501", "dukemtmc-reid", "personx" or "msmt17".
    """
    return ClusterContrast(
        data=f"{data_set}:PATH",
        eps=0.4 if data_set == "market1501" else 0.7,
        iterations=400 if data_set == "msmt17" else 200,
    )


def paper_literal() -> ClusterContrast:
    """As the feature-pyramid paper prints it: eps 0.4 for every set."""
    return ClusterContrast(eps=0.4)


def paper_literal_msmt17() -> ClusterContrast:
    """The same for MSMT17, whose pictures the paper has square."""
    return replace(paper_literal(), size=(224, 224), iterations=400)


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
    """A small network from random weights, on two CPU cores; its data must have tracklets."""
    return replace(
        small_cpu(),
        init="",
        backbone="slim18",
        tracklet_epochs=8,
        epochs=24,
        warmup_epochs=1,
        learning_rate=1e-3,
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
    if config.tracklet_epochs:
        _check_tracklets(config, table.train)
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
