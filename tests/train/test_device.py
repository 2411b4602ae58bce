import pytest
import torch
from torch import nn

from passerby.errors import InputError
from passerby.train.device import check_precision, find_device, has_depthwise


def test_auto_is_what_there_is() -> None:
    assert find_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert find_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["mars", "", "cuda:99", "cpu:x"])
def test_unknown_devices_are_input_errors(name: str) -> None:
    with pytest.raises(InputError, match="cannot use the device"):
        find_device(name)


def test_depthwise_networks_do_not_train_in_bf16_on_a_cpu() -> None:
    depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8))
    grouped = nn.Sequential(nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(1, 4, 3))
    assert has_depthwise(depthwise)
    assert not has_depthwise(grouped)
    check_precision(depthwise, "cpu", "fp32")
    check_precision(grouped, "cpu", "bf16")
    with pytest.raises(InputError, match="use --precision fp32"):
        check_precision(depthwise, "cpu", "bf16")
