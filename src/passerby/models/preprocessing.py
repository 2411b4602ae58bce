"""How the pictures of an architecture are usually prepared."""

from dataclasses import dataclass

from passerby.errors import InputError
from passerby.models.card import IMAGENET_MEAN, IMAGENET_STD
from passerby.models.timm_backbone import import_timm

TIMM = "timm:"


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What a card says of the preparation of pictures.

    Attributes:
        mean: Per channel RGB, with white at 1.
        std: As ``mean``.
        interpolation: ``"bilinear"`` or ``"bicubic"``.
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: str = "bilinear"


def preprocessing(architecture: str) -> Preprocessing:
    """Mean, deviation and interpolation that the architecture's start weights were trained with.

    Networks of timm carry theirs (a ViT often 0.5 and 0.5); all others have those of ImageNet.
    Train with them, and write them into the card.

    Raises:
        InputError: If timm has no such network.
    """
    _, found, name = architecture.partition(TIMM)
    if not found:
        return Preprocessing()
    timm = import_timm()
    config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if config is None:
        raise InputError(f"timm {timm.__version__} has no network '{name}'")
    return Preprocessing(
        mean=tuple(map(float, config.mean)),  # type: ignore[arg-type]
        std=tuple(map(float, config.std)),  # type: ignore[arg-type]
        interpolation="bilinear" if config.interpolation == "bilinear" else "bicubic",
    )
