"""Random changes of colour and sharpness, as between cameras, of whole batches."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow's conversion to "L"


@dataclass(frozen=True, kw_only=True)
class ColourJitter:
    """The largest changes of an image's colours; 0 switches a change off.

    Attributes:
        brightness: Factor uniform in 1 +- this.
        contrast: As ``brightness``, about the image's mean grey.
        saturation: As ``brightness``, about the grey image.
        hue: Rotation of the colours about the grey axis, uniform within +- this many turns.
        balance: Factor of each channel uniform in 1 +- this (white balance of cameras).
        grey: Probability of a grey image.
        coarse: Probability of an image of lower resolution, as of far or cheap cameras.
        coarsest: Largest reduction of a coarse image; whole numbers from 2 to this are drawn.
        gamma: Logarithm of the tone curve's exponent, uniform within +- this.
        shade: Light that changes across the image; the factor at a border is at most 1 +- this.
        noise: Largest standard deviation of noise; uniform from 0 to this on half of the images.
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

    Resolution, tone and light come first. Then come the changes that are affine maps of a pixel's
    colour, x -> M x + c. They are multiplied first, so that each pixel is computed once. Noise is
    last.
    """
    draw = _Draws(len(images), generator, images.device)
    if options.coarse > 0:
        chosen = draw.uniform() < options.coarse
        several = options.coarsest > 2
        drawn = draw.uniform() if several else torch.zeros(len(images), device=images.device)
        images = _coarse_ones(images, chosen, drawn, options.coarsest)
    if options.gamma > 0:
        images = images.clamp(min=1e-3) ** (options.gamma * draw.signed(1, 1, 1)).exp()
    if options.shade > 0:
        images = images * _ramp(images, options.shade * draw.signed(2))
    pixels = images.flatten(2)
    matrix, shift = _affine(pixels.mean(dim=2, keepdim=True), draw, options)
    changed = torch.baddbmm(shift, matrix, pixels).view_as(images)
    if options.noise > 0:
        deviation = options.noise * draw.signed(1, 1, 1).clamp_(min=0.0)
        drawn = torch.randn(images.shape, generator=generator, device=generator.device)
        changed = changed + deviation * drawn.to(images.device)
    return changed.clamp_(0.0, 1.0)


@dataclass(frozen=True)
class _Draws:
    """Random numbers for each of ``count`` images."""

    count: int
    generator: torch.Generator
    device: torch.device

    def uniform(self, *shape: int) -> Tensor:
        """Draw (count, *shape) in 0..1."""
        size = (self.count, *shape)
        drawn = torch.rand(size, generator=self.generator, device=self.generator.device)
        return drawn.to(self.device)

    def signed(self, *shape: int) -> Tensor:
        """Draw (count, *shape) in -1..1."""
        return 2 * self.uniform(*shape) - 1

    def factor(self, amount: float, channels: int = 1) -> Tensor:
        """Draw factors (count, channels, 1) in 1 +- ``amount``."""
        return 1 + amount * self.signed(channels, 1)


def _affine(mean: Tensor, draw: _Draws, options: ColourJitter) -> tuple[Tensor, Tensor]:
    """Draw M (B, 3, 3) and c (B, 3, 1) for images of the mean colours (B, 3, 1)."""
    matrix = torch.eye(3, device=draw.device).expand(draw.count, 3, 3)
    shift = torch.zeros(draw.count, 3, 1, device=draw.device)
    luma = torch.tensor(GREY, device=draw.device).expand(3, 3)
    if options.brightness > 0:
        matrix = matrix * draw.factor(options.brightness)
    if options.balance > 0:
        matrix = matrix * draw.factor(options.balance, 3)
    if options.contrast > 0:
        amount = draw.factor(options.contrast)
        shift = luma @ matrix @ mean * (1 - amount)
        matrix = matrix * amount
    if options.saturation > 0:
        amount = draw.factor(options.saturation)
        pale = amount * torch.eye(3, device=draw.device) + (1 - amount) * luma
        matrix, shift = pale @ matrix, pale @ shift
    if options.hue > 0:
        turn = _turn(options.hue * draw.signed())
        matrix, shift = turn @ matrix, turn @ shift
    if options.grey > 0:
        chosen = draw.uniform(1, 1) < options.grey
        matrix = torch.where(chosen, luma @ matrix, matrix)
        shift = torch.where(chosen, luma @ shift, shift)
    return matrix, shift


def _coarse_ones(images: Tensor, chosen: Tensor, drawn: Tensor, coarsest: int) -> Tensor:
    """Reduce the resolution of ``chosen`` images (B,), by a factor that ``drawn`` (B,) selects."""
    factors = 2 + (drawn * (coarsest - 1)).long()
    images = images.clone()
    for factor in range(2, coarsest + 1):
        here = chosen & (factors == factor)
        if images.is_cuda:
            # it is faster to blur all of them than to wait for the list of the chosen
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
    """Compute factors (B, 1, H, W) around 1 that rise by ``slopes`` (B, 2), down and across."""
    H, W = images.shape[-2:]
    down = torch.linspace(-0.5, 0.5, H, device=images.device).view(1, 1, H, 1)
    across = torch.linspace(-0.5, 0.5, W, device=images.device).view(1, 1, 1, W)
    by_row, by_column = (slopes[:, side].view(-1, 1, 1, 1) for side in (0, 1))
    return 1 + by_row * down + by_column * across


def _turn(turns: Tensor) -> Tensor:
    """Compute rotations (B, 3, 3) about the grey axis by ``turns`` (B,) (Rodrigues' formula)."""
    angle = (2 * torch.pi * turns).view(-1, 1, 1)
    axis = torch.ones(3, 3, device=turns.device) / 3
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=turns.device) / 3**0.5
    unit = torch.eye(3, device=turns.device)
    return angle.cos() * unit + (1 - angle.cos()) * axis + angle.sin() * cross
