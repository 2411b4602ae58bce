"""Networks in safetensors files, each with its card in the header."""

import json
import re
import shutil
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from passerby.errors import InputError, one_line
from passerby.files import replacing
from passerby.models.build import build
from passerby.models.card import CARD_KEY, ModelCard
from passerby.models.network import ReidNetwork

CLASSIFIER = ("classifier.", "classifiers.")
CLASS_WEIGHTS = re.compile(r"classifiers?(\.\d+)?\.weight")
METADATA = "__metadata__"
ALIGNED = 8  # bytes; the tensors of a file begin at a multiple of this


def save(
    network: ReidNetwork,
    card: ModelCard,
    path: Path | str,
    *,
    half: bool = False,
    classifier: bool = False,
) -> None:
    """Write ``network`` with its ``card`` into a file, which appears complete or not at all.

    Args:
        network: The network, in any mode and on any device.
        card: The card of the file.
        path: The file to write, ``.safetensors``.
        half: Whether to store floats in 16 bits. That is half the size, and features change by
            about 1e-3.
        classifier: Whether to keep the classifier of the training identities. A test does not
            need it.

    Example:
        >>> import tempfile
        >>> from passerby.models import build, load
        >>> network = build("slim18")
        >>> card = ModelCard(
        ...     architecture="slim18", dimension=network.dimension, input_size=(128, 64)
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(network, card, Path(folder, "network.safetensors"))
        ...     again, its_card = load(Path(folder, "network.safetensors"))
        >>> its_card.input_size
        (128, 64)
    """
    tensors = {
        key: _stored(value, half)
        for key, value in network.state_dict().items()
        if classifier or not key.startswith(CLASSIFIER)
    }
    write_tensors(tensors, {CARD_KEY: card.to_json()}, path)


def write_tensors(tensors: dict[str, Tensor], metadata: dict[str, str], path: Path | str) -> None:
    """Write a safetensors file, which appears complete or not at all."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as partial:
        save_file(tensors, partial, metadata=metadata)


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value.half() if half and value.is_floating_point() else value


def read_card(path: Path | str) -> ModelCard:
    """Read the card of a weights file, without its tensors.

    Raises:
        InputError: The file is not a complete safetensors file with a card.
    """
    return _read(Path(path), tensors=False)[0]


def load(path: Path | str) -> tuple[ReidNetwork, ModelCard]:
    """Read a network, in evaluation mode (float32, CPU), and its card.

    Raises:
        InputError: The file is missing, damaged, without a card, or of another architecture than
            its card says.
    """
    path = Path(path)
    card, state = _read(path, tensors=True)
    network = build(
        card.architecture,
        num_classes=count_classes(state),
        last_stride=card.last_stride,
        pooling=card.pooling,
        neck=card.neck,
        feature=card.feature,  # type: ignore[arg-type]
        input_size=card.input_size,
        structure=card.structure,
    )
    fill(network, state, path, "network")
    if network.dimension != card.dimension:
        raise InputError(
            f"'{path}': the card says {card.dimension} dimensions, the network has "
            f"{network.dimension}; the file was put together wrongly"
        )
    return network.eval(), card


def fill(module: nn.Module, state: dict[str, Tensor], path: Path, what: str) -> None:
    """Load the tensors of a file into the ``module`` that its card describes.

    Raises:
        InputError: The tensors are not those of the module; the message calls it ``what``.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"'{path}' does not hold the {what} of its card: {one_line(error)}"
        ) from error


def count_classes(state: dict[str, Tensor]) -> int:
    """Count the classes C of classifiers' weights (C, D) or (heads, C, D); 0 without."""
    for key, value in state.items():
        if CLASS_WEIGHTS.fullmatch(key):
            return int(value.shape[-2])
    return 0


def _read(path: Path, *, tensors: bool) -> tuple[ModelCard, dict[str, Tensor]]:
    metadata, state = read_tensors(path, tensors=tensors)
    if CARD_KEY not in metadata:
        raise InputError(
            f"'{path}' has no model card; convert a foreign checkpoint, or train one with passerby"
        )
    return ModelCard.from_json(metadata[CARD_KEY]), state


def read_tensors(path: Path, *, tensors: bool = True) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read the metadata and, where ``tensors``, the tensors of a safetensors file.

    Floats are returned as float32.

    Raises:
        InputError: The file is missing or no complete safetensors file.
    """
    if not path.is_file():
        raise InputError(f"no model file at '{path}'; give the path of a .safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in list(file.keys())} if tensors else {}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"'{path}' is no whole safetensors file: {error}") from error
    return metadata, {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def rewrite_card(path: Path | str, card: ModelCard) -> None:
    """Replace the card of a weights file; the bytes of its tensors stay the same.

    The file is replaced completely or not at all. A process that reads it meanwhile sees the old
    file.

    Args:
        path: A weights file of Passerby, ``.safetensors``.
        card: The new card.

    Raises:
        InputError: The file is no complete weights file with a card, or cannot be written.
    """
    path = Path(path).resolve()  # a link stays a link
    read_card(path)
    try:
        with replacing(path) as partial, path.open("rb") as source, partial.open("wb") as target:
            header = json.loads(source.read(int.from_bytes(source.read(8), "little")))
            header[METADATA][CARD_KEY] = card.to_json()
            text = json.dumps(header, ensure_ascii=False).encode()
            text += b" " * (-len(text) % ALIGNED)
            target.write(len(text).to_bytes(8, "little") + text)
            shutil.copyfileobj(source, target, 1 << 20)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from None
