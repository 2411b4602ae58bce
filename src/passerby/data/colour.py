"""Changes of colour and sharpness between cameras, per image, on whole batches."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow's conversion to "L"


@dataclass(frozen=True, kw_only=True)
class ColourJitter:
    """How much the colours of an image may change; 0 switches a change off.

    Attributes:
        brightness: Factor uniform in 1 +- this.
        contrast: As ``brightness``, about the image's mean grey.
        saturation: As ``brightness``, about the grey image.
        hue: Rotation of the colours about the grey axis, uniform within +- this many turns.
        balance: Factor of each channel uniform in 1 +- this (white balance of cameras).
        grey: Probability of a grey image.
        coarse: Probability of an image of half resolution (far or cheap cameras).
    """

    brightness: float = 0.2
    contrast: float = 0.15
    saturation: float = 0.2
    hue: float = 0.02
    balance: float = 0.0
    grey: float = 0.0
    coarse: float = 0.0


def jitter(images: Tensor, generator: torch.Generator, options: ColourJitter) -> Tensor:
    """Apply ``options`` to float images (B, 3, H, W) in 0..1."""
    B = len(images)

    def uniform(*shape: int) -> Tensor:
        drawn = torch.rand(B, *shape, generator=generator, device=generator.device)
        return drawn.to(images.device)

    def factor(amount: float, channels: int = 1) -> Tensor:
        return 1 + amount * (2 * uniform(channels, 1, 1) - 1)

    if options.coarse > 0:
        images = torch.where(uniform(1, 1, 1) < options.coarse, _coarse(images), images)
    if options.brightness > 0:
        images = images * factor(options.brightness)
    if options.balance > 0:
        images = images * factor(options.balance, 3)
    if options.contrast > 0:
        mean = grey(images).mean(dim=(2, 3), keepdim=True)
        images = mean + (images - mean) * factor(options.contrast)
    if options.saturation > 0:
        pale = grey(images)
        images = pale + (images - pale) * factor(options.saturation)
    if options.hue > 0:
        images = _turn(images, options.hue * (2 * uniform() - 1))
    if options.grey > 0:
        images = torch.where(uniform(1, 1, 1) < options.grey, grey(images), images)
    return images.clamp(0.0, 1.0)


def grey(images: Tensor) -> Tensor:
    """Luma (B, 1, H, W) of (B, 3, H, W)."""
    weights = torch.tensor(GREY, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def _coarse(images: Tensor) -> Tensor:
    H, W = images.shape[-2:]
    small = F.interpolate(images, (H // 2, W // 2), mode="bilinear", antialias=True)
    return F.interpolate(small, (H, W), mode="bilinear")


def _turn(images: Tensor, turns: Tensor) -> Tensor:
    """Rotate each image's colours about the grey axis by ``turns`` (B,) (Rodrigues' formula)."""
    angle = (2 * torch.pi * turns).view(-1, 1, 1)
    axis = torch.ones(3, 3, device=images.device) / 3
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=images.device) / 3**0.5
    unit = torch.eye(3, device=images.device)
    matrix = angle.cos() * unit + (1 - angle.cos()) * axis + angle.sin() * cross
    return torch.einsum("bij,bjhw->bihw", matrix, images)
