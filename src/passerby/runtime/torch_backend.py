"""The PyTorch runtime: weights files in channels-last layout, on CPUs and GPUs."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from passerby.errors import InputError
from passerby.models import ModelCard
from passerby.runtime.backend import Backend

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Normalised(nn.Module):
    """A network with its preprocessing: uint8 RGB (B, H, W, 3) in, (B, D) float32 out."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, card: ModelCard) -> None:
        super().__init__()
        self.network = network
        self.reverse = card.colour_order == "BGR"
        scale = 255.0 / card.value_range  # pixel -> the card's range
        mean = torch.tensor(card.mean, dtype=torch.float32) * scale
        std = torch.tensor(card.std, dtype=torch.float32) * scale
        self.register_buffer("mean", mean.view(1, 3, 1, 1))
        self.register_buffer("std", std.view(1, 3, 1, 1))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Turn uint8 RGB (B, H, W, 3) into features (B, D) float32."""
        images = pictures.permute(0, 3, 1, 2).float()  # NHWC, permuted, is channels-last
        if self.reverse:
            images = images.flip(1)
        features: torch.Tensor = self.network((images - self.mean) / self.std)
        return features.flatten(1).float()


class UnitVectors(Normalised):
    """A network with its preprocessing and L2 normalisation."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Turn uint8 RGB (B, H, W, 3) into unit rows (B, D)."""
        return nn.functional.normalize(super().forward(pictures), dim=1)


class TorchBackend(Backend):
    """A network in PyTorch on the CPU or a GPU."""

    runtime = "torch"

    def __init__(
        self, network: nn.Module, card: ModelCard, *, device: str = "cpu", precision: str = "fp32"
    ) -> None:
        """Put ``network`` in evaluation mode on ``device``, such as "cpu" or "cuda:1".

        Raises:
            InputError: PyTorch has no such device.
        """
        try:
            self._device = torch.device(device)
            module = Normalised(network, card).eval().requires_grad_(False)
            moved = module.to(self._device).to(memory_format=torch.channels_last)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"PyTorch cannot use the device '{device}': {reason}") from None
        self._module: Callable[[torch.Tensor], torch.Tensor] = moved
        self.precision = precision
        self.dimension = card.dimension

    def _arithmetic(self) -> AbstractContextManager[None]:
        """Return the context of the arithmetic; fp32 on a GPU switches the shorter TF32 off."""
        if self.precision != "fp32":
            return torch.autocast(self._device.type, dtype=PRECISIONS[self.precision])
        if self._device.type == "cuda":
            return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        return nullcontext()

    @torch.inference_mode()
    def features(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :meth:`passerby.runtime.backend.Backend.features`."""
        batch = torch.from_numpy(np.require(pictures, requirements=["C", "W"])).to(self._device)
        with self._arithmetic():
            features = self._module(batch)
        result: NDArray[np.float32] = features.float().cpu().numpy()
        return result
