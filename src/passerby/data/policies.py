"""AutoAugment's ImageNet policies (Cubuk et al., 2019) on a fraction of a batch."""

import math
from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor

# operation, its probability, its magnitude on the paper's scale of 0 to 9
Operation = tuple[str, float, int]

# table 9 of the paper as its authors' code has it
IMAGENET: tuple[tuple[Operation, Operation], ...] = (
    (("Posterize", 0.4, 8), ("Rotate", 0.6, 9)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, 5)),
    (("Equalize", 0.8, 8), ("Equalize", 0.6, 3)),
    (("Posterize", 0.6, 7), ("Posterize", 0.6, 6)),
    (("Equalize", 0.4, 7), ("Solarize", 0.2, 4)),
    (("Equalize", 0.4, 4), ("Rotate", 0.8, 8)),
    (("Solarize", 0.6, 3), ("Equalize", 0.6, 7)),
    (("Posterize", 0.8, 5), ("Equalize", 1.0, 2)),
    (("Rotate", 0.2, 3), ("Solarize", 0.6, 8)),
    (("Equalize", 0.6, 8), ("Posterize", 0.4, 6)),
    (("Rotate", 0.8, 8), ("Color", 0.4, 0)),
    (("Rotate", 0.4, 9), ("Equalize", 0.6, 2)),
    (("Equalize", 0.0, 7), ("Equalize", 0.8, 8)),
    (("Invert", 0.6, 4), ("Equalize", 1.0, 8)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Rotate", 0.8, 8), ("Color", 1.0, 2)),
    (("Color", 0.8, 8), ("Solarize", 0.8, 7)),
    (("Sharpness", 0.4, 7), ("Invert", 0.6, 8)),
    (("ShearX", 0.6, 5), ("Equalize", 1.0, 9)),
    (("Color", 0.4, 0), ("Equalize", 0.6, 3)),
    (("Equalize", 0.4, 7), ("Solarize", 0.2, 4)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, 5)),
    (("Invert", 0.6, 4), ("Equalize", 1.0, 8)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Equalize", 0.8, 8), ("Equalize", 0.6, 3)),
)

# the value at magnitude 9 of operations whose sign is random
SIGNED = {"Rotate": 30.0, "ShearX": 0.3, "Color": 0.9, "Contrast": 0.9, "Sharpness": 0.9}


def auto_augment(images: Tensor, generator: torch.Generator, *, probability: float) -> Tensor:
    """Apply a random ImageNet policy to each uint8 image (B, 3, H, W) with ``probability``.

    A policy is two operations, each with a probability of its own. Images that get the same
    operation are processed together. Areas that come from outside the image are black, as in
    torchvision.
    """
    B = len(images)
    drawn = torch.rand(B, 6, generator=generator, device=generator.device).tolist()
    rows = [row for row in range(B) if drawn[row][0] < probability]
    if not rows:
        return images
    images = images.clone()
    for turn in (0, 1):
        alike = defaultdict(list)
        for row in rows:
            _, policy, *chances = drawn[row]
            name, likely, magnitude = IMAGENET[int(policy * len(IMAGENET))][turn]
            acts, sign = chances[2 * turn : 2 * turn + 2]
            if acts < likely:
                alike[name, value(name, magnitude, negative=sign < 0.5)].append(row)
        for (name, amount), same in alike.items():
            images[same] = apply(name, images[same], amount)
    return images


def value(name: str, magnitude: int, *, negative: bool = False) -> float:
    """Convert a magnitude of 0 to 9 to degrees, slope, change of a factor, bits or level."""
    if name in SIGNED:
        amount = SIGNED[name] * magnitude / 9
        return -amount if negative else amount
    if name == "Posterize":
        return 8 - round(magnitude / 2.25)
    if name == "Solarize":
        return 255.0 * (1 - magnitude / 9)
    return 0.0


def apply(name: str, images: Tensor, amount: float) -> Tensor:
    """Apply one operation to uint8 images (B, 3, H, W)."""
    from torchvision.transforms.v2 import functional as F

    slope = [math.degrees(math.atan(amount)), 0.0]
    operations: dict[str, Callable[[Tensor], Tensor]] = {
        "Rotate": lambda x: F.rotate(x, amount),
        "ShearX": lambda x: F.affine(x, 0.0, [0, 0], 1.0, slope, center=[0, 0]),
        "Color": lambda x: F.adjust_saturation(x, 1.0 + amount),
        "Contrast": lambda x: F.adjust_contrast(x, 1.0 + amount),
        "Sharpness": lambda x: F.adjust_sharpness(x, 1.0 + amount),
        "Posterize": lambda x: F.posterize(x, int(amount)),
        "Solarize": lambda x: F.solarize(x, amount),
        "AutoContrast": F.autocontrast,
        "Equalize": F.equalize,
        "Invert": F.invert,
    }
    return operations[name](images)
