"""Recipes on networks other than their own: stripes with any loss, and networks of timm."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from passerby.data import CropTable, read
from passerby.errors import InputError
from passerby.losses import center, circle, cross_entropy, triplet, weighted_triplet
from passerby.models import build, heads, load, preprocessing, read_card, save
from passerby.models.ghost_norm import GhostBatchNorm
from passerby.recipes import agw, bag_of_tricks, diff_attention, fused_loss
from passerby.recipes.bag_of_tricks import BagOfTricks, BagOfTricksMethod
from passerby.recipes.cluster_contrast import ClusterContrast
from passerby.recipes.cluster_contrast import new_network as without_labels
from passerby.recipes.supervised import augmentation
from tests.recipes.tiny import LABELS, batch, tiny

METHODS: dict[str, tuple[BagOfTricks, type[BagOfTricksMethod[Any]]]] = {
    "bag-of-tricks": (bag_of_tricks.small_cpu(), bag_of_tricks.BagOfTricksMethod),
    "agw": (agw.small_cpu(), agw.AgwMethod),
    "fused-loss": (fused_loss.small_cpu(), fused_loss.FusedLossMethod),
    "joint": (diff_attention.joint_small(), diff_attention.JointMethod),
}


def method(name: str, **changes: Any) -> BagOfTricksMethod[Any]:
    options, kind = METHODS[name]
    return kind(tiny(options, **changes), LABELS)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("backbone", ["slim18", "pyramid:slim18"])
def test_every_loss_takes_every_head(name: str, backbone: str) -> None:
    changes: dict[str, Any] = {"parts": 2, "part_width": 32}
    if backbone != "slim18":
        changes = {"backbone": backbone, "structure": {"stripes": "2", "width": "32"}}
        changes |= {"pooling": "average", "non_local": "none"}
    made = method(name, **changes)
    sum(made.losses(batch()).values()).backward()  # type: ignore[union-attr]
    # circle loss compares with weights alone; new non-local blocks start as the identity
    learnt = {n: p for n, p in made.named_parameters() if p.requires_grad and "fiers.bias" not in n}
    assert [n for n, p in learnt.items() if p.grad is None] == []
    heads_own = {n: p for n, p in learnt.items() if not n.startswith("network.backbone.")}
    assert [n for n, p in heads_own.items() if not p.grad.any()] == []  # type: ignore[union-attr]


def test_a_loss_is_the_mean_over_heads_and_the_centres_are_of_the_whole_feature() -> None:
    made = method("fused-loss", parts=2, part_width=32)
    terms = made.losses(batch())
    outputs = heads(made.network(batch().images))
    unit = torch.nn.functional.normalize
    expected = []
    for head, classifier in zip(outputs, made.network.classifiers, strict=True):  # type: ignore[arg-type]
        cosines = unit(head.after_bn, dim=1) @ unit(classifier.weight, dim=1).T  # type: ignore[union-attr]
        expected.append(circle(cosines, LABELS, gamma=64, margin=0.35, smoothing=0.1))
    assert terms["circle"].item() == pytest.approx(sum(expected).item() / 3, abs=1e-5)  # type: ignore[attr-defined]
    metric = [triplet(head.before_bn, LABELS, margin=0.3).item() for head in outputs]
    assert terms["triplet"].item() == pytest.approx(sum(metric) / 3, abs=1e-5)
    feature = torch.cat([head.before_bn for head in outputs], dim=1)
    assert made.center is not None
    whole = 0.005 * center(feature, LABELS, made.center.centers)
    assert terms["center"].item() == pytest.approx(whole.item(), abs=1e-5)


def test_agw_takes_stripes_with_its_own_pooling_and_blocks() -> None:
    made = method("agw", parts=2, part_width=0)
    terms = made.losses(batch())
    outputs = heads(made.network(batch().images))
    weighted = [weighted_triplet(head.before_bn, LABELS, legacy=True).item() for head in outputs]
    assert terms["triplet"].item() == pytest.approx(sum(weighted) / 3, abs=1e-5)
    identity = [cross_entropy(head.logits, LABELS, smoothing=0.1).item() for head in outputs]
    assert terms["identity"].item() == pytest.approx(sum(identity) / 3, abs=1e-5)
    assert made.network.dimension == 3 * 256


def test_the_card_of_stripes_rebuilds_them(tmp_path: Path) -> None:
    made = method("bag-of-tricks", parts=2, part_width=32)
    card = made.card
    assert card.architecture == "parts:slim18"
    save(made.network, card, tmp_path / "parts.safetensors")
    again, _ = load(tmp_path / "parts.safetensors")
    images = batch().images
    with torch.inference_mode():
        assert torch.equal(again(images), made.network.eval()(images))


def test_a_network_of_timm_keeps_its_own_preparation(market: Path, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    table: CropTable = read("market1501", market)
    name = "timm:vit_tiny_patch16_224"
    config = bag_of_tricks.BagOfTricks(
        backbone=name,
        structure={"tokens": "average", "drop_path": "0.1"},
        size=(64, 32),
        out=tmp_path / "vit",
        identities=8,
        epochs=1,
        threads=1,
        progress=False,
    )
    assert preprocessing(name).mean == (0.5, 0.5, 0.5)
    bag_of_tricks.run(config, table)
    _, card = load(tmp_path / "vit" / "model.safetensors")
    assert (card.mean, card.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert card.interpolation == "bicubic"
    assert card.structure == {"tokens": "average", "drop_path": 0.1}
    augment = augmentation(config, card)
    assert augment.mean == (0.5, 0.5, 0.5)


def test_start_weights_bring_their_own_preparation(tmp_path: Path) -> None:
    network = build("slim18").eval()
    card = replace(
        method("bag-of-tricks").card,
        mean=(1.0, 2.0, 3.0),
        std=(4.0, 5.0, 6.0),
        colour_order="BGR",
        value_range=255.0,
        interpolation="bicubic",
    )
    path = tmp_path / "start.safetensors"
    save(network, card, path)
    prepared = preprocessing("slim18", path)
    for name in ("mean", "std", "colour_order", "value_range", "interpolation"):
        assert getattr(prepared, name) == getattr(card, name)
    augment = augmentation(bag_of_tricks.small_cpu(), card)
    assert (augment.mean, augment.std) == (card.mean, card.std)
    assert (augment.bgr, augment.value_range) == (True, 255.0)
    plain = ClusterContrast(backbone="slim18", weights=path, branch="none", non_local="none")
    network, learnt = without_labels(plain)
    assert isinstance(network.bnneck, GhostBatchNorm)
    assert (learnt.mean, learnt.colour_order) == (card.mean, "BGR")
    assert learnt.interpolation == plain.interpolation
    assert read_card(path).mean == card.mean


def test_an_unknown_option_of_the_architecture_is_refused() -> None:
    with pytest.raises(InputError, match="no option 'stripe'"):
        method("bag-of-tricks", structure={"stripe": "3"})
