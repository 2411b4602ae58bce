"""``torch.compile`` for the length of a training."""

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator

import torch
from torch import nn

from passerby.errors import InputError


@contextlib.contextmanager
def compiled(network: nn.Module, device: torch.device | str, *, enabled: bool) -> Iterator[None]:
    """Within the context ``network(...)`` runs compiled; its state's names stay as they are.

    Only calls of the network itself are compiled, not those that a method makes of its parts.

    Raises:
        InputError: If the machine has no compiler for what ``torch.compile`` writes.
    """
    if not enabled:
        yield
        return
    check_compiler(torch.device(device))
    # on the instance: the module stays the same object with the same names and hooks
    network.forward = torch.compile(network.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del network.forward


def check_compiler(device: torch.device) -> None:
    """Refuse to compile where it must fail.

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
