"""How the pictures of an architecture are usually prepared."""

from dataclasses import dataclass, fields
from pathlib import Path

from passerby.errors import InputError
from passerby.models.card import IMAGENET_MEAN, IMAGENET_STD
from passerby.models.pretrained import start_card
from passerby.models.timm_backbone import import_timm

TIMM = "timm:"


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What a card says of the preparation of pictures.

    Attributes:
        mean: Per channel, in ``colour_order`` and in units of ``value_range``.
        std: As ``mean``.
        interpolation: ``"bilinear"`` or ``"bicubic"``.
        colour_order: ``"RGB"`` or ``"BGR"``.
        value_range: The value of white before mean and std: 1.0 or 255.0.
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: str = "bilinear"
    colour_order: str = "RGB"
    value_range: float = 1.0


def preprocessing(architecture: str, weights: Path | str | None = None) -> Preprocessing:
    """How pictures were prepared for an architecture's start weights.

    A model file of Passerby says so itself. Networks of timm carry theirs (a ViT often 0.5 and
    0.5); all others have those of ImageNet. Train with them, and write them into the card.

    Args:
        architecture: As :func:`passerby.models.build` takes it.
        weights: The file of the start weights, ``"default"`` for the bundled one, or None.

    Raises:
        InputError: If timm has no such network, or the file cannot be read.
    """
    card = start_card(weights)
    if card is not None:
        return Preprocessing(**{f.name: getattr(card, f.name) for f in fields(Preprocessing)})
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
