"""Which device to train on."""

import torch
from torch import nn

from passerby.errors import InputError


def find_device(name: str) -> str:
    """The torch device of ``name``; ``"auto"`` is the first GPU, or the CPU where there is none.

    Raises:
        InputError: If torch knows no such device, or this machine has none.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(f"cannot use the device '{name}': {reason}; try --device cpu") from error
    return name


def has_depthwise(network: nn.Module) -> bool:
    """Whether a convolution has as many groups as input channels."""
    convolutions = (m for m in network.modules() if isinstance(m, nn.Conv2d))
    return any(1 < m.groups == m.in_channels for m in convolutions)


def check_precision(network: nn.Module, device: str, precision: str) -> None:
    """Refuse a combination that would crash the process.

    Raises:
        InputError: bfloat16 training of depthwise convolutions on a CPU: its backward pass writes
            beyond its memory (torch 2.15 with oneDNN 3.13; seen with MobileNet v3 and v4).
    """
    if precision == "bf16" and device == "cpu" and has_depthwise(network):
        raise InputError(
            "this network has depthwise convolutions, whose bf16 training crashes on CPUs; "
            "use --precision fp32"
        )
