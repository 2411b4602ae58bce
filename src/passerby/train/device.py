"""Which device to train on."""

import os

import torch

from passerby.errors import InputError


def find_device(name: str) -> str:
    """The torch device of ``name``; ``"auto"`` is the first GPU, or the CPU where there is none.

    For one of several processes that ``torchrun`` started, ``"auto"`` and ``"cuda"`` are the GPU
    with the process's number on its machine.

    Raises:
        InputError: If torch knows no such device, or this machine has none, or too few.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        name = _own_gpu(name)
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(f"cannot use the device '{name}': {reason}; try --device cpu") from error
    return name


def _own_gpu(name: str) -> str:
    own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    if name not in ("cuda", own):
        raise InputError(f"'{name}' cannot serve several processes; say --device cuda")
    return own
