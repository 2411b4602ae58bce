"""Cards of networks that do not carry one: known files by name, or a sidecar file.

A sidecar ``<file>.card.json`` beside any network (``net.onnx.card.json``) holds the fields of a
ModelCard and goes before this table.
"""

import json
from pathlib import Path

from passerby.errors import InputError
from passerby.models import ModelCard
from passerby.models.card import FORMAT

# a sidecar must say these: a default that is wrong would go unseen
REQUIRED = (
    *("architecture", "dimension", "input_size"),
    *("mean", "std", "colour_order", "value_range", "interpolation"),
)


def _intel(name: str, notes: str) -> ModelCard:
    return ModelCard(
        architecture=name,
        input_size=(256, 128),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        colour_order="BGR",
        value_range=255.0,
        interpolation="bilinear",
        feature="after_bn",
        dimension=256,
        metric="cosine",
        licence="Apache-2.0",
        notes=notes,
    )


KNOWN: dict[str, ModelCard] = {
    "person-reidentification-retail-0277": _intel(
        "person-reidentification-retail-0277", "Open Model Zoo: OSNet with LCT, the largest"
    ),
    "person-reidentification-retail-0287": _intel(
        "person-reidentification-retail-0287", "Open Model Zoo: OSNet with LCT, the middle one"
    ),
    "person-reidentification-retail-0288": _intel(
        "person-reidentification-retail-0288", "Open Model Zoo: OSNet with LCT, the smallest"
    ),
}


def find_card(path: Path) -> ModelCard | None:
    """Return the card of the network file ``path``: its sidecar's, a known one, or None.

    Raises:
        InputError: the sidecar is not a card.
    """
    sidecar = path.with_name(path.name + ".card.json")
    if sidecar.is_file():
        return _read_sidecar(sidecar)
    return KNOWN.get(path.stem)


def require_card(path: Path) -> ModelCard:
    """As :func:`find_card`; a network without a card is refused, for a guess would be silent.

    Raises:
        InputError: nothing says how the network wants its pictures.
    """
    card = find_card(path)
    if card is None:
        raise InputError(
            f"nothing says how the network '{path}' wants its pictures; "
            f"write its card (input_size, mean, std, colour_order, ...) to '{path.name}.card.json'"
        )
    return card


def _read_sidecar(path: Path) -> ModelCard:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"the card '{path}' cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"the card '{path}' must be a JSON object with a model card's fields")
    missing = [name for name in REQUIRED if name not in values]
    if missing:
        raise InputError(f"the card '{path}' does not say {', '.join(missing)}; add that")
    try:
        return ModelCard.from_json(json.dumps({"format": FORMAT, **values}))
    except InputError as error:
        raise InputError(f"the card '{path}' cannot be used: {error}") from None
