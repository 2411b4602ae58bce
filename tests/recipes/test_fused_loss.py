import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch

from passerby.data import CropTable, read
from passerby.losses import center, circle, cross_entropy, pair_circle, triplet
from passerby.models import ModelCard, load
from passerby.recipes.fused_loss import (
    FusedLoss,
    FusedLossMethod,
    cosines,
    run,
    small_cpu,
)
from passerby.recipes.supervised import augmentation
from tests.recipes.tiny import LABELS, batch, tiny

TINY = tiny(small_cpu(), epochs=6, warmup=1)
CARD = ModelCard(architecture="slim18", dimension=256)


@pytest.fixture(scope="module")
def table(market: Path) -> CropTable:
    return read("market1501", market)


def method(**changes: Any) -> FusedLossMethod:
    return FusedLossMethod(replace(TINY, **changes), LABELS)


def test_defaults_are_the_papers_where_it_gives_them() -> None:
    config = FusedLoss()
    assert config.center_weight == 0.005
    assert config.betas == (0.9, 0.9)
    assert (config.gamma, config.circle_margin, config.smoothing) == (64.0, 0.35, 0.1)
    assert augmentation(config, CARD).auto_augment == 0.1
    assert augmentation(replace(config, auto_augment=0.0), CARD).auto_augment == 0.0
    adam = method(betas=(0.9, 0.9)).optimisers()[0].optimiser
    assert adam.param_groups[0]["betas"] == (0.9, 0.9)


def test_the_terms_are_the_losses_of_their_names() -> None:
    made = method()
    terms = made.losses(batch())
    output = made.network(batch().images)
    labels = made.labels
    weights = torch.nn.functional.normalize(made.network.classifier.weight, dim=1)
    unit = torch.nn.functional.normalize(output.after_bn, dim=1)
    assert made.center is not None
    expected = {
        "circle": circle(unit @ weights.T, labels, gamma=64, margin=0.35, smoothing=0.1),
        "triplet": triplet(output.before_bn, labels, margin=0.3),
        "center": 0.005 * center(output.before_bn, labels, made.center.centers),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)


def test_every_form_of_the_identity_loss() -> None:
    forms = get_args(get_type_hints(FusedLoss)["identity_loss"])
    seen = {}
    for form in forms:
        made = method(identity_loss=form, triplet_weight=0.0, center_weight=0.0)
        seen |= made.losses(batch())
        assert len(made.optimisers()) == 1
    output = made.network(batch().images)
    torch.testing.assert_close(
        seen["pair_circle"], pair_circle(output.after_bn, made.labels, gamma=64, margin=0.35)
    )
    torch.testing.assert_close(
        seen["softmax"], cross_entropy(output.logits, made.labels, smoothing=0.1)
    )
    assert seen.keys() == {"circle", "pair_circle", "softmax"}


def test_cosines_lie_between_minus_one_and_one() -> None:
    made = method()
    values = cosines(made.network.classifier.weight, 100 * torch.randn(5, made.network.dimension))
    assert values.shape == (5, 8)
    assert values.abs().max() <= 1 + 1e-5


def test_training_learns_to_find_people_it_never_saw(table: CropTable, tmp_path: Path) -> None:
    report = run(replace(TINY, out=tmp_path), table)
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    epochs = [line["losses"] for line in logged if line["event"] == "epoch"]
    assert epochs[-1]["circle"] < 0.8 * epochs[0]["circle"]
    assert report.mAP > 0.4
    card = load(tmp_path / "model.safetensors")[1]
    assert card.training["recipe"] == "fused-loss"
