import json
import random
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from passerby.errors import InputError
from passerby.train import DivergedError, FitOptions, fit
from passerby.train.loop import CHECKPOINT, LOG, read_checkpoint, write_checkpoint


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def what_counts(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    timing = ("seconds", "images_per_second")
    return [{k: v for k, v in line.items() if k not in timing} for line in lines]


def same(one: Any, two: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[k], two[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two)


KINDS = {
    "plain": {},
    "averaged, in parts": {"ema": 0.9, "accumulate": 2},
    "half precision": {"precision": "fp16", "gradient_clip": 1.0},
}


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_a_run_killed_at_random_steps_ends_bit_for_bit_as_an_uninterrupted_one(
    tasks: ModuleType, forks: Callable[..., list[int]], tmp_path: Path, options: dict[str, Any]
) -> None:
    whole = tasks.train(tmp_path / "whole", **options)
    dice = random.Random(5)
    for steps in (dice.randint(1, 5), dice.randint(4, 8), dice.randint(3, 7)):
        status = forks("train", folder=tmp_path / "killed", die_after=steps, **options)
        assert status == [signal.SIGKILL]
    assert forks("train", folder=tmp_path / "killed", **options) == [0]
    one = read_checkpoint(tmp_path / "whole" / CHECKPOINT)
    two = read_checkpoint(tmp_path / "killed" / CHECKPOINT)
    for part in ("method", "optimisers", "scaler", "average", "meter"):
        assert same(one[part], two[part]), part
    assert whole.epochs_begun == [1, 2, 3, 4]
    assert what_counts(log_of(tmp_path / "whole")) == what_counts(log_of(tmp_path / "killed"))


def test_more_epochs_continue_a_finished_run(tasks: ModuleType, tmp_path: Path) -> None:
    whole = tasks.train(tmp_path / "whole", epochs=4)
    tasks.train(tmp_path / "parts", epochs=2)
    parts = tasks.train(tmp_path / "parts", epochs=4)
    assert same(whole.state_dict(), parts.state_dict())


def test_a_finished_run_does_nothing_more(tasks: ModuleType, tmp_path: Path) -> None:
    first = tasks.train(tmp_path)
    lines = log_of(tmp_path)
    again = tasks.train(tmp_path)
    assert same(first.state_dict(), again.state_dict())
    assert log_of(tmp_path) == lines


def test_the_seed_decides(tasks: ModuleType, tmp_path: Path) -> None:
    one, two = (tasks.train(tmp_path / str(seed), seed=seed) for seed in (1, 2))
    assert not same(one.state_dict(), two.state_dict())


def test_the_log_tells_of_every_epoch_and_of_steps(tasks: ModuleType, tmp_path: Path) -> None:
    tasks.train(tmp_path)
    lines = log_of(tmp_path)
    epochs = [line for line in lines if line["event"] == "epoch"]
    assert [line["epoch"] for line in epochs] == [1, 2, 3, 4]
    assert all(line["images"] == 56 and line["steps"] == tasks.STEPS for line in epochs)
    assert epochs[-1]["losses"]["id"] < epochs[0]["losses"]["id"]
    step = next(line for line in lines if line["event"] == "step")
    assert set(step["losses"]) == {"id", "centre", "loss"}
    assert step["losses"]["loss"] == pytest.approx(
        step["losses"]["id"] + step["losses"]["centre"], abs=1e-5
    )
    assert step["learning_rate"] > 0
    assert step["images_per_second"] > 0


def test_options_of_precision_and_clipping_train(tasks: ModuleType, tmp_path: Path) -> None:
    tasks.train(tmp_path / "a", precision="bf16", gradient_clip=1.0)
    lines = log_of(tmp_path / "a")
    assert lines[-1]["losses"]["loss"] < lines[0]["losses"]["loss"]


def test_gradients_are_clipped(tasks: ModuleType, tmp_path: Path) -> None:
    norms = []

    class Watched(tasks.Tiny):
        def after_step(self) -> None:
            gradients = [p.grad.norm() for p in self.network.parameters()]
            norms.append(float(torch.stack(gradients).norm()))

    options = FitOptions(out=tmp_path, epochs=1, gradient_clip=0.01, progress=False)
    fit(Watched(), tasks.crops(), tasks.noisy, options)
    assert max(norms) == pytest.approx(0.01, rel=1e-3)


def test_a_loss_that_is_no_number_stops_the_run_and_spoils_no_checkpoint(
    tasks: ModuleType, tmp_path: Path
) -> None:
    class Diverging(tasks.Tiny):
        def losses(self, batch: Any) -> dict[str, torch.Tensor]:
            terms = super().losses(batch)
            if len(self.epochs_begun) == 2:
                terms["id"] = terms["id"] * float("nan")
            return terms

    options = FitOptions(out=tmp_path, epochs=4, checkpoint_every=3, progress=False)
    with pytest.raises(DivergedError, match=r"epoch 2, step .*not finite"):
        fit(Diverging(), tasks.crops(), tasks.noisy, options)
    state = read_checkpoint(tmp_path / CHECKPOINT)
    assert all(torch.isfinite(v).all() for v in state["method"].values() if torch.is_tensor(v))


def test_a_damaged_or_foreign_checkpoint_is_an_input_error(
    tasks: ModuleType, tmp_path: Path
) -> None:
    tasks.train(tmp_path, epochs=1)
    path = tmp_path / CHECKPOINT
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="no whole checkpoint"):
        tasks.train(tmp_path)
    state = {"method": {}, "optimisers": [], "meter": {}, "random": {}, "position": [1, 0, 0, 0.0]}
    write_checkpoint(path, state)
    with pytest.raises(InputError, match="of another method"):
        tasks.train(tmp_path)


def test_a_training_set_without_batches_is_an_input_error(
    tasks: ModuleType, tmp_path: Path
) -> None:
    method = tasks.Tiny()
    method.sampler.batches = lambda epoch: []
    with pytest.raises(InputError, match="gives no batch"):
        fit(
            method,
            tasks.crops(),
            tasks.noisy,
            FitOptions(out=tmp_path, epochs=1, progress=False),
        )
