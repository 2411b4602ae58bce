from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from passerby.data import CropTable, PKSampler, SwitchSampler, read
from passerby.losses import cross_entropy, triplet
from passerby.models import load, parameters
from passerby.recipes.pyramid import (
    Pyramid,
    PyramidMethod,
    new_network,
    run,
    small_cpu,
    sum_of_branches,
)
from passerby.train import Batch

TINY = replace(
    small_cpu(),
    size=(72, 32),
    identities=8,
    images=4,
    epochs=20,
    warmup_epochs=2,
    precision="fp32",
    log_every=1,
    threads=1,
    progress=False,
)


@pytest.fixture(scope="module")
def table(market: Path) -> CropTable:
    return read("market1501", market)


def method(**changes: Any) -> PyramidMethod:
    config = replace(TINY, **changes)
    labels = torch.arange(8).repeat_interleave(8)
    torch.manual_seed(0)
    sampler = PKSampler(labels=labels.numpy(), identities=8, images=4)
    network = new_network(config, 8)
    return PyramidMethod(config, network, labels, sampler)  # type: ignore[arg-type]


def batch() -> Batch:
    generator = torch.Generator().manual_seed(3)
    rows = torch.arange(64).reshape(8, 8)[:, :4].flatten()
    return Batch(torch.randn(32, 3, 72, 32, generator=generator), rows)


def test_defaults_are_the_authors() -> None:
    config = Pyramid()
    network = new_network(config, 0)
    # ResNet-101's trunk and 21 branches
    assert parameters(network) == 42_500_160 + 5_513_088
    assert network.dimension == 2_688
    made = method(learning_rate=0.1, backbone_rate=0.01, schedule="steps", warmup_epochs=0)
    scheduled = made.optimisers()[0]
    scheduled.set_rate(71, 0.0)
    rates = {group["name"]: group["lr"] for group in scheduled.optimiser.param_groups}
    assert rates == {"backbone": pytest.approx(0.0025), "all": pytest.approx(0.025)}


def test_identity_loss_is_the_sum_over_branches() -> None:
    logits = torch.randn(6, 5, 4)
    labels = torch.tensor([0, 1, 2, 3, 1])
    one_by_one = torch.stack([cross_entropy(branch, labels, smoothing=0) for branch in logits])
    torch.testing.assert_close(sum_of_branches(logits, labels), one_by_one.sum())


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
    ("losses", "terms"),
    [
        ("identity", {"identity"}),
        ("triplet", {"triplet"}),
        ("both", {"identity", "triplet"}),
        ("dynamic", {"identity", "triplet"}),
    ],
)
def test_what_is_minimised(losses: str, terms: set[str]) -> None:
    assert set(method(losses=losses).losses(batch())) == terms


def test_the_text_starts_with_random_images_and_the_identity_loss() -> None:
    made = method(dynamic="paper")
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


@pytest.mark.parametrize("dynamic", ["official", "paper"])
def test_training_learns_and_a_cut_run_continues_exactly(
    table: CropTable, tmp_path: Path, dynamic: Any
) -> None:
    config = replace(TINY, dynamic=dynamic)
    report = run(replace(config, out=tmp_path / "whole"), table)
    assert report.mAP > 0.4
    network, card = load(tmp_path / "whole" / "model.safetensors")
    assert card.architecture == "pyramid:slim18"
    assert network.dimension == 6 * 128

    class StopError(Exception):
        pass

    class Cut(PyramidMethod):
        steps = 0

        def after_step(self) -> None:
            Cut.steps += 1
            if Cut.steps == 9:
                raise StopError

    from passerby.recipes import pyramid, supervised

    cut = replace(pyramid.RECIPE, method=Cut)
    short = replace(config, out=tmp_path / "cut", checkpoint_every=1)
    with pytest.raises(StopError):
        supervised.run(cut, short, table)
    run(short, table)
    ours, again = (
        load(tmp_path / name / "model.safetensors")[0].state_dict() for name in ("whole", "cut")
    )
    assert all(torch.equal(ours[key], again[key]) for key in ours)
