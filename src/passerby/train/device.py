"""The device that a run trains on, its precision, and ``torch.compile``."""

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import nn

from passerby.errors import InputError

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def find_device(name: str) -> str:
    """Return the torch device of ``name``; ``"auto"`` is the first GPU, or the CPU without one.

    In a run of several processes, which ``torchrun`` starts, ``"auto"`` and ``"cuda"`` are the GPU
    with the number of the process on its machine.

    Raises:
        InputError: If torch has no such device, or this machine has none, or too few.
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


def autocast(device: torch.device | str, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Autocast to ``precision`` on ``device``; nothing for ``"fp32"``."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, DTYPES[precision])


def loss_scaler(device: torch.device | str, precision: str) -> torch.amp.GradScaler:
    """Dynamic loss scaling (Micikevicius et al., Mixed Precision Training, 2018) for float16.

    float16 has five bits of exponent: gradients below 6e-8 would be zero. Other precisions have the
    range of float32, and their scaler passes everything through. A step whose scaled gradients
    overflow is left out and the scale is halved.
    """
    return torch.amp.GradScaler(torch.device(device).type, enabled=precision == "fp16")


@contextlib.contextmanager
def compiled(network: nn.Module, device: torch.device | str, *, enabled: bool) -> Iterator[None]:
    """Run ``network(...)`` compiled within the context; the names of its state stay as they are.

    Only calls of the network itself are compiled, not the calls that a method makes of its parts.

    Raises:
        InputError: If the machine has no compiler for the code that ``torch.compile`` writes.
    """
    if not enabled:
        yield
        return
    check_compiler(torch.device(device))
    # on the instance: the module stays the same object with the same names and hooks
    network.forward = torch.compile(network.forward)
    try:
        yield
    finally:
        del network.forward


def check_compiler(device: torch.device) -> None:
    """Check that ``torch.compile`` finds the compiler it needs.

    Raises:
        InputError: Without a C++ compiler (CPU), or without Triton and a C compiler (GPU).
    """
    on_gpu = device.type == "cuda"
    if on_gpu and importlib.util.find_spec("triton") is None:
        raise InputError(
            "torch.compile on a GPU needs Triton; install triton or leave --compile out"
        )
    usual = "clang++" if sys.platform == "darwin" else "g++"
    names = (
        [os.environ.get("CC", "gcc"), "clang", "cc"] if on_gpu else [os.environ.get("CXX", usual)]
    )
    if not any(shutil.which(name) for name in names):
        raise InputError(
            f"torch.compile needs a compiler and found no {' or '.join(names)}; "
            "install one or leave --compile out"
        )
