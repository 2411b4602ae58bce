"""Diff Attention on Bag of Tricks or AGW, trained with the network or after it.

Zhu et al., multi-level person re-identification with urban information units and Diff Attention.
The loss weights that are lost in its print are those of the authors' code. Joint training puts the
batch-hard triplet loss (AGW: the weighted one) of attended distances in place of the plain one.
Separate training freezes a finished network, keeps the features of all training pictures, each
augmented once, and trains the attention alone, in minutes. Both write
``diff_attention.safetensors`` beside the report, and the report also has the score of the plain
cosine on the same features.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from passerby.data import CropTable, ImageStore, PKSampler
from passerby.data.samplers import torch_generator
from passerby.losses import cross_entropy
from passerby.losses.triplet import triplet_of_distances
from passerby.losses.weighted_triplet import weighted_triplet_of_distances
from passerby.metrics import Report, evaluate_blocks, evaluate_features
from passerby.models import ModelCard, ReidNetwork, heads, load, save
from passerby.models.attention_files import AttentionCard, load_attention, save_attention
from passerby.models.diff_attention import DiffAttention, Transform, attended_blocks
from passerby.models.identity import content_id, find_file
from passerby.recipes import run_folder, supervised
from passerby.recipes.bag_of_tricks import BagOfTricks, BagOfTricksMethod, before_bn
from passerby.recipes.supervised import RunOptions, SupervisedMethod, augmentation, known, small
from passerby.train import Batch, ScheduledOptimiser, distributed, extract, fit, gather
from passerby.train.device import find_device

ATTENTION = "diff_attention.safetensors"


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    """Options of the attention, for both kinds of training.

    Attributes:
        ratio: Length of the feature over that of the hidden layer; must divide the former.
        transform: Input transform: |q - g|, q - g or (q - g)^2.
        tied: One weight for query and gallery, so that the distance is symmetric.
        unit: Bring features to one length first, which a gallery of unit vectors needs.
        normalise: Compare attended vectors of unit length in training too, as the test does.
            Without this, hard data train the attention to shrink all distances to zero.
        weighted: The weighted triplet loss of AGW in place of the batch-hard one.
        legacy: Compute that loss by the arithmetic of the authors' code, see ``recipes.agw``.
    """

    ratio: int = 4
    transform: Transform = "absolute"
    tied: bool = False
    unit: bool = False
    normalise: bool = False
    weighted: bool = False
    legacy: bool = True


@dataclass(frozen=True, kw_only=True)
class SeparateDiffAttention(AttentionOptions, RunOptions):
    """An attention to pairs, trained on the features of a finished network.

    Attributes:
        weights: The frozen network, a model file of passerby; none: the bundled network.
        margin: Margin of the triplet loss; none: soft margin.
        weight: Weight w of the loss, equation 8.
    """

    out: Path = Path("runs/diff-attention")
    weights: Path | None = None

    # batches of P x K features, of pictures augmented once
    identities: int = 16
    images: int = 4
    flip: float = 0.5
    padding: int = 10
    erasing: float = 0.5

    margin: float | None = None
    weight: float = 10.0

    # Adam, without warm-up
    epochs: int = 60
    learning_rate: float = 0.05
    weight_decay: float = 5e-4
    warmup: int = 0
    milestones: tuple[int, ...] = (20, 40)
    decay: float = 0.1


@dataclass(frozen=True, kw_only=True)
class JointDiffAttention(AttentionOptions, BagOfTricks):
    """Bag of Tricks and an attention to pairs together, ResNet-50.

    Attributes:
        train_after_bn: Attend to the feature behind BN in training too, as the test does; the paper
            does not.
    """

    out: Path = Path("runs/diff-attention-joint")
    ratio: int = 512
    train_after_bn: bool = False


def unit_vectors() -> SeparateDiffAttention:
    """The same for galleries of unit vectors: a second stage of passerby search."""
    return SeparateDiffAttention(
        out=Path("runs/diff-attention-unit"),
        unit=True,
        normalise=True,
        margin=0.3,
        learning_rate=0.01,
        weight_decay=0.0,
        flip=0.0,
        padding=0,
        erasing=0.0,
    )


def joint_agw() -> JointDiffAttention:
    """AGW (non-local blocks, GeM, weighted triplet loss) and an attention to pairs together."""
    return JointDiffAttention(
        out=Path("runs/diff-attention-joint-agw"),
        ratio=4,
        pooling="gem",
        non_local="agw",
        weighted=True,
    )


def joint_small() -> JointDiffAttention:
    """Both together with a small network from random weights, for CPUs."""
    return small(JointDiffAttention(ratio=4))


def new_attention(config: AttentionOptions, dimension: int) -> DiffAttention:
    """The untrained attention to features of ``dimension``; unit vectors get length sqrt(D)."""
    return DiffAttention(
        dimension,
        ratio=config.ratio,
        transform=config.transform,
        tied=config.tied,
        length=dimension**0.5 if config.unit else None,
    )


def pair_loss(
    config: AttentionOptions, distances: Tensor, labels: Tensor, margin: float | None
) -> Tensor:
    """Batch-hard or weighted triplet loss of attended distances (B, B)."""
    if config.weighted:
        return weighted_triplet_of_distances(distances, labels, legacy=config.legacy)
    return triplet_of_distances(distances, labels, margin=margin)


class SeparateMethod(SupervisedMethod[SeparateDiffAttention]):
    """The attention alone learns, from features in place of pictures."""

    network: DiffAttention

    def __init__(self, config: SeparateDiffAttention, labels: Tensor, dimension: int) -> None:
        """Make the attention to features of ``dimension`` with identities ``labels`` (N,)."""
        super().__init__(config, labels)
        self.sampler = PKSampler(
            labels=labels.numpy(),
            identities=config.identities,
            images=config.images,
            seed=config.seed,
        )
        self.network = new_attention(config, dimension)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Equation 8: w times the triplet loss of the batch's features (B, D, 1, 1)."""
        config = self.config
        features, labels = gather(batch.images.flatten(1)), gather(self.labels[batch.indices])
        distances = self.network(features, normalise=config.normalise)
        return {"triplet": config.weight * pair_loss(config, distances, labels, config.margin)}

    def optimisers(self) -> list[ScheduledOptimiser]:
        """Adam."""
        return [supervised.adam(self.network, self.config)]


class JointMethod(BagOfTricksMethod[JointDiffAttention]):
    """Network and attention learn together."""

    def __init__(self, config: JointDiffAttention, labels: Tensor) -> None:
        """Make network, centres and attention for the identities in ``labels`` (N,)."""
        super().__init__(config, labels)
        self.attention = new_attention(config, self.network.dimension)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Equation 7: identity, attended triplet and centre loss."""
        config = self.config
        outputs = heads(self.network(batch.images))
        labels = self.labels[batch.indices]
        identity = [
            cross_entropy(head.logits, labels, smoothing=config.smoothing) for head in outputs
        ]
        before = before_bn(outputs)
        after = torch.cat([head.after_bn for head in outputs], dim=1)
        features = gather(after if config.train_after_bn else before)
        distances = self.attention(features, normalise=config.normalise)
        return {
            "identity": torch.stack(identity).mean(),
            "triplet": pair_loss(config, distances, gather(labels), config.margin),
            **self.center_loss(before, labels),
        }

    def optimisers(self) -> list[ScheduledOptimiser]:
        """Adam for network and attention; SGD with decay, at falling rates, for the centres."""
        config = self.config
        both = nn.ModuleList([self.network, self.attention])
        optimisers = [supervised.adam(both, config, config.betas)]
        if self.center is not None:
            sgd = torch.optim.SGD(
                self.center.parameters(),
                lr=config.center_learning_rate,
                weight_decay=config.weight_decay,
            )
            falling = replace(config, warmup=0)
            optimisers.append(ScheduledOptimiser(sgd, supervised.learning_rates(falling)))
        return optimisers


def run(config: SeparateDiffAttention, table: CropTable) -> Report | None:
    """Train the attention on the features of a finished network, and test both together.

    Writes to ``config.out``: ``config.json``, ``log.jsonl``, ``checkpoint.pt`` (at the end
    ``finished.pt``), ``diff_attention.safetensors`` with its card, and ``report.json``.

    Raises:
        InputError: If the options, the network or the data are at fault, or ``out`` holds another
            run.
    """
    path = find_file(config.weights or "default")
    network, card = load(path)

    def make(config: SeparateDiffAttention, labels: Tensor) -> SeparateMethod:
        return SeparateMethod(config, labels, card.dimension)

    method, origin = supervised.begin("diff-attention", make, config, table)
    if run_folder.is_finished(config.out, config.epochs):
        attention = load_attention(config.out / ATTENTION)[0]
        return first(evaluate(config, network, card, attention, table))
    learn(method, training_features(config, network, card, table))
    reports = evaluate(config, network, card, method.network, table)
    training = {**supervised.provenance(config, table, origin), "network": path.name}
    finish(config, method.network, content_id(card, path), training, reports)
    return first(reports)


def learn(method: SupervisedMethod[SeparateDiffAttention], features: Tensor) -> None:
    """Train the attention on features (N, D) of the training rows; the log is in ``out``."""
    # the loop's pictures (N, C, H, W) are features here: C = D
    fit(method, features[:, :, None, None], lambda rows, _: rows, method.config)


def run_joint(config: JointDiffAttention, table: CropTable) -> Report | None:
    """Train network and attention together; the run has ``model.safetensors`` as well.

    Raises:
        InputError: As :func:`run`.
    """
    method, origin = supervised.begin("diff-attention-joint", JointMethod, config, table)
    path = config.out / run_folder.MODEL
    if run_folder.is_finished(config.out, config.epochs):
        attention = load_attention(config.out / ATTENTION)[0]
        return first(evaluate(config, *load(path), attention, table))
    supervised.train(method, table)
    network, attention = method.network, method.attention
    training = supervised.provenance(config, table, origin)
    reports = evaluate(config, network, method.card, attention, table)
    scored = {table.name: reports[1].summary()} if reports else {}
    card = replace(method.card, training=training, scores=scored)
    with distributed.main_first():
        if distributed.is_main():
            save(network, card, path)
    finish(config, attention, content_id(card, path), training, reports)
    return first(reports)


def training_features(
    config: RunOptions, network: ReidNetwork, card: ModelCard, table: CropTable
) -> Tensor:
    """Test features (N, D) of the training rows of known identity, each picture augmented once.

    Features are not normalised: they keep the length that the network gives them.
    """
    store = ImageStore.load(
        known(table),
        size=card.input_size,
        interpolation=card.interpolation,
        progress=config.progress,
    )
    device = find_device(config.device)
    augment = augmentation(config, card)
    generator = torch_generator(config.seed, device=device)
    network.to(device).eval()
    parts = []
    with torch.inference_mode():
        for crops in tqdm(
            store.images.split(128), desc="features", disable=not config.progress, leave=False
        ):
            images = augment(crops.to(device), generator)
            parts.append(network(images.contiguous(memory_format=torch.channels_last)).cpu())
    return torch.cat(parts).clone()  # out of inference mode


def evaluate(
    config: RunOptions,
    network: ReidNetwork,
    card: ModelCard,
    attention: DiffAttention,
    table: CropTable,
) -> tuple[Report, Report] | None:
    """Reports of the attended distance and of the plain cosine on the same test features.

    None for data without queries and gallery.
    """
    if not len(table.query) or not len(table.gallery):
        return None
    device = find_device(config.device)
    network.to(device)
    queries, gallery = (
        extract(
            network,
            card,
            ImageStore.load(
                rows,
                size=card.input_size,
                interpolation=card.interpolation,
                progress=config.progress,
            ).images,
            device=device,
            progress=config.progress,
            unit=False,
        ).to(device)
        for rows in (table.query, table.gallery)
    )
    return scores(attention.to(device), queries, gallery, table)


def first(reports: tuple[Report, Report] | None) -> Report | None:
    """Return the report of the attended distance, if there are reports."""
    return reports[0] if reports else None


def scores(
    attention: DiffAttention, queries: Tensor, gallery: Tensor, table: CropTable
) -> tuple[Report, Report]:
    """Reports of the attended distance and of the cosine of features (Q, D) and (G, D)."""
    labels = table.match_labels()
    attended = evaluate_blocks(attended_blocks(attention, queries, gallery), *labels)
    return attended, evaluate_features(queries, gallery, *labels)


def finish(
    config: RunOptions,
    attention: DiffAttention,
    model_id: str,
    training: dict[str, Any],
    reports: tuple[Report, Report] | None,
) -> None:
    """Write the attention with its scores, and the report; keep the checkpoint."""
    if not distributed.is_main():
        return
    summary = {**reports[0].summary(), "plain": reports[1].summary()} if reports else {}
    card = AttentionCard(
        model_id=model_id,
        dimension=attention.dimension,
        ratio=attention.ratio,
        transform=attention.transform,
        tied=attention.tied,
        length=attention.length,
        training=training,
        scores={training["data"]: summary} if reports else {},
    )
    save_attention(attention, card, config.out / ATTENTION)
    report = {"data": training["data"], **summary, "training": training}
    run_folder.write_json(config.out / run_folder.REPORT, report)
    run_folder.keep_checkpoint(config.out)
