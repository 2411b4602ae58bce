from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from passerby.data import CropTable, SwitchSampler, read
from passerby.losses import cross_entropy, triplet
from passerby.models import load, parameters
from passerby.recipes import supervised
from passerby.recipes.pyramid import (
    Pyramid,
    PyramidMethod,
    authors,
    new_network,
    run,
    small_cpu,
    sum_over_branches,
)
from passerby.train import Batch
from passerby.train.evaluation import evaluate_network
from tests.recipes.tiny import tiny

TINY = tiny(small_cpu(), size=(72, 32), padding=0, learning_rate=0.1, epochs=20, log_every=1)
LABELS = torch.arange(8).repeat_interleave(8)


@pytest.fixture(scope="module")
def table(market: Path) -> CropTable:
    return read("market1501", market)


def method(**changes: Any) -> PyramidMethod:
    return PyramidMethod(replace(TINY, **changes), LABELS)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(3)
    rows = torch.arange(64).reshape(8, 8)[:, :4].flatten()
    return Batch(torch.randn(32, 3, 72, 32, generator=generator), rows)


def test_the_authors_settings() -> None:
    config = authors()
    assert (config.loss, config.triplet_on) == ("dynamic", "branches")
    text = Pyramid()
    assert replace(config, loss=text.loss, triplet_on=text.triplet_on) == text
    _, card = new_network(replace(TINY, size=(96, 32)), 4)
    assert card.interpolation == "bicubic"


def test_branches_and_rates_are_the_authors() -> None:
    config = Pyramid()
    network, _ = new_network(config, 0)
    # ResNet-101's trunk and 21 branches
    assert parameters(network) == 42_500_160 + 5_513_088
    assert network.dimension == 2_688
    made = method(learning_rate=0.1, backbone_rate=0.01, schedule="steps", warmup=0)
    scheduled = made.optimisers()[0]
    scheduled.set_rate(71, 0.0)
    rates = {group["name"]: group["lr"] for group in scheduled.optimiser.param_groups}
    assert rates == {"backbone": pytest.approx(0.0025), "all": pytest.approx(0.025)}


def test_identity_loss_is_the_sum_over_branches() -> None:
    logits = torch.randn(6, 5, 4)
    labels = torch.tensor([0, 1, 2, 3, 1])
    one_by_one = torch.stack([cross_entropy(branch, labels, smoothing=0) for branch in logits])
    torch.testing.assert_close(sum_over_branches(logits, labels), one_by_one.sum())


def test_triplet_on_the_whole_feature_or_on_every_branch() -> None:
    features, labels = torch.randn(8, 6, 16), torch.arange(4).repeat_interleave(2)
    whole = method().triplet(features, labels)
    torch.testing.assert_close(whole, triplet(features.flatten(1), labels, margin=1.4))
    each = method(triplet_on="branches").triplet(features, labels)
    singles = [triplet(features[:, n], labels, margin=1.4) for n in range(6)]
    torch.testing.assert_close(each, torch.stack(singles).sum())
    unit = method(normalise=True).triplet(features, labels)
    flat = torch.nn.functional.normalize(features.flatten(1), dim=1)
    torch.testing.assert_close(unit, triplet(flat, labels, margin=1.4))


@pytest.mark.parametrize(
    ("loss", "terms"),
    [
        ("identity", {"identity"}),
        ("triplet", {"triplet"}),
        ("both", {"identity", "triplet"}),
        ("dynamic", {"identity", "triplet"}),
    ],
)
def test_what_is_minimised(loss: str, terms: set[str]) -> None:
    assert set(method(loss=loss).losses(batch())) == terms


def test_the_text_starts_with_random_images_and_the_identity_loss() -> None:
    made = method(loss="dynamic_text")
    assert isinstance(made.sampler, SwitchSampler)
    terms = made.losses(batch())
    assert terms["triplet"] == 0
    assert terms["identity"] > 0
    # once the decision falls for both, the next batch has K images of each identity
    made.balance.both.fill_(True)
    rows = made.sampler.batches(1)[0]
    assert made.labels[rows].bincount().tolist() == [4] * 8
    made.balance.both.fill_(False)
    rows = made.sampler.batches(1)[0]
    assert made.labels[rows].bincount(minlength=8).tolist() != [4] * 8


# epochs of two batches of the authors' rule, of four of the text's
@pytest.mark.parametrize(("loss", "epochs"), [("dynamic", 8), ("dynamic_text", 4)])
def test_training_learns_to_find_people_it_never_saw(
    table: CropTable, tmp_path: Path, loss: Any, epochs: int
) -> None:
    config = replace(TINY, loss=loss, epochs=epochs, warmup=1, out=tmp_path)
    untrained, card = new_network(config, 0)
    start = evaluate_network(untrained, card, table, metric="squared_euclidean").mAP
    report = run(config, table)
    assert report.mAP > start + 0.1
    network, card = load(tmp_path / "model.safetensors")
    again = evaluate_network(network, card, table, metric="squared_euclidean")
    assert again.mAP == pytest.approx(report.mAP, abs=1e-6)
    assert evaluate_network(network, card, table).mAP != report.mAP
    assert card.architecture == "pyramid:slim18"
    assert network.dimension == 6 * 128


class StopError(Exception):
    pass


class Cut(PyramidMethod):
    """A run that ends in its sixth step."""

    steps = 0

    def after_step(self) -> None:
        self.steps += 1
        if self.steps == 6:
            raise StopError


@pytest.mark.parametrize(("loss", "epochs"), [("dynamic", 4), ("dynamic_text", 2)])
def test_a_cut_run_continues_exactly(
    table: CropTable, tmp_path: Path, loss: Any, epochs: int
) -> None:
    whole = replace(TINY, size=(36, 16), loss=loss, epochs=epochs, warmup=0, checkpoint_every=1)
    run(replace(whole, out=tmp_path / "whole"), table)
    cut = replace(whole, out=tmp_path / "cut")
    with pytest.raises(StopError):
        supervised.run("pyramid", Cut, cut, table)
    run(cut, table)
    ours, again = (
        load(tmp_path / name / "model.safetensors")[0].state_dict() for name in ("whole", "cut")
    )
    assert all(torch.equal(ours[key], again[key]) for key in ours)
