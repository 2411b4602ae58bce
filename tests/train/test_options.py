"""The loop's options: parts of a batch, precision, compilation, samplers that switch."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from passerby.errors import InputError
from passerby.train import FitOptions, fit
from passerby.train.device import compiled
from passerby.train.loop import CHECKPOINT, LOG, read_checkpoint


def test_a_mean_over_images_has_the_same_gradient_in_parts(
    tasks: ModuleType, tmp_path: Path
) -> None:
    class Plain(tasks.Tiny):
        """Without what looks at other images, or draws anew for each part."""

        def __init__(self) -> None:
            super().__init__()
            self.network[1] = nn.Identity()
            self.network[4] = nn.Identity()

    ends = {}
    for parts in (1, 2, 4):
        ends[parts] = Plain()
        options = tasks.fit_options(tmp_path / str(parts), 2, 0.0, {"accumulate": parts})
        fit(ends[parts], tasks.crops(), tasks.noisy, options)
    start = Plain().network[0].weight
    assert (ends[1].network[0].weight - start).abs().max() > 0.01
    for parts in (2, 4):
        for mine, whole in zip(ends[parts].parameters(), ends[1].parameters(), strict=True):
            torch.testing.assert_close(mine, whole, rtol=1e-3, atol=1e-4)


def test_parts_keep_the_images_of_an_identity_together(tasks: ModuleType, tmp_path: Path) -> None:
    seen = []

    class Watched(tasks.Compared):
        def losses(self, batch: Any) -> dict[str, Tensor]:
            seen.append(self.labels[batch.indices])
            assert batch.images.is_contiguous(memory_format=torch.channels_last)
            return super().losses(batch)

    method = Watched()
    fit(method, tasks.crops(), tasks.noisy, tasks.fit_options(tmp_path, 1, 0.0, {"accumulate": 2}))
    assert len(seen) == 2 * len(method.sampler.batches(1))
    for labels in seen:
        assert labels.shape == (8,)
        assert (labels.view(2, 4) == labels.view(2, 4)[:, :1]).all()
    options = tasks.fit_options(tmp_path / "odd", 1, 0.0, {"accumulate": 3})
    with pytest.raises(InputError, match="4 groups of 4 cannot be cut into 3 equal parts"):
        fit(tasks.Compared(), tasks.crops(), tasks.noisy, options)


def test_impossible_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one part"):
        FitOptions(out=tmp_path, epochs=1, accumulate=0)
    with pytest.raises(InputError, match="log_every is 0"):
        FitOptions(out=tmp_path, epochs=1, log_every=0)
    with pytest.raises(InputError, match="0 <= ema < 1"):
        FitOptions(out=tmp_path, epochs=1, ema=1.0)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns(tasks: ModuleType, tmp_path: Path, precision: str) -> None:
    method = tasks.compare(tmp_path, epochs=8, precision=precision)
    assert {parameter.dtype for parameter in method.parameters()} == {torch.float32}
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    epochs = [line["losses"]["identity"] for line in lines if line["event"] == "epoch"]
    assert epochs[-1] < 0.8 * epochs[0]
    full = tasks.compare(tmp_path / "full", epochs=8)
    for mine, whole in zip(method.parameters(), full.parameters(), strict=True):
        # float16 leaves out the first steps, until the scale fits
        assert torch.nn.functional.cosine_similarity(mine.flatten(), whole.flatten(), 0) > 0.8


def test_a_step_that_overflows_is_left_out_and_the_scale_halved(
    tasks: ModuleType, tmp_path: Path
) -> None:
    class Overflowing(tasks.Compared):
        def losses(self, batch: Any) -> dict[str, Tensor]:
            terms = super().losses(batch)
            # beyond float32 only after the scaling
            return terms | {"large": 1e36 * self.head[1].weight.sum() ** 2}

    method = Overflowing()
    start = method.head[1].weight.detach().clone()
    options = tasks.fit_options(tmp_path, 1, 0.0, {"precision": "fp16"})
    fit(method, tasks.crops(), tasks.noisy, options)
    state = read_checkpoint(tmp_path / CHECKPOINT)
    steps = state["position"][2]
    assert state["scaler"]["scale"] == 2.0 ** (16 - steps)
    assert torch.equal(method.head[1].weight, start)


def test_a_switch_of_samplers_resumes_exactly(
    tasks: ModuleType, forks: Callable[..., list[int]], tmp_path: Path
) -> None:
    whole = tasks.switch(tmp_path / "whole")
    assert set(whole.kinds) == {False, True}
    assert forks("switch", folder=tmp_path / "killed", die_after=4) == [signal.SIGKILL]
    assert forks("switch", folder=tmp_path / "killed") == [0]
    one, two = (read_checkpoint(tmp_path / n / CHECKPOINT)["method"] for n in ("whole", "killed"))
    assert one["_extra_state"] == two["_extra_state"]
    for name, value in one.items():
        assert not torch.is_tensor(value) or torch.equal(value, two[name]), name


def test_without_a_compiler_compilation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    network = nn.Linear(2, 2)
    with (
        pytest.raises(InputError, match="found no no-such-compiler"),
        compiled(network, "cpu", enabled=True),
    ):
        pass
    with compiled(network, "cpu", enabled=False):
        assert "forward" not in vars(network)


@pytest.mark.slow
def test_a_compiled_network_trains_as_it_is(tasks: ModuleType, tmp_path: Path) -> None:
    def trained(name: str, dropout: float, compile: bool) -> nn.Module:
        method = tasks.Tiny()
        method.network[4].p = dropout
        options = tasks.fit_options(tmp_path / name, 1, 0.0, {"compile": compile})
        fit(method, tasks.crops(), tasks.noisy, options)
        return method

    plain, fast = trained("plain", 0.0, False), trained("fast", 0.0, True)
    assert plain.state_dict().keys() == fast.state_dict().keys()
    assert "forward" not in vars(fast.network)
    # but for the bias before batch normalisation, whose gradient is rounding alone
    torch.testing.assert_close(plain.network[5].weight, fast.network[5].weight, rtol=0, atol=1e-3)
    # compiled dropout draws numbers of its own, and the same ones each time
    one, two = trained("one", 0.3, True), trained("two", 0.3, True)
    assert torch.equal(one.network[0].weight, two.network[0].weight)
    assert not torch.equal(one.network[0].weight, fast.network[0].weight)
