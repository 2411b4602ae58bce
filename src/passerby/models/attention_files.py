"""Diff Attention in safetensors files, each with a card that names the network it was made for."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from passerby.errors import InputError
from passerby.models.diff_attention import DiffAttention, Transform
from passerby.models.files import read_tensors, write_tensors

CARD_KEY = "passerby.diff_attention"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class AttentionCard:
    """What a Diff Attention file says of itself.

    Attributes:
        model_id: Id of the network whose features it weighs; no other will do.
        dimension: D.
        ratio: As :class:`~passerby.models.diff_attention.DiffAttention`, like the next three.
        transform: Input transform.
        tied: Whether query and gallery have one weight.
        length: Length features are brought to, or None: as they leave the network, which a gallery
            of unit vectors no longer knows.
        training: Data, recipe, options, seed, commit of the training.
        scores: Data set name -> measured fractions with and without the attention.
        licence: Of the weights.
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
        """One line of JSON for the header."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "AttentionCard":
        """Read :meth:`to_json` back.

        Raises:
            InputError: If it is no such JSON, or a field is missing, unknown or of another type.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"the Diff Attention card is not JSON: {error}") from error
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise InputError("the Diff Attention card is of another format; update passerby")
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise InputError(
                f"Diff Attention card: unknown field '{min(unknown)}'; update passerby"
            )
        whole = [values.get(name) for name in ("dimension", "ratio")]
        if not isinstance(values.get("model_id"), str) or not all(type(v) is int for v in whole):
            raise InputError("the Diff Attention card lacks its model id, dimension or ratio")
        if not isinstance(values.get("length"), int | float | None):
            raise InputError(f"Diff Attention card: length {values['length']!r} is no number")
        return cls(**values)

    def build(self) -> DiffAttention:
        """An untrained module of this card.

        Raises:
            InputError: If a value is out of range.
        """
        return DiffAttention(
            self.dimension,
            ratio=self.ratio,
            transform=self.transform,
            tied=self.tied,
            length=self.length,
        )


def save_attention(attention: DiffAttention, card: AttentionCard, path: Path | str) -> None:
    """Write ``attention`` with its ``card``; the file appears whole or not at all."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in attention.state_dict().items()}
    write_tensors(tensors, {CARD_KEY: card.to_json()}, path)


def load_attention(path: Path | str) -> tuple[DiffAttention, AttentionCard]:
    """Read a Diff Attention in evaluation mode (float32, CPU) and its card.

    Raises:
        InputError: If the file is missing, damaged, or holds something else.
    """
    path = Path(path)
    metadata, state = read_tensors(path)
    if CARD_KEY not in metadata:
        raise InputError(
            f"'{path}' holds no Diff Attention; train one with 'passerby train diff-attention'"
        )
    card = AttentionCard.from_json(metadata[CARD_KEY])
    attention = card.build()
    try:
        attention.load_state_dict(state)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:160]
        raise InputError(f"'{path}' does not hold the attention of its card: {first}") from error
    return attention.eval(), card
