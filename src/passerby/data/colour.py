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
        coarse: Probability of an image of lower resolution (far or cheap cameras).
        coarsest: Largest reduction of a coarse image; whole numbers from 2 to this are drawn.
        gamma: Exponent of the tone curve, log-uniform within e to the +- this.
        shade: Light that falls off across the image: factor 1 +- at most this at its borders.
        noise: Largest standard deviation of noise, uniform from 0 to this, on half the images.
    """

    brightness: float = 0.2
    contrast: float = 0.15
    saturation: float = 0.2
    hue: float = 0.02
    balance: float = 0.0
    grey: float = 0.0
    coarse: float = 0.0
    coarsest: int = 2
    gamma: float = 0.0
    shade: float = 0.0
    noise: float = 0.0


def jitter(images: Tensor, generator: torch.Generator, options: ColourJitter) -> Tensor:
    """Apply ``options`` to float images (B, 3, H, W) in 0..1.

    First resolution, tone and light, then the changes that map an image's colours by one affine
    map, x -> M x + c, which are multiplied out so that each pixel is touched once, then noise.
    """
    B = len(images)

    def uniform(*shape: int) -> Tensor:
        drawn = torch.rand(B, *shape, generator=generator, device=generator.device)
        return drawn.to(images.device)

    def factor(amount: float, channels: int = 1) -> Tensor:
        return 1 + amount * (2 * uniform(channels, 1) - 1)

    if options.coarse > 0:
        chosen = uniform() < options.coarse
        drawn = uniform() if options.coarsest > 2 else torch.zeros(B, device=images.device)
        images = _coarse_ones(images, chosen, drawn, options.coarsest)
    if options.gamma > 0:
        images = images.clamp(min=1e-3) ** (options.gamma * (2 * uniform(1, 1, 1) - 1)).exp()
    if options.shade > 0:
        images = images * _ramp(images, options.shade * (2 * uniform(2) - 1))
    pixels = images.flatten(2)
    matrix = torch.eye(3, device=images.device).expand(B, 3, 3)
    shift = torch.zeros(B, 3, 1, device=images.device)
    luma = torch.tensor(GREY, device=images.device).expand(3, 3)
    if options.brightness > 0:
        matrix = matrix * factor(options.brightness)
    if options.balance > 0:
        matrix = matrix * factor(options.balance, 3)
    if options.contrast > 0:
        amount = factor(options.contrast)
        mean = luma @ matrix @ pixels.mean(dim=2, keepdim=True)
        matrix, shift = matrix * amount, mean * (1 - amount)
    if options.saturation > 0:
        amount = factor(options.saturation)
        pale = amount * torch.eye(3, device=images.device) + (1 - amount) * luma
        matrix, shift = pale @ matrix, pale @ shift
    if options.hue > 0:
        turn = _turn(options.hue * (2 * uniform() - 1))
        matrix, shift = turn @ matrix, turn @ shift
    if options.grey > 0:
        chosen = uniform(1, 1) < options.grey
        matrix = torch.where(chosen, luma @ matrix, matrix)
        shift = torch.where(chosen, luma @ shift, shift)
    changed = torch.baddbmm(shift, matrix, pixels).view_as(images)
    if options.noise > 0:
        deviation = options.noise * (2 * uniform(1, 1, 1) - 1).clamp_(min=0.0)
        drawn = torch.randn(images.shape, generator=generator, device=generator.device)
        changed = changed + deviation * drawn.to(images.device)
    return changed.clamp_(0.0, 1.0)


def grey(images: Tensor) -> Tensor:
    """Luma (B, 1, H, W) of (B, 3, H, W)."""
    weights = torch.tensor(GREY, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def _coarse_ones(images: Tensor, chosen: Tensor, drawn: Tensor, coarsest: int) -> Tensor:
    """``images`` with those of ``chosen`` (B,) at a lower resolution, by ``drawn`` (B,) in 0..1."""
    factors = 2 + (drawn * (coarsest - 1)).long()
    images = images.clone()
    for factor in range(2, coarsest + 1):
        here = chosen & (factors == factor)
        if images.is_cuda:
            # to blur all of them takes less time than to wait for which are chosen
            images = torch.where(here.view(-1, 1, 1, 1), _coarse(images, factor), images)
        elif here.any():
            images[here] = _coarse(images[here], factor)
    return images


def _coarse(images: Tensor, factor: int) -> Tensor:
    H, W = images.shape[-2:]
    size = max(H // factor, 1), max(W // factor, 1)
    small = F.interpolate(images, size, mode="bilinear", antialias=True)
    return F.interpolate(small, (H, W), mode="bilinear")


def _ramp(images: Tensor, slopes: Tensor) -> Tensor:
    """Factors (B, 1, H, W) that rise by ``slopes`` (B, 2), down and across, about 1."""
    H, W = images.shape[-2:]
    down = torch.linspace(-0.5, 0.5, H, device=images.device).view(1, 1, H, 1)
    across = torch.linspace(-0.5, 0.5, W, device=images.device).view(1, 1, 1, W)
    by_row, by_column = slopes.view(-1, 2, 1, 1).split(1, dim=1)
    return 1 + by_row * down + by_column * across


def _turn(turns: Tensor) -> Tensor:
    """Rotations (B, 3, 3) about the grey axis by ``turns`` (B,) (Rodrigues' formula)."""
    angle = (2 * torch.pi * turns).view(-1, 1, 1)
    axis = torch.ones(3, 3, device=turns.device) / 3
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=turns.device) / 3**0.5
    unit = torch.eye(3, device=turns.device)
    return angle.cos() * unit + (1 - angle.cos()) * axis + angle.sin() * cross
