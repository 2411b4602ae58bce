"""Mixed precision: autocast for the forward pass, loss scaling for float16."""

import contextlib
from typing import Any, Literal

import torch

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device | str, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Autocast to ``precision`` on ``device``; nothing for ``"fp32"``."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, DTYPES[precision])


def loss_scaler(device: torch.device | str, precision: str) -> torch.amp.GradScaler:
    """Dynamic loss scaling (Micikevicius et al., Mixed Precision Training, 2018) for float16.

    float16 has five bits of exponent: gradients below 6e-8 would be zero. Other precisions have the
    range of float32, and their scaler passes everything through. A step whose scaled gradients
    overflow is left out and the scale halved.
    """
    return torch.amp.GradScaler(torch.device(device).type, enabled=precision == "fp16")
