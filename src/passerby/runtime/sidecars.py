"""Files beside a network file: the model card of a foreign network, and a calibration.

``<file>.card.json`` (such as ``net.onnx.card.json``) holds the fields of a ModelCard. It overrides
the card inside the file and the table of known networks below.

``<file>.calibration.json`` holds the calibration of an ONNX or OpenVINO file, which is not
rewritten. It overrides the calibration in the card, and is valid for the network named in its field
``model``. A Passerby weights file carries its calibration in its own card.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from passerby.errors import InputError
from passerby.files import write_json
from passerby.metrics import Calibration
from passerby.models import ModelCard, read_card
from passerby.models.card import FORMAT
from passerby.models.files import rewrite_card
from passerby.models.identity import BUNDLED, find_file

WEIGHTS = ".safetensors"
# a card file must have these fields: a wrong default would not be noticed
REQUIRED = (
    *("architecture", "dimension", "input_size"),
    *("mean", "std", "colour_order", "value_range", "interpolation"),
)


def _retail(number: str, size: str) -> ModelCard:
    name = f"person-reidentification-retail-{number}"
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
        notes=f"Open Model Zoo: OSNet with LCT, the {size}",
    )


KNOWN = {
    card.architecture: card
    for card in (
        _retail("0277", "largest"),
        _retail("0287", "middle one"),
        _retail("0288", "smallest"),
    )
}
"""File name without suffix -> card, for networks of Intel's Open Model Zoo."""


def find_card(path: Path) -> ModelCard | None:
    """Return the card from the card file beside ``path`` or of a known network, else None.

    Raises:
        InputError: The card file is not a card.
    """
    sidecar = path.with_name(path.name + ".card.json")
    if sidecar.is_file():
        return _read_card_file(sidecar)
    return KNOWN.get(path.stem)


def require_card(path: Path) -> ModelCard:
    """As :func:`find_card`, but refuse a network without a card: a guess could be wrong unseen.

    Raises:
        InputError: Nothing describes the input of the network.
    """
    card = find_card(path)
    if card is None:
        raise InputError(
            f"nothing says how the network '{path}' wants its pictures; "
            f"write its card (input_size, mean, std, colour_order, ...) to '{path.name}.card.json'"
        )
    return card


def _read_card_file(path: Path) -> ModelCard:
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


def calibration_file(path: Path) -> Path:
    """Return the file that holds the calibration of the network file ``path``."""
    return path if path.suffix == WEIGHTS else path.with_name(path.name + ".calibration.json")


def own_file(name_or_path: str | Path) -> Path:
    """Return the file of a network that may be calibrated.

    Raises:
        InputError: It does not exist, or it is the bundled network, which is part of the package.
    """
    path = find_file(name_or_path)
    if path.resolve() == BUNDLED.resolve():
        raise InputError(
            f"the bundled network is part of the package; copy '{path}' and calibrate the copy"
        )
    return path


def write_calibration(
    name_or_path: str | Path, calibration: dict[str, Any], *, model_id: str
) -> Path:
    """Write a calibration into the card of a weights file, or beside a foreign network file.

    Args:
        name_or_path: As given to :meth:`passerby.runtime.Embedder.load`.
        calibration: The card's field, as :meth:`passerby.metrics.Calibrated.as_card` makes it.
        model_id: The embedder's, for a file beside the network.

    Returns:
        The file that was written.

    Raises:
        InputError: The network is the bundled one, the file cannot be written, or the curve does
            not rise.
    """
    path = own_file(name_or_path)
    Calibration.from_card(calibration)
    if path.suffix == WEIGHTS:
        rewrite_card(path, replace(read_card(path), calibration=calibration))
        return path
    target = calibration_file(path)
    try:
        write_json(target, {"model": model_id, **calibration})
    except OSError as error:
        raise InputError(f"cannot write '{target}': {error.strerror}") from None
    return target


def with_calibration(path: Path, card: ModelCard, model_id: str) -> ModelCard:
    """Return the card with the calibration of the file beside the network, if there is one.

    Raises:
        InputError: The file is damaged, or belongs to another network.
    """
    beside = calibration_file(path)
    if beside == path or not beside.is_file():
        return card
    try:
        values = json.loads(beside.read_text(encoding="utf-8"))
        Calibration.from_card(values)
    except (OSError, ValueError, InputError) as error:
        raise InputError(
            f"the calibration '{beside}' cannot be used: {error}; remove it, or calibrate again"
        ) from None
    if not isinstance(values, dict) or values.pop("model", None) != model_id:
        raise InputError(
            f"the calibration '{beside}' is of another network than '{path.name}' ({model_id}); "
            "remove it, or calibrate again"
        )
    return replace(card, calibration=values)
