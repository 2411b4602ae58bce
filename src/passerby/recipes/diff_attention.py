"""Diff Attention on Bag of Tricks or AGW, trained with the network or after it.

Zhu et al., multi-level person re-identification with urban information units and Diff Attention;
the weights lost in its print are those of the authors' code. Joint training takes the batch-hard
(AGW: the weighted) triplet loss of the attended distances in place of the plain ones. Separate
training freezes a finished network, keeps the features of all training pictures, each augmented
once, and teaches the attention alone, in minutes. Either way a run leaves
``diff_attention.safetensors`` beside its report, and the report has the score of the plain cosine
on the same features.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from passerby.data import CropTable, ImageStore, PKSampler
from passerby.data.samplers import torch_generator
from passerby.errors import InputError
from passerby.losses import cross_entropy
from passerby.losses.triplet import triplet_of_distances
from passerby.losses.weighted_triplet import weighted_triplet_of_distances
from passerby.metrics import Report, evaluate_blocks, evaluate_features
from passerby.models import ModelCard, ReidNetwork, TrainOutput, heads, load, save
from passerby.models.attention_files import AttentionCard, load_attention, save_attention
from passerby.models.diff_attention import DiffAttention, Transform, attended_blocks
from passerby.models.identity import content_id, find_file
from passerby.recipes import options, run_folder, supervised
from passerby.recipes.baseline import (
    BaselineMethod,
    BaselineOptions,
    average,
    describe,
    new_network,
    whole,
)
from passerby.recipes.options import RunOptions, fit_options, known, small
from passerby.recipes.supervised import Recipe, SupervisedMethod
from passerby.train import Batch, Sampler, ScheduledOptimiser, distributed, extract, fit, gather
from passerby.train.device import find_device
from passerby.train.loop import CHECKPOINT

ATTENTION = "diff_attention.safetensors"


@dataclass(frozen=True, kw_only=True)
class AttentionOptions(RunOptions):
    """Options of the attention, however it is trained."""

    ratio: int = 4
    """How much narrower the hidden layer is than the feature; must divide its length."""
    transform: Transform = "absolute"
    """Input transform: |q - g|, q - g or (q - g)^2."""
    tied: bool = False
    """One weight for query and gallery, so that the distance is symmetric."""
    unit: bool = False
    """Bring features to one length first, as the attention of a gallery of unit vectors must."""
    normalise: bool = False
    """Compare attended vectors of unit length in training too, as the test does; without this, hard
    data teach the attention to shrink all distances to zero."""
    weighted: bool = False
    """The weighted triplet loss of AGW in place of the batch-hard one."""


@dataclass(frozen=True, kw_only=True)
class SeparateDiffAttention(AttentionOptions):
    """Options of separate training."""

    out: Path = Path("runs/diff-attention")
    """The run's folder; a killed run continues from there."""
    backbone: str = "frozen"
    """Plays no part, like size and feature: the network is a file."""
    weights: Path | None = None
    """The frozen network, a model file of passerby; none: the bundled network."""
    epochs: int = 60
    """Length of the training."""
    learning_rate: float = 0.05
    """Base learning rate (Adam)."""
    milestones: tuple[int, ...] = (20, 40)
    """Epochs after which the rate falls (steps)."""
    warmup_epochs: int = 0
    """The learning rate grows linearly over the first epochs."""
    margin: float | None = None
    """Margin of the triplet loss; none: soft margin."""
    weight: float = 10.0
    """Weight w of the loss, equation 8."""


@dataclass(frozen=True, kw_only=True)
class JointDiffAttention(AttentionOptions, BaselineOptions):
    """Options of joint training on Bag of Tricks; :func:`joint_agw` is that on AGW."""

    out: Path = Path("runs/diff-attention-joint")
    """The run's folder; a killed run continues from there."""
    ratio: int = 512
    """How much narrower the hidden layer is than the feature; must divide its length."""
    train_after_bn: bool = False
    """Attend to the feature behind BN in training too, as the test does; the paper does not."""


def unit_vectors() -> SeparateDiffAttention:
    """For a gallery of unit vectors, as a second stage of its search; training cannot collapse."""
    return SeparateDiffAttention(
        out=Path("runs/diff-attention-unit"),
        unit=True,
        normalise=True,
        margin=0.3,
        learning_rate=0.01,
        weight_decay=0.0,
        flip=0.0,
        padding=0,
        random_erasing=False,
    )


def joint_agw() -> JointDiffAttention:
    """On AGW: non-local blocks, GeM, the weighted triplet loss; ratio 4."""
    return JointDiffAttention(
        out=Path("runs/diff-attention-joint-agw"),
        ratio=4,
        pooling="gem",
        non_local="agw",
        weighted=True,
    )


def joint_small() -> JointDiffAttention:
    """A small network that trains from scratch on two CPU cores."""
    return small(JointDiffAttention(ratio=4))


Options = TypeVar("Options", bound=AttentionOptions)


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
    """The triplet loss chosen, of attended distances (B, B)."""
    if config.weighted:
        return weighted_triplet_of_distances(distances, labels)
    return triplet_of_distances(distances, labels, margin=margin)


class SeparateMethod(SupervisedMethod[SeparateDiffAttention]):
    """The attention alone learns, from features in place of pictures."""

    network: DiffAttention

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Equation 8: w times the triplet loss of the batch's features (B, D, 1, 1)."""
        config = self.config
        features, labels = gather(batch.images.flatten(1)), gather(self.labels[batch.indices])
        distances = self.network(features, normalise=config.normalise)
        return {"triplet": config.weight * pair_loss(config, distances, labels, config.margin)}


class JointMethod(BaselineMethod[JointDiffAttention]):
    """Network and attention learn together."""

    def __init__(
        self, config: JointDiffAttention, network: ReidNetwork, labels: Tensor, sampler: Sampler
    ) -> None:
        """Take a network with a classifier for the identities in ``labels`` (N,)."""
        super().__init__(config, network, labels, sampler)
        self.attention = new_attention(config, network.dimension)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Equation 7: identity, attended triplet and centre loss."""
        config = self.config
        outputs = heads(self.network(batch.images))
        labels = self.labels[batch.indices]
        before = whole(outputs)
        after = torch.cat([head.after_bn for head in outputs], dim=1)
        features = after if config.train_after_bn else before
        distances = self.attention(gather(features), normalise=config.normalise)
        identity = [self.head_losses(head, n, labels) for n, head in enumerate(outputs)]
        return {
            **average(identity),
            "triplet": pair_loss(config, distances, gather(labels), config.margin),
            **self.center_terms(before, labels),
        }

    def head_losses(self, head: TrainOutput, number: int, labels: Tensor) -> dict[str, Tensor]:
        """Identity loss; the attention compares the heads' features together."""
        smoothing = self.config.smoothing
        return {"identity": cross_entropy(head.logits, labels, smoothing=smoothing)}

    def network_optimiser(self) -> ScheduledOptimiser:
        """Adam for network and attention together."""
        both = torch.nn.ModuleList([self.network, self.attention])
        return supervised.adam(both, self.config)


JOINT = Recipe(name="diff-attention-joint", network=new_network, method=JointMethod, card=describe)


def run(config: SeparateDiffAttention, table: CropTable) -> Report:
    """Train the attention to the features of a finished network, and test both together.

    Writes to ``config.out``: ``config.json``, ``log.jsonl``, ``checkpoint.pt`` (removed at the
    end), ``diff_attention.safetensors`` with its card, and ``report.json``.

    Raises:
        InputError: If the options, the network or the data are at fault, or ``out`` holds another
            run.
    """
    for name in ("backbone", "size", "feature"):
        if getattr(config, name) != getattr(SeparateDiffAttention, name):
            raise InputError(f"separate training takes the network as it is; leave {name} out")
    path = find_file(config.weights or "default")
    network, card = load(path)
    new_attention(config, card.dimension)  # a ratio that does not fit is refused before any work
    begun, sampler = supervised.begin("diff-attention", config, table)
    if (config.out / run_folder.REPORT).exists():
        return judge(config, network, card, load_attention(config.out / ATTENTION)[0], table)[0]
    features = training_features(config, network, card, table)
    attention = learn(config, features, sampler)
    found = judge(config, network, card, attention, table)
    training = {**supervised.provenance(config, table, begun), "network": path.name}
    finish(config, attention, content_id(card, path), training, found)
    return found[0]


def learn(config: SeparateDiffAttention, features: Tensor, sampler: PKSampler) -> DiffAttention:
    """Teach a new attention by features (N, D) of the sampler's rows; the log is in ``out``."""
    torch.manual_seed(config.seed)
    attention = new_attention(config, features.shape[1])
    method = SeparateMethod(config, attention, torch.from_numpy(sampler.labels), sampler)
    # the loop's pictures (N, C, H, W) are features here: C = D
    looped = replace(fit_options(config), channels_last=False)
    fit(method, features[:, :, None, None], lambda rows, _: rows, looped)
    return attention


def run_joint(config: JointDiffAttention, table: CropTable) -> Report:
    """Train network and attention together; the run has ``model.safetensors`` as well.

    Raises:
        InputError: As :func:`run`.
    """
    begun, sampler = supervised.begin(JOINT.name, config, table)
    path = config.out / run_folder.MODEL
    if (config.out / run_folder.REPORT).exists():
        return judge(config, *load(path), load_attention(config.out / ATTENTION)[0], table)[0]
    method, card = supervised.train(JOINT, config, table, sampler)
    assert isinstance(method, JointMethod)
    training = supervised.provenance(config, table, begun)
    found = judge(config, method.network, card, method.attention, table)
    card = replace(card, training=training, scores={table.name: found[1].summary()})
    with distributed.main_first():
        if distributed.is_main():
            save(method.network, card, path)
    finish(config, method.attention, content_id(card, path), training, found)
    return found[0]


def training_features(
    config: RunOptions, network: ReidNetwork, card: ModelCard, table: CropTable
) -> Tensor:
    """Test features (N, D) of the training rows of known identity, each picture augmented once.

    They have the length that the network gives them.
    """
    store = ImageStore.load(
        known(table),
        size=card.input_size,
        interpolation=card.interpolation,
        progress=config.progress,
    )
    device = find_device(config.device)
    augment = supervised.as_the_card_says(options.augmentation(config), card)
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


def judge(
    config: RunOptions,
    network: ReidNetwork,
    card: ModelCard,
    attention: DiffAttention,
    table: CropTable,
) -> tuple[Report, Report]:
    """Reports of the attended distance and of the plain cosine on the same test features."""
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


def scores(
    attention: DiffAttention, queries: Tensor, gallery: Tensor, table: CropTable
) -> tuple[Report, Report]:
    """Reports of the attended distance and of the cosine of features (Q, D) and (G, D)."""
    identities = (table.query.identity, table.gallery.identity)
    cameras = (table.query.camera, table.gallery.camera)
    attended = evaluate_blocks(attended_blocks(attention, queries, gallery), *identities, *cameras)
    return attended, evaluate_features(queries, gallery, *identities, *cameras)


def finish(
    config: AttentionOptions,
    attention: DiffAttention,
    model_id: str,
    training: dict[str, Any],
    found: tuple[Report, Report],
) -> None:
    """Write the attention with its scores, and the report; drop the checkpoint."""
    if not distributed.is_main():
        return
    summary = {**found[0].summary(), "plain": found[1].summary()}
    card = AttentionCard(
        model_id=model_id,
        dimension=attention.dimension,
        ratio=attention.ratio,
        transform=attention.transform,
        tied=attention.tied,
        length=attention.length,
        training=training,
        scores={training["data"]: summary},
    )
    save_attention(attention, card, config.out / ATTENTION)
    report = {"data": training["data"], **summary, "training": training}
    run_folder.write_json(config.out / run_folder.REPORT, report)
    (config.out / CHECKPOINT).unlink(missing_ok=True)
