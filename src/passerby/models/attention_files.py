"""Diff Attention in safetensors files; a card in each names the network that it belongs to."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from passerby.errors import InputError
from passerby.models.card import FORMAT, card_values
from passerby.models.diff_attention import DiffAttention, Transform
from passerby.models.files import fill, read_tensors, write_tensors

CARD_KEY = "passerby.diff_attention"


@dataclass(frozen=True, kw_only=True)
class AttentionCard:
    """The card of a Diff Attention file.

    Attributes:
        model_id: Id of the network whose features it weighs. It suits no other network.
        dimension: D, the length of a feature.
        ratio: See :class:`~passerby.models.diff_attention.DiffAttention`; so for the next three.
        transform: Input transform.
        tied: Whether query and gallery have one weight.
        length: The length to which features are scaled. None takes them as they leave the network;
            a gallery of unit vectors does not have these.
        training: Data, recipe, options, seed and commit of the training.
        scores: Data set name -> measured fractions with and without the attention.
        licence: The licence of the weights.
        notes: Free text.
    """

    model_id: str
    dimension: int
    ratio: int
    transform: Transform = "absolute"
    tied: bool = False
    length: float | None = None
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    notes: str = ""

    def to_json(self) -> str:
        """Write one line of JSON, for the header of the file."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "AttentionCard":
        """Read a card that :meth:`to_json` wrote.

        Raises:
            InputError: The text is no such JSON, or a field is missing, unknown or of another type.
        """
        values = card_values(text, cls, "Diff Attention card")
        whole = [values.get(name) for name in ("dimension", "ratio")]
        if not isinstance(values.get("model_id"), str) or not all(type(v) is int for v in whole):
            raise InputError("the Diff Attention card lacks its model id, dimension or ratio")
        if not isinstance(values.get("length"), int | float | None):
            raise InputError(f"Diff Attention card: length {values['length']!r} is no number")
        return cls(**values)

    def build(self) -> DiffAttention:
        """Make an untrained module of this card.

        Raises:
            InputError: A value is out of range.
        """
        return DiffAttention(
            self.dimension,
            ratio=self.ratio,
            transform=self.transform,
            tied=self.tied,
            length=self.length,
        )


def save_attention(attention: DiffAttention, card: AttentionCard, path: Path | str) -> None:
    """Write ``attention`` with its ``card`` into a file, which appears complete or not at all."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in attention.state_dict().items()}
    write_tensors(tensors, {CARD_KEY: card.to_json()}, path)


def load_attention(path: Path | str) -> tuple[DiffAttention, AttentionCard]:
    """Read a Diff Attention, in evaluation mode (float32, CPU), and its card.

    Raises:
        InputError: The file is missing, damaged, or holds something else.
    """
    path = Path(path)
    metadata, state = read_tensors(path)
    if CARD_KEY not in metadata:
        raise InputError(
            f"'{path}' holds no Diff Attention; train one with 'passerby train diff-attention'"
        )
    card = AttentionCard.from_json(metadata[CARD_KEY])
    attention = card.build()
    fill(attention, state, path, "attention")
    return attention.eval(), card
