"""Another card for a weights file, whose tensors stay as they are."""

import json
import os
import shutil
from pathlib import Path

from passerby.errors import InputError
from passerby.models.card import CARD_KEY, ModelCard
from passerby.models.files import read_card

METADATA = "__metadata__"
ALIGNED = 8  # the tensors begin at a multiple of this


def rewrite_card(path: Path | str, card: ModelCard) -> None:
    """Put ``card`` into a weights file, byte for byte the same behind its header.

    The file is replaced whole or not at all; what reads it meanwhile sees the old one.

    Args:
        path: A weights file of passerby, ``.safetensors``.
        card: What the file shall say of itself.

    Raises:
        InputError: It is no whole weights file with a card, or cannot be written.
    """
    path = Path(path).resolve()  # a link stays a link
    read_card(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with path.open("rb") as source, partial.open("wb") as target:
            header = json.loads(source.read(int.from_bytes(source.read(8), "little")))
            header[METADATA][CARD_KEY] = card.to_json()
            text = json.dumps(header, ensure_ascii=False).encode()
            text += b" " * (-len(text) % ALIGNED)
            target.write(len(text).to_bytes(8, "little") + text)
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        shutil.copymode(path, partial)
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
