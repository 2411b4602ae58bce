"""The file of a network, and the id that its vectors carry."""

import hashlib
import json
from pathlib import Path

from passerby.errors import InputError
from passerby.models.card import ModelCard

BUNDLED = Path(__file__).parent / "weights" / "default.safetensors"


def find_file(name_or_path: str | Path) -> Path:
    """Resolve "default", a path, or the name of a pulled network to an existing file.

    Raises:
        InputError: There is no such file, or the published network of that name is not pulled yet.
    """
    if str(name_or_path) == "default":
        if not BUNDLED.is_file():
            raise InputError(
                "this copy of Passerby has no bundled network; give the path of a network file"
            )
        return BUNDLED
    path = Path(name_or_path)
    if not path.is_file():
        if pulled := _pulled(str(name_or_path)):
            return pulled
        what = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(
            f"the network file '{path}' {what}; give 'default', a network file, or a name of "
            "'passerby models list'"
        )
    return path


def _pulled(name: str) -> Path | None:
    from passerby.models import zoo

    entry = zoo.entries().get(name)
    if entry is None:
        return None
    if entry.detects:
        raise InputError(f"'{name}' is a person detector; give it to --detector, not to --model")
    path = zoo.pulled(name)
    if path is None:
        raise InputError(f"'{name}' is not here yet; run: passerby models pull {name}")
    return path


def content_id(card: ModelCard, *files: Path) -> str:
    """Compute the id of a network: its architecture and a hash of all that decides its vectors.

    Notes, scores and calibration in the card do not count, as they change no vector.

    Args:
        card: The card of the network.
        *files: The files of the network; of safetensors files only the tensors count.
    """
    digest = hashlib.sha256()
    preprocessing = [
        *(card.architecture, card.input_size, card.mean, card.std, card.colour_order),
        *(card.value_range, card.interpolation, card.feature),
    ]
    # options that change the vectors but not the shapes of the tensors; defaults are left out, so
    # that ids of older files stay the same
    usual = {"last_stride": 1, "pooling": "average", "structure": {}}
    unusual = {k: getattr(card, k) for k, v in usual.items() if getattr(card, k) != v}
    digest.update(
        json.dumps([*preprocessing, unusual] if unusual else preprocessing, sort_keys=True).encode()
    )
    for file in files:
        with file.open("rb") as stream:
            if file.suffix == ".safetensors":  # 8 bytes of length, the JSON header, the tensors
                stream.seek(8 + int.from_bytes(stream.read(8), "little"))
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return f"{card.architecture}-{digest.hexdigest()[:12]}"
