"""Augmentation of whole batches, on the device of the batch.

Every function takes images (B, 3, H, W) and a ``torch.Generator``. There is one random draw for
each image and no loop over images. Draws are made on the generator's device, so that a CPU
generator gives the same crops on every device.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from passerby.data.colour import ColourJitter, jitter
from passerby.data.policies import auto_augment

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Erasing:
    """Random erasing (Zhong et al., 2020) as in the code behind the published figures.

    Attributes:
        probability: Of erasing in an image.
        area: Smallest and largest fraction of the image.
        aspect: Smallest and largest height over width.
        fill: ``"mean"`` writes the numbers of the ImageNet mean colour (0.485, 0.456, 0.406) into
            the image after its normalisation, where the mean colour is zero. All published figures
            of Bag of Tricks, AGW and Cluster Contrast were made so. ``"zero"`` writes zeros.
        tries: Largest number of rectangles drawn until one fits.
    """

    probability: float = 0.5
    area: tuple[float, float] = (0.02, 0.4)
    aspect: tuple[float, float] = (0.3, 1 / 0.3)
    fill: str = "mean"
    tries: int = 100

    def values(self) -> tuple[float, float, float]:
        """Return the colour that is written into the normalised image."""
        return {"mean": IMAGENET_MEAN, "zero": (0.0, 0.0, 0.0)}[self.fill]


@dataclass(frozen=True, kw_only=True)
class Augment:
    """The training transform: (AutoAugment,) flip, (box,) pad, crop, (colour,) normalise, erase.

    Attributes:
        flip: Probability of a mirrored image.
        box: Spread of an imprecise detector's box, see :func:`random_box`; 0 for none.
        padding: Black pixels added on each side before a crop of the old size; 0 for none.
        erasing: Random erasing, None for none.
        colour: Colour changes per image, None for none.
        auto_augment: Probability of an ImageNet AutoAugment policy per image.
        mean: Per channel, in units of ``value_range``.
        std: As ``mean``.
        value_range: The value of white before mean and std: 1.0 or 255.0.
        bgr: Whether the network takes blue first.
    """

    flip: float = 0.5
    box: float = 0.0
    padding: int = 10
    erasing: Erasing | None = field(default_factory=Erasing)
    colour: ColourJitter | None = None
    auto_augment: float = 0.0
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    value_range: float = 1.0
    bgr: bool = False

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Uint8 (B, 3, H, W) RGB -> float (B, 3, H, W), augmented and normalised."""
        if self.auto_augment > 0:
            images = auto_augment(images, generator, probability=self.auto_augment)
        if self.flip > 0:
            images = random_flip(images, generator, probability=self.flip)
        if self.box > 0:
            images = random_box(images, generator, spread=self.box)
        if self.padding > 0:
            images = random_crop(images, generator, padding=self.padding)
        scaled = images.float() / 255.0
        if self.colour is not None:
            scaled = jitter(scaled, generator, self.colour)
        if self.bgr:
            scaled = scaled.flip(1)
        scaled = normalise(scaled * self.value_range, self.mean, self.std)
        return scaled if self.erasing is None else random_erase(scaled, generator, self.erasing)


def random_flip(images: Tensor, generator: torch.Generator, *, probability: float = 0.5) -> Tensor:
    """Mirror each image left to right with ``probability``."""
    chosen = _uniform(len(images), generator, images) < probability
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


def random_box(images: Tensor, generator: torch.Generator, *, spread: float) -> Tensor:
    """Cut each image again by an imprecise box, like that of a detector.

    Each side moves by a share of the image's height or width. The share is normally distributed
    with the standard deviation ``spread`` and cut at twice that. Pixels beyond the border repeat
    those at the border. A box that is too small loses a part of the person, so that all boxes are
    larger by one ``spread`` on average.
    """
    count = len(images)
    drawn = torch.randn(count, 4, generator=generator, device=generator.device).to(images.device)
    off = spread * drawn.clamp(-2.0, 2.0)
    larger = spread * torch.tensor([-0.5, -0.5, 0.5, 0.5]).to(off)
    left, top, right, bottom = (off + larger).T
    zero = torch.zeros_like(left)
    place = torch.stack(
        [1 + right - left, zero, right + left, zero, 1 + bottom - top, bottom + top]
    )
    places = place.T.reshape(count, 2, 3)
    grid = F.affine_grid(places, list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)


def random_crop(
    images: Tensor, generator: torch.Generator, *, padding: int = 10, fill: float = 0
) -> Tensor:
    """Pad each side by ``padding`` pixels of ``fill``; cut the old size at a random position."""
    height, width = images.shape[-2:]
    padded = F.pad(images, (padding,) * 4, value=fill)
    # (B, 3, 2p+1, 2p+1, H, W): a view of all crops; one crop of each image is copied
    crops = padded.unfold(2, height, 1).unfold(3, width, 1)
    offsets = torch.randint(
        2 * padding + 1, (2, len(images)), generator=generator, device=generator.device
    ).to(images.device)
    rows = torch.arange(len(images), device=images.device)
    return crops[rows, :, offsets[0], offsets[1]]


def normalise(
    images: Tensor, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
) -> Tensor:
    """Compute (x - mean) / std per channel of float images (B, 3, H, W)."""
    means = torch.tensor(mean, dtype=images.dtype, device=images.device).view(1, -1, 1, 1)
    deviations = torch.tensor(std, dtype=images.dtype, device=images.device).view(1, -1, 1, 1)
    return (images - means) / deviations


def random_erase(images: Tensor, generator: torch.Generator, options: Erasing) -> Tensor:
    """Overwrite a random rectangle of each image, with ``options.probability``.

    Area and aspect are uniform in their ranges. A rectangle that does not fit is drawn again, up to
    ``options.tries`` times. After that the image stays as it is.
    """
    (B, _, H, W), T = images.shape, options.tries
    area = _between((B, T), options.area, generator, images) * (H * W)
    aspect = _between((B, T), options.aspect, generator, images)
    heights, widths = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (heights < H) & (widths < W)
    first = fits.int().argmax(dim=1, keepdim=True)
    h, w = heights.gather(1, first), widths.gather(1, first)
    erased = fits.any(dim=1) & (_uniform(B, generator, images) < options.probability)
    place = torch.rand(2, B, 1, generator=generator, device=generator.device).to(images.device)
    top, left = (place[0] * (H - h + 1)).floor(), (place[1] * (W - w + 1)).floor()
    y = torch.arange(H, device=images.device)
    x = torch.arange(W, device=images.device)
    inside_y = (y >= top) & (y < top + h) & erased.view(-1, 1)
    inside_x = (x >= left) & (x < left + w)
    inside = (inside_y[:, :, None] & inside_x[:, None, :]).unsqueeze(1)
    fill = torch.tensor(options.values(), dtype=images.dtype, device=images.device)
    return torch.where(inside, fill.view(1, -1, 1, 1), images)


def _uniform(count: int, generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.rand(count, generator=generator, device=generator.device).to(like.device)


def _between(
    shape: tuple[int, ...], limits: tuple[float, float], generator: torch.Generator, like: Tensor
) -> Tensor:
    drawn = torch.rand(shape, generator=generator, device=generator.device).to(like.device)
    return limits[0] + drawn * (limits[1] - limits[0])
