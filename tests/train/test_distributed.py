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
from passerby.train import distributed
from passerby.train.loop import CHECKPOINT, LOG, read_checkpoint

Forks = Callable[..., list[int]]


def weights(folder: Path) -> dict[str, Any]:
    return read_checkpoint(folder / CHECKPOINT)["method"]


@pytest.mark.parametrize("options", [{}, {"accumulate": 2, "ema": 0.9}], ids=["whole", "in parts"])
def test_two_processes_end_as_one_does(
    tasks: ModuleType, forks: Forks, tmp_path: Path, options: dict[str, Any]
) -> None:
    # in parts, batch normalisation and mining see a part: the same part on one process
    tasks.compare(tmp_path / "one", **options)
    assert forks("compare", 2, folder=tmp_path / "two", **options) == [0, 0]
    one, two = (read_checkpoint(tmp_path / name / CHECKPOINT) for name in ("one", "two"))
    start = tasks.Compared().state_dict()
    for name, value in one["method"].items():
        moved = (value - start[name]).abs().max()
        torch.testing.assert_close(two["method"][name], value, rtol=1e-4, atol=2e-6)
        assert moved > 1e-3
    # the log tells of the whole batch, and is written once
    lines = [(tmp_path / name / LOG).read_text().splitlines() for name in ("one", "two")]
    assert len(lines[0]) == len(lines[1])
    assert one["position"][:3] == two["position"][:3]


def test_the_log_of_two_processes_tells_of_all_images(
    tasks: ModuleType, forks: Forks, tmp_path: Path
) -> None:
    tasks.compare(tmp_path / "one", epochs=1)
    assert forks("compare", 2, folder=tmp_path / "two", epochs=1) == [0, 0]
    one, two = (
        [json.loads(line) for line in (tmp_path / name / LOG).read_text().splitlines()]
        for name in ("one", "two")
    )
    for mine, theirs in zip(one, two, strict=True):
        assert theirs["losses"] == pytest.approx(mine["losses"], rel=1e-4)
        assert theirs.get("images") == mine.get("images")


def test_local_statistics_are_those_of_each_share(
    tasks: ModuleType, forks: Forks, tmp_path: Path
) -> None:
    # what a process sees is what one part is in a run of parts, but for the loss of pairs
    assert forks("compare", 2, folder=tmp_path / "local", batch_norm="local") == [0, 0]
    tasks.compare(tmp_path / "one")
    local, one = weights(tmp_path / "local"), weights(tmp_path / "one")
    assert not torch.allclose(local["body.1.running_var"], one["body.1.running_var"], rtol=1e-3)
    assert all(torch.isfinite(value).all() for value in local.values())


def test_a_killed_run_of_two_processes_resumes_exactly(forks: Forks, tmp_path: Path) -> None:
    options = {"ema": 0.9, "precision": "bf16", "batch_norm": "local"}
    assert forks("train", 2, folder=tmp_path / "whole", **options) == [0, 0]
    dice = random.Random(3)
    for steps in (dice.randint(3, 8), dice.randint(6, 12)):
        died = forks("train", 2, folder=tmp_path / "killed", die_after=steps, **options)
        assert signal.SIGKILL in died
    assert forks("train", 2, folder=tmp_path / "killed", **options) == [0, 0]
    one, two = (read_checkpoint(tmp_path / name / CHECKPOINT) for name in ("whole", "killed"))
    for part in ("method", "average"):
        torch.testing.assert_close(one[part], two[part], rtol=0, atol=0)
    for mine, theirs in zip(one["optimisers"], two["optimisers"], strict=True):
        torch.testing.assert_close(mine["state"], theirs["state"], rtol=0, atol=0)


@pytest.mark.parametrize("shape", [[8, 5], [4, 3, 6, 2]])
def test_batch_normalisation_over_processes_is_that_of_one(
    forks: Forks, tmp_path: Path, shape: list[int]
) -> None:
    for processes in (1, 2):
        assert set(forks("normalised", processes, folder=tmp_path, shape=shape)) == {0}
    one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in (1, 2))
    # the loss is a sum here, and the gradients of parameters are averaged
    one["slope"], one["shift"] = one["slope"] / 2, one["shift"] / 2
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-5, msg=name)


def test_processes_talk(forks: Forks, tmp_path: Path) -> None:
    assert forks("talk", 3, folder=tmp_path) == [0, 0, 0]
    features = [torch.load(tmp_path / f"features-3-{rank}.pt") for rank in range(3)]
    assert features[0].shape == (5, 4)
    assert all(torch.equal(mine, features[0]) for mine in features)


def test_one_process_needs_no_group() -> None:
    rows = torch.ones(4, 2, requires_grad=True)
    with distributed.process_group("cpu"):
        assert distributed.world_size() == 1
        assert distributed.is_main()
        assert distributed.gather(rows) is rows
        assert distributed.share(rows).shape == (4, 2)
        assert distributed.join(rows, 4) is rows
        assert distributed.agree(True)
        distributed.check_equal([1])
    with pytest.raises(InputError, match="16 groups of 4 cannot be cut into 3 equal parts"):
        distributed.check_divisible(64, 3, 4)
    with pytest.raises(InputError, match="10 images cannot be cut into 4 equal parts"):
        distributed.check_divisible(10, 4, 1)
