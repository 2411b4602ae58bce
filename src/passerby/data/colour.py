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
    """Apply ``options`` to float images (B, 3, H, W) in 0..1.

    All changes but the coarse ones map an image's colours by one affine map, x -> M x + c; these
    are multiplied out, and each pixel is touched once.
    """
    B = len(images)

    def uniform(*shape: int) -> Tensor:
        drawn = torch.rand(B, *shape, generator=generator, device=generator.device)
        return drawn.to(images.device)

    def factor(amount: float, channels: int = 1) -> Tensor:
        return 1 + amount * (2 * uniform(channels, 1) - 1)

    if options.coarse > 0:
        images = _coarse_ones(images, uniform() < options.coarse)
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
    return torch.baddbmm(shift, matrix, pixels).clamp_(0.0, 1.0).view_as(images)


def grey(images: Tensor) -> Tensor:
    """Luma (B, 1, H, W) of (B, 3, H, W)."""
    weights = torch.tensor(GREY, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def _coarse_ones(images: Tensor, chosen: Tensor) -> Tensor:
    """``images`` with those of ``chosen`` (B,) at half their resolution."""
    if images.is_cuda:
        # to blur all of them takes less time than to wait for which are chosen
        return torch.where(chosen.view(-1, 1, 1, 1), _coarse(images), images)
    images = images.clone()
    images[chosen] = _coarse(images[chosen])
    return images


def _coarse(images: Tensor) -> Tensor:
    H, W = images.shape[-2:]
    small = F.interpolate(images, (H // 2, W // 2), mode="bilinear", antialias=True)
    return F.interpolate(small, (H, W), mode="bilinear")


def _turn(turns: Tensor) -> Tensor:
    """Rotations (B, 3, 3) about the grey axis by ``turns`` (B,) (Rodrigues' formula)."""
    angle = (2 * torch.pi * turns).view(-1, 1, 1)
    axis = torch.ones(3, 3, device=turns.device) / 3
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=turns.device) / 3**0.5
    unit = torch.eye(3, device=turns.device)
    return angle.cos() * unit + (1 - angle.cos()) * axis + angle.sin() * cross
