"""Networks become one graph: nothing in them decides by the values of tensors."""

import pytest
import torch
from torch import Tensor, nn

from passerby.models import HeadOptions, PyramidNetwork, StripesNetwork, heads
from passerby.models.fpb import FpbResNet, FpbStructure
from passerby.models.pyramid import PyramidStructure
from passerby.models.resnet import ResNet, ResNetShape, ResNetStructure
from passerby.models.stripes import StripesStructure

TINY = ResNetShape(blocks=(1, 1, 1, 1), widths=(8, 8, 8, 8), ibn_stages=1)


def network_of(kind: str) -> nn.Module:
    torch.manual_seed(0)
    maps = nn.Conv2d(3, 6, 3, stride=16)
    maps.dimension = 6  # type: ignore[assignment]
    options = HeadOptions(num_classes=3, pooling="gem")
    made = {
        "agw": lambda: ResNet(TINY, structure=ResNetStructure(non_local="agw")),
        "fpb": lambda: FpbResNet(
            TINY,
            structure=ResNetStructure(non_local="default"),
            fpb=FpbStructure(branch_width=4),
        ),
        "parts": lambda: StripesNetwork(maps, options, StripesStructure(stripes=2, width=4)),
        "pyramid": lambda: PyramidNetwork(
            maps, HeadOptions(num_classes=3), PyramidStructure(stripes=3, dropout=0.0)
        ),
    }
    return made[kind]()


@pytest.mark.parametrize(
    "kind", ["agw", pytest.param("fpb", marks=pytest.mark.slow), "parts", "pyramid"]
)
def test_networks_compile_in_one_graph(kind: str) -> None:
    network = network_of(kind)
    images = torch.randn(2, 3, 64, 32)
    for training in (True, False):
        network.train(training)
        state = {key: value.clone() for key, value in network.state_dict().items()}
        ours = torch.compile(network, fullgraph=True, backend="eager")(images)
        network.load_state_dict(state)
        theirs = network(images)
        torch._dynamo.reset()
        if not isinstance(ours, Tensor):
            ours, theirs = heads(ours)[-1].logits, heads(theirs)[-1].logits
        torch.testing.assert_close(ours, theirs)
