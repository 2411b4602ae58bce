import pytest
import torch

from passerby.errors import InputError
from passerby.train.device import find_device


def test_auto_is_what_there_is() -> None:
    assert find_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert find_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["mars", "", "cuda:99", "cpu:x"])
def test_unknown_devices_are_input_errors(name: str) -> None:
    with pytest.raises(InputError, match="cannot use the device"):
        find_device(name)
