"""Where a network's calibration is kept: in its card, or in a file beside a foreign network.

A Passerby weights file carries its calibration in its card. An ONNX or OpenVINO file is not
rewritten: ``<file>.calibration.json`` beside it (``net.onnx.calibration.json``) goes before what
the card says, and holds for the network of its ``model`` alone.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from passerby.errors import InputError
from passerby.metrics import Calibration
from passerby.models import ModelCard, read_card
from passerby.models.files import rewrite_card
from passerby.models.identity import BUNDLED, find_file

WEIGHTS = ".safetensors"


def calibration_file(path: Path) -> Path:
    """Where the calibration of the network file ``path`` is written."""
    return path if path.suffix == WEIGHTS else path.with_name(path.name + ".calibration.json")


def own_file(name_or_path: str | Path) -> Path:
    """The file of a network that may be calibrated.

    Raises:
        InputError: It does not exist, or is the bundled network, which belongs to the package.
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
    """Keep a calibration with its network: in the card, or in a file beside a foreign network.

    Args:
        name_or_path: As given to :meth:`passerby.runtime.Embedder.load`.
        calibration: The card's field, as :meth:`passerby.metrics.Calibrated.as_card` makes it.
        model_id: The embedder's, for a file beside the network.

    Returns:
        The file that was written.

    Raises:
        InputError: The bundled network, which belongs to the package; a file that cannot be
            written; no rising logistic curve.
    """
    path = own_file(name_or_path)
    Calibration.from_card(calibration)
    if path.suffix == WEIGHTS:
        rewrite_card(path, replace(read_card(path), calibration=calibration))
        return path
    target = calibration_file(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    text = json.dumps({"model": model_id, **calibration}, indent=2)
    try:
        partial.write_text(text + "\n", encoding="utf-8")
        os.replace(partial, target)
    except OSError as error:
        raise InputError(f"cannot write '{target}': {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    return target


def with_calibration(path: Path, card: ModelCard, model_id: str) -> ModelCard:
    """The card with the calibration of the file beside the network, where there is one.

    Raises:
        InputError: The file is damaged, or of another network.
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
