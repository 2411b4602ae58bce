import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from passerby.cli import main
from passerby.data import CropTable, read
from passerby.errors import InputError
from passerby.losses.triplet import triplet_of_distances
from passerby.losses.weighted_triplet import weighted_triplet_of_distances
from passerby.models import load, read_card
from passerby.models.attention_files import load_attention
from passerby.models.identity import BUNDLED, content_id
from passerby.recipes.diff_attention import (
    ATTENTION,
    JointDiffAttention,
    JointMethod,
    SeparateDiffAttention,
    SeparateMethod,
    joint_agw,
    joint_small,
    new_attention,
    run,
    run_joint,
    training_features,
)
from passerby.train import Batch, MultiStep
from tests.recipes.tiny import tiny

LABELS = torch.arange(4).repeat_interleave(3)
SEPARATE = SeparateDiffAttention(
    ratio=16, identities=8, epochs=8, learning_rate=1e-3, threads=1, progress=False, device="cpu"
)
JOINT = tiny(JointDiffAttention(ratio=16), epochs=2, warmup=1, schedule="steps")


@pytest.fixture(scope="module")
def table(market: Path) -> CropTable:
    return read("market1501", market)


@pytest.fixture(scope="module")
def separate(table: CropTable, tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs") / "separate"
    return out, run(replace(SEPARATE, out=out), table)


@pytest.fixture(scope="module")
def joint(table: CropTable, tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs") / "joint"
    return out, run_joint(replace(JOINT, out=out), table)


def report(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "report.json").read_text())
    return found


def test_the_paper_s_settings() -> None:
    config = SeparateDiffAttention()
    assert (config.identities, config.images, config.epochs) == (16, 4, 60)
    assert (config.learning_rate, config.weight_decay, config.weight) == (0.05, 5e-4, 10.0)
    assert config.margin is None
    schedule = MultiStep(milestones=config.milestones, warmup=config.warmup)
    assert [schedule.factor(epoch, 0) for epoch in (1, 20, 21, 40, 41, 60)] == pytest.approx([
        1, 1, 0.1, 0.1, 0.01, 0.01,
    ])  # fmt: skip
    plain, agw = JointDiffAttention(), joint_agw()
    assert (plain.ratio, plain.margin, plain.center_weight, plain.smoothing) == (
        512, 0.3, 0.0005, 0.1,
    )  # fmt: skip
    assert (plain.learning_rate, plain.warmup, plain.milestones) == (3.5e-4, 10, (40, 70))
    assert (agw.ratio, agw.pooling, agw.non_local, agw.weighted) == (4, "gem", "agw", True)
    assert joint_small().backbone == "slim18"


@pytest.mark.parametrize("weighted", [False, True])
def test_separate_loss_is_ten_times_the_triplet_of_attended_distances(weighted: bool) -> None:
    config = replace(SEPARATE, weighted=weighted)
    config = replace(config, identities=4)
    method, features = SeparateMethod(config, LABELS, 32), torch.randn(12, 32)
    terms = method.losses(Batch(features[:, :, None, None], torch.arange(12)))
    distances = method.network(features)
    expected = (
        weighted_triplet_of_distances(distances, LABELS, legacy=True)
        if weighted
        else triplet_of_distances(distances, LABELS, margin=None)
    )
    assert list(terms) == ["triplet"]
    assert terms["triplet"].item() == pytest.approx(10 * expected.item())


@pytest.mark.parametrize("after", [False, True])
def test_joint_losses_take_the_features_they_should(after: bool) -> None:
    method = JointMethod(replace(JOINT, train_after_bn=after, identities=4), LABELS)
    images = torch.randn(12, 3, 64, 32)
    terms = method.losses(Batch(images, torch.arange(12)))
    output = method.network(images)
    distances = method.attention(output.after_bn if after else output.before_bn)
    expected = triplet_of_distances(distances, LABELS, margin=0.3)
    assert list(terms) == ["identity", "triplet", "center"]
    assert terms["triplet"].item() == pytest.approx(expected.item(), rel=1e-4)
    sum(terms.values()).backward()  # type: ignore[union-attr]
    learning = {p for scheduled in method.optimisers() for g in scheduled.optimiser.param_groups
                for p in g["params"]}  # fmt: skip
    assert {p for p in method.parameters() if p.requires_grad} == learning
    assert all(p.grad is not None for p in learning)


def test_training_features_are_kept_once_and_repeatable(table: CropTable) -> None:
    network, card = load(BUNDLED)
    found = training_features(SEPARATE, network, card, table)
    assert found.shape == (144, 256)
    assert torch.equal(found, training_features(SEPARATE, network, card, table))
    assert not torch.equal(
        found, training_features(replace(SEPARATE, seed=1), network, card, table)
    )
    assert not torch.allclose(found.norm(dim=1), torch.ones(144), atol=0.1)
    assert not network.training


def test_separate_training_leaves_an_attention_for_its_network(
    table: CropTable, separate: Any
) -> None:
    out, found = separate
    assert sorted(p.name for p in out.iterdir()) == [
        "config.json", ATTENTION, "finished.pt", "log.jsonl", "report.json",
    ]  # fmt: skip
    attention, card = load_attention(out / ATTENTION)
    assert card.model_id == content_id(read_card(BUNDLED), BUNDLED)
    assert (card.dimension, card.ratio, card.length) == (256, 16, None)
    assert card.scores[card.training["data"]]["mAP"] == found.mAP
    assert sum(p.numel() for p in attention.parameters()) == 2 * 256 * 16 + 4
    told = report(out)
    assert told["mAP"] == found.mAP
    assert told["plain"].keys() >= {"mAP", "mINP", "cmc"}
    # once finished, a run is only tested again
    again = run(replace(SEPARATE, out=out), table)
    assert again.ap.tolist() == pytest.approx(found.ap.tolist(), abs=1e-6)


def test_the_attention_learns(separate: Any) -> None:
    out, _ = separate
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    losses = [line["losses"]["loss"] for line in lines if line["event"] == "epoch"]
    assert sum(losses[4:]) < 0.8 * sum(losses[:4]), losses  # batches differ much


def test_joint_training_leaves_network_and_attention(table: CropTable, joint: Any) -> None:
    out, found = joint
    card = load_attention(out / ATTENTION)[1]
    network = out / "model.safetensors"
    assert card.model_id == content_id(read_card(network), network)
    assert report(out)["mAP"] == found.mAP
    assert next(iter(read_card(network).scores.values()))["mAP"] == report(out)["plain"]["mAP"]
    again = run_joint(replace(JOINT, out=out), table)
    assert again.ap.tolist() == pytest.approx(found.ap.tolist(), abs=1e-6)


def test_a_unit_attention_does_not_see_the_length_of_features(table: CropTable) -> None:
    attention = new_attention(replace(SEPARATE, unit=True), 256)
    assert attention.length == 16.0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ratio": 7}, "ratio 7 does not divide 256"),
        ({"weights": Path("absent.safetensors")}, "absent.safetensors"),
        ({"identities": 99}, "99"),
    ],
)
def test_bad_options_are_named_before_any_work(
    table: CropTable, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        run(replace(SEPARATE, out=tmp_path / "run", **changes), table)
    assert not (tmp_path / "run").exists()


def test_both_are_known_to_the_command_line(market: Path, tmp_path: Path) -> None:
    given = ["--data", str(market), "--out", str(tmp_path / "run"), "--identities", "8",
             "--epochs", "1", "--threads", "1", "--no-progress"]  # fmt: skip
    assert main(["train", "diff-attention", *given, "--ratio", "16"]) == 0
    assert (tmp_path / "run" / ATTENTION).is_file()


def test_separate_training_has_no_options_of_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    for option in (["--backbone", "resnet18"], ["--size", "64", "32"], ["--feature", "before_bn"]):
        with pytest.raises(SystemExit) as stopped:
            main(["train", "diff-attention", *option])
        assert stopped.value.code == 2
        assert option[0] in capsys.readouterr().err


def test_centres_fall_with_the_network_and_decay() -> None:
    config = replace(joint_small(), identities=4, milestones=(2,), warmup=1, schedule="steps")
    centres = JointMethod(config, LABELS).optimisers()[1]
    group = centres.optimiser.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (config.center_learning_rate, 5e-4)
    factors = [centres.schedules[0].factor(epoch, 0.0) for epoch in (1, 2, 3)]
    assert factors == pytest.approx([1.0, 1.0, 0.1])
