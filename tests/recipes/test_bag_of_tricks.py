import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from passerby.data import CropTable, read
from passerby.errors import InputError
from passerby.models import ModelCard, build, load
from passerby.recipes.bag_of_tricks import (
    BagOfTricks,
    BagOfTricksMethod,
    from_scratch,
    run,
    small_cpu,
)
from passerby.recipes.supervised import augmentation, check, learning_rates
from passerby.train.evaluation import evaluate_network
from tests.recipes.tiny import LABELS, batch, tiny

TINY = tiny(BagOfTricks(), epochs=12)
CARD = ModelCard(architecture="slim18", dimension=256)


@pytest.fixture(scope="module")
def table(market: Path) -> CropTable:
    return read("market1501", market)


@pytest.fixture(scope="module")
def trained(table: CropTable, tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs") / "tiny"
    return out, run(replace(TINY, out=out), table)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def method(**changes: Any) -> BagOfTricksMethod[BagOfTricks]:
    return BagOfTricksMethod(replace(TINY, **changes), LABELS)


def test_training_learns_to_find_people_it_never_saw(table: CropTable, trained: Any) -> None:
    out, report = trained
    epochs = [line["losses"] for line in lines(out) if line["event"] == "epoch"]
    assert epochs[-1]["loss"] < 0.6 * epochs[0]["loss"]
    untrained = build("slim18").eval()
    card = load(out / "model.safetensors")[1]
    assert report.mAP > evaluate_network(untrained, card, table).mAP + 0.1
    assert report.mAP > 0.5


def test_the_run_folder_tells_the_whole_story(table: CropTable, trained: Any) -> None:
    out, report = trained
    assert sorted(p.name for p in out.iterdir()) == [
        "config.json", "finished.pt", "log.jsonl", "model.safetensors", "report.json",
    ]  # fmt: skip
    network, card = load(out / "model.safetensors")
    assert evaluate_network(network, card, table).mAP == pytest.approx(report.mAP, abs=1e-6)
    written = json.loads((out / "report.json").read_text())
    assert written["mAP"] == report.mAP
    assert written["protocol"] == "market1501"
    assert card.scores[card.training["data"]]["mAP"] == report.mAP
    assert card.training["identities"] == 16
    assert card.training["crops"] == 144
    assert card.training["options"]["seed"] == 0
    assert card.training["commit"]
    assert card.input_size == (64, 32)


def test_a_finished_run_gives_its_report_again(table: CropTable, trained: Any) -> None:
    out, report = trained
    before = (out / "model.safetensors").read_bytes()
    again = run(replace(TINY, out=out), table)
    assert again.mAP == pytest.approx(report.mAP, abs=1e-6)
    assert (out / "model.safetensors").read_bytes() == before


def test_a_run_with_other_options_does_not_continue(table: CropTable, trained: Any) -> None:
    out, _ = trained
    with pytest.raises(InputError, match="holds a run with another seed"):
        run(replace(TINY, out=out, seed=5, epochs=3), table)


def test_defaults_are_the_papers() -> None:
    config = BagOfTricks()
    assert (config.identities, config.images, config.size) == (16, 4, (256, 128))
    assert (config.learning_rate, config.weight_decay) == (3.5e-4, 5e-4)
    schedule = learning_rates(config)
    rates = [config.learning_rate * schedule.factor(epoch, 0.0) for epoch in (1, 10, 41, 71)]
    assert rates == pytest.approx([3.5e-5, 3.5e-4, 3.5e-5, 3.5e-6])
    transform = augmentation(config, CARD)
    assert (transform.flip, transform.padding, transform.colour) == (0.5, 10, None)
    assert transform.erasing is not None


def test_every_trick_has_an_option_that_turns_it_off() -> None:
    assert method(warmup=0).optimisers()[0].set_rate(1, 0.0) == TINY.learning_rate
    assert augmentation(BagOfTricks(erasing=0.0), CARD).erasing is None
    plain = method(smoothing=0.0, bnneck=False, center_weight=0.0, last_stride=2)
    assert set(plain.losses(batch())) == {"identity", "triplet"}
    assert plain.card.last_stride == 2
    assert len(plain.optimisers()) == 1
    assert plain.network.classifier.bias is not None
    full = method()
    assert set(full.losses(batch())) == {"identity", "triplet", "center"}
    assert len(full.optimisers()) == 2


def test_label_smoothing_changes_the_identity_loss() -> None:
    sharp = method(smoothing=0.0).losses(batch())["identity"]
    smooth = method().losses(batch())["identity"]
    assert sharp != smooth


def test_the_weight_of_the_center_loss_does_not_slow_the_centres() -> None:
    moved = []
    for weight in (0.0005, 0.5):
        made = method(center_weight=weight)
        centres = made.optimisers()[1]
        assert made.center is not None
        before = made.center.centers.detach().clone()
        torch.stack(list(made.losses(batch()).values())).sum().backward()
        made.before_step()
        centres.optimiser.step()
        moved.append(made.center.centers.detach() - before)
    assert moved[0].abs().max() > 0
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-3, atol=1e-5)


def test_frozen_parameters_are_not_optimised() -> None:
    made = method()
    given = {
        id(p) for group in made.optimisers()[0].optimiser.param_groups for p in group["params"]
    }
    assert id(made.network.bnneck.bias) not in given
    assert id(made.center.centers) not in given


def test_variants_are_the_paper_changed_where_they_say() -> None:
    assert from_scratch().schedule == "cosine"
    small = small_cpu()
    assert small.backbone == "slim18"
    assert all((small.warmup, small.erasing, small.smoothing, small.bnneck, small.center_weight))
    assert small.last_stride == 1


def test_tables_that_cannot_be_trained_or_tested_are_input_errors(table: CropTable) -> None:
    with pytest.raises(InputError, match="has no train rows"):
        check(TINY, table.select(table.split != "train"))
    with pytest.raises(InputError, match="has no query rows"):
        check(TINY, table.select(table.split != "query"))
    with pytest.raises(InputError, match="no weights file"):
        check(replace(TINY, weights=Path("absent.pth")), table)
    with pytest.raises(InputError, match="16 people cannot fill batches of 32"):
        run(replace(TINY, identities=32, out=Path("unused")), table)
    assert not Path("unused").exists()


def test_a_run_with_options_that_are_gone_names_them(table: CropTable, tmp_path: Path) -> None:
    old = {"recipe": "bag-of-tricks", "options": {"warmup_epochs": 10, "seed": 0}}
    (tmp_path / "config.json").write_text(json.dumps(old))
    with pytest.raises(InputError, match="option that bag-of-tricks does not have: warmup_epochs"):
        run(replace(TINY, out=tmp_path), table)


def test_two_seeds_differ_and_one_seed_repeats(table: CropTable, tmp_path: Path) -> None:
    small = table.select(np.flatnonzero((table.identity <= 8) | (table.identity > 24)))
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = tmp_path / name
        run(replace(TINY, out=out, seed=seed, epochs=1), small)
        weights.append(load(out / "model.safetensors")[0].state_dict()["backbone.conv1.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
