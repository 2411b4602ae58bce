"""What the tests of converters share: random states under published names, and the comparison."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from passerby.models import ModelCard, ReidNetwork, convert

State = dict[str, Tensor]
LARGE = 10_000  # tensors of more numbers are stored with 16 bits, for the time it takes

Fill = Callable[[Mapping[str, tuple[int, ...]]], State]
Compare = Callable[..., tuple[ReidNetwork, ModelCard]]


@pytest.fixture
def fill() -> Fill:
    """Random tensors of given shapes: every one shows in the output, none drowns the others."""

    def made(shapes: Mapping[str, tuple[int, ...]]) -> State:
        generator = torch.Generator().manual_seed(0)
        return {name: _random(name, shape, generator) for name, shape in shapes.items()}

    return made


def _random(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    noise = torch.randn(shape, generator=generator)
    if name.endswith("running_var"):
        return 1 + 0.2 * noise.tanh()
    if name.endswith((".p", "gamma")):
        return torch.full(shape, 2.5 if name.endswith(".p") else 0.5)
    if len(shape) > 1:
        return noise / torch.Size(shape[1:]).numel() ** 0.5
    return 0.1 * noise + (1.0 if name.endswith("weight") else 0.0)


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """Write a state as its toolbox does, convert it, and compare the features of pictures."""

    def compared(
        state: State,
        oracle: Callable[[State, Tensor], Tensor],
        size: tuple[int, int],
        *,
        given: tuple[int, int] | None = None,
    ) -> tuple[ReidNetwork, ModelCard]:
        path = tmp_path / "published.pth"
        state = {
            key: value.half() if value.numel() > LARGE else value for key, value in state.items()
        }
        torch.save(state, path)
        network, card = convert(path, input_size=given)
        images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
        plain = {key.removeprefix("module."): value.float() for key, value in state.items()}
        with torch.no_grad():
            expected = oracle(plain, images)
            got = network(images)
        assert expected.std() > 0.01
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
        return network, card

    return compared
