"""The card of a weights file: everything needed to use its network."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from passerby.errors import InputError

CARD_KEY = "passerby.card"
FORMAT = 1

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

CHOICES: dict[str, tuple[Any, ...]] = {
    "colour_order": ("RGB", "BGR"),
    "value_range": (1.0, 255.0),
    "interpolation": ("bilinear", "bicubic"),
    "feature": ("after_bn", "before_bn"),
    "metric": ("cosine",),
}

# how pictures are prepared: a file must give all of these
PREPARATION = ("input_size", "mean", "std", "colour_order", "value_range", "interpolation")


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything needed to use a network correctly, and where it comes from.

    Attributes:
        architecture: A name that :func:`passerby.models.build` knows.
        dimension: D, the length of a feature.
        input_size: (H, W) in pixels.
        mean: Per channel, in ``colour_order`` and in units of ``value_range``.
        std: As ``mean``.
        colour_order: Order of the network's input channels, ``"RGB"`` or ``"BGR"``.
        value_range: The value of white before mean and std: 1.0 or 255.0.
        interpolation: How crops are resized to ``input_size``.
        feature: The test feature: ``"after_bn"`` or ``"before_bn"`` (of the BNNeck).
        metric: The distance that suits the feature.
        last_stride: Stride of the last stage.
        pooling: How the map becomes a vector; see :class:`~passerby.models.HeadOptions`.
        neck: Whether there is a BNNeck.
        structure: Options of the architecture beyond its name, such as a pyramid's stripes.
            :func:`passerby.models.build` checks them.
        training: Data, recipe, options, seed and commit of the training.
        scores: Data set name -> measured fractions (mAP, rank1, ...) with their protocol.
        licence: The licence of the weights.
        notes: Free text: what the network is for and what it is not for.
        calibration: How similarities become probabilities; None where that is not known.
    """

    architecture: str
    dimension: int
    input_size: tuple[int, int] = (256, 128)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    colour_order: str = "RGB"
    value_range: float = 1.0
    interpolation: str = "bilinear"
    feature: str = "after_bn"
    metric: str = "cosine"
    last_stride: int = 1
    pooling: str = "average"
    neck: bool = True
    structure: dict[str, int | float | str | bool] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    notes: str = ""
    calibration: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Check every value, as a card may come from any file."""
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"model card: {name} is {getattr(self, name)!r}, not {allowed}")
        if not isinstance(self.architecture, str) or not self.architecture:
            raise InputError("model card: the architecture has no name")
        if not _whole(self.dimension, 1, 1 << 16):
            raise InputError(f"model card: dimension {self.dimension!r} is not 1..65536")
        _numbers("input_size", self.input_size, 2)
        _numbers("mean", self.mean, 3)
        _numbers("std", self.std, 3)
        if not all(_whole(side, 8, 4096) for side in self.input_size):
            raise InputError(f"model card: input size {self.input_size} is not 8..4096 pixels")
        if not all(value > 0 for value in self.std):
            raise InputError(f"model card: std {self.std} is not positive")
        white = self.value_range
        if not all(
            0 <= m <= white and s <= white for m, s in zip(self.mean, self.std, strict=True)
        ):
            raise InputError(
                f"model card: mean {self.mean} and std {self.std} are not of pictures whose white "
                f"is {white:g}; scale them, or say the other value_range"
            )
        if not isinstance(self.structure, dict) or not all(
            isinstance(key, str) and isinstance(value, int | float | str | bool)
            for key, value in self.structure.items()
        ):
            raise InputError(f"model card: structure {self.structure!r} is not names with values")

    def to_json(self) -> str:
        """Write one line of JSON, for the header of a weights file."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "ModelCard":
        """Read a card that :meth:`to_json` wrote.

        Raises:
            InputError: The text is no such JSON, or a field is missing, unknown or out of range.
        """
        values = card_values(text, cls, "model card")
        unsaid = [name for name in PREPARATION if name not in values]
        if unsaid:
            raise InputError(
                f"model card: it does not say {', '.join(unsaid)}, and a default that is wrong "
                "would go unseen; add that, or convert the network anew"
            )
        for name in ("input_size", "mean", "std"):
            if isinstance(values.get(name), list):
                values[name] = tuple(values[name])
        try:
            return cls(**values)
        except TypeError as error:
            raise InputError(f"the model card is incomplete: {error}") from error


def card_values(text: str, card: type, name: str) -> dict[str, Any]:
    """Read the fields of a card, a dataclass, from its JSON.

    Raises:
        InputError: The text is no JSON of this format, or has an unknown field; the message calls
            the card ``name``.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"the {name} is not JSON: {error}") from error
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise InputError(f"the {name} is of another format; update passerby or convert it")
    unknown = set(values) - {f.name for f in fields(card)}
    if unknown:
        raise InputError(f"{name}: unknown field '{min(unknown)}'; update passerby")
    return values


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _numbers(name: str, values: object, length: int) -> None:
    good = isinstance(values, tuple) and len(values) == length
    if not good or not all(isinstance(v, int | float) for v in values):  # type: ignore[attr-defined]
        raise InputError(f"model card: {name} is {values!r}, not {length} numbers")
