"""State dictionaries from files of any origin, and start weights for a backbone.

No code in a file is executed.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from passerby.errors import InputError, one_line
from passerby.models.card import CARD_KEY, IMAGENET_MEAN, IMAGENET_STD, ModelCard
from passerby.models.identity import BUNDLED
from passerby.models.timm_backbone import TimmBackbone, import_timm
from passerby.models.vision_transformer import VisionTransformer

# where training code keeps the network among optimisers, epochs and scores
NESTS = ("state_dict", "model", "net", "teacher", "state_dict_1", "state_dicts")

SCALAR: Any = np.float64(0).__reduce__()[0]

# plain numpy numbers that older training code stores beside the tensors (torchreid's rank-1)
NUMBERS: list[Any] = [
    np.dtype,
    np.float32,
    np.float64,
    np.int64,
    *(type(np.dtype(kind)) for kind in ("float32", "float64", "int64")),
    (SCALAR, "numpy.core.multiarray.scalar"),
    (SCALAR, "numpy._core.multiarray.scalar"),
]

# what classification checkpoints hold and a re-ID backbone does not
DROPPED = ("fc.", "classifier.", "head.")
TIMM = "timm:"
WRAPPED = "network."  # prefix of timm's network in a TimmBackbone
COUNTER = "num_batches_tracked"
OWN = "backbone."  # prefix of the backbone in a ReidNetwork


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the network's tensors from a file of safetensors or torch.

    Optimisers, counters and scores beside the network are left out. The prefix ``module.`` of a
    network trained on several devices is removed. Nothing in the file is executed.

    Raises:
        InputError: The file is missing or damaged, reading it would execute code, or it holds no
            dictionary of tensors.
    """
    if not path.is_file():
        raise InputError(f"no weights file at '{path}'; give the path of a state dictionary")
    state = unwrap(_read(path))
    if not state:
        raise InputError(f"'{path}' holds no plain dictionary of tensors; export a state_dict")
    odd = [key for key, value in state.items() if not _stored(value)]
    if odd:
        raise InputError(
            f"'{path}' does not store all of its tensor '{min(odd)}'; it is damaged, or was put "
            "together to claim more than it holds"
        )
    return {key.removeprefix("module."): value for key, value in state.items()}


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(NUMBERS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"'{path}' holds Python objects besides tensors, and reading them would execute code "
            f"from the file ({one_line(error)}); save its state_dict where it was trained, and "
            "give that file"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(
            f"'{path}' is not a readable state dictionary: {one_line(error)}"
        ) from error


def unwrap(found: Any) -> dict[str, Tensor]:
    """Take the tensors out of a nested checkpoint; empty when there are none."""
    while isinstance(found, Mapping):
        nest = next((found[key] for key in NESTS if _nested(found.get(key))), None)
        if nest is None:
            return {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
        found = nest[0] if isinstance(nest, list | tuple) else nest
    return {}


def _stored(value: Tensor) -> bool:
    """Whether the file holds every number of a tensor: no sparse form, no repeated storage."""
    if value.layout != torch.strided or value.is_meta or value.is_quantized:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Mapping)
    )


def own_backbone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Select the backbone of a network that Passerby saved; return any other state unchanged."""
    own = {k.removeprefix(OWN): v for k, v in state.items() if k.startswith(OWN)}
    return own or state


def load_backbone(backbone: nn.Module, path: Path) -> None:
    """Load start weights into ``backbone``; the file may also hold a head (classifier, neck).

    Raises:
        InputError: Tensors are missing, extra or of another shape.
    """
    card = start_card(path)
    size = card.input_size if card else None
    load_start(backbone, own_backbone(read_state(path)), f"'{path}'", size)


def load_start(
    backbone: nn.Module,
    given: dict[str, Tensor],
    source: str,
    size: tuple[int, int] | None = None,
) -> None:
    """Load the tensors ``given`` from ``source`` into ``backbone``.

    Args:
        backbone: The network without head.
        given: Names of torchvision, timm or Passerby -> tensors; a head is left out.
        source: Names where they come from, in errors.
        size: The input size (H, W) they are for, where known.

    Raises:
        InputError: Tensors are missing, extra or of another shape.
    """
    wanted = backbone.state_dict()
    prefix = ""
    if isinstance(backbone, VisionTransformer):
        given = backbone.resampled(given, size)
    if isinstance(backbone, TimmBackbone):
        # timm's own files name what the wrapper stores one level down
        prefix = WRAPPED
        bare = {key.removeprefix(WRAPPED): value for key, value in given.items()}
        bare = backbone.resampled(bare, size)
        given = {WRAPPED + key: value for key, value in bare.items()}
    extra = [
        key
        for key in given
        if key not in wanted and not key.removeprefix(prefix).startswith(DROPPED)
    ]
    added = _added(backbone, given)
    missing = [
        key
        for key in wanted
        if key not in given and not key.endswith(COUNTER) and not key.startswith(added)
    ]
    wrong = [key for key in wanted if key in given and given[key].shape != wanted[key].shape]
    for what, keys in (("lacks", missing), ("has beyond it", extra), ("differs in", wrong)):
        if keys:
            raise InputError(
                f"{source} does not fit the backbone: it {what} {len(keys)} tensors, the first "
                f"'{keys[0]}'; choose the file of this architecture"
            )
    backbone.load_state_dict({k: v for k, v in given.items() if k in wanted}, strict=False)


def _added(backbone: nn.Module, given: dict[str, Tensor]) -> tuple[str, ...]:
    """List prefixes of the backbone's additions (non-local blocks ...) that the file lacks."""
    added: tuple[str, ...] = getattr(backbone, "added", ())
    return tuple(prefix for prefix in added if not any(key.startswith(prefix) for key in given))


def start_card(weights: Path | str | None) -> ModelCard | None:
    """Read the card of a model file of Passerby; None for other files and for no file.

    Raises:
        InputError: The file cannot be read.
    """
    if weights is None:
        return None
    path = BUNDLED if str(weights) == "default" else Path(weights)
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(CARD_KEY)
    except (OSError, SafetensorError) as error:
        raise InputError(f"'{path}' is no readable weights file: {error}") from error
    return ModelCard.from_json(text) if text else None


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How pictures are prepared for a network; these are fields of its card.

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
    """Find how pictures were prepared for an architecture's start weights.

    A model file of Passerby says so in its card. Networks of timm have their own values (a ViT
    often 0.5 and 0.5). All others have those of ImageNet. Train with these values and write them
    into the card.

    Args:
        architecture: As :func:`passerby.models.build` takes it.
        weights: The file of the start weights, ``"default"`` for the bundled network, or None.

    Raises:
        InputError: timm has no such network, or the file cannot be read.
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
