"""Which device to train on."""

import torch

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
