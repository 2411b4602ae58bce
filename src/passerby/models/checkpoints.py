"""State dictionaries from files of any origin, without executing anything in them."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from passerby.errors import InputError

# where training code keeps the network among optimisers, epochs and scores
NESTS = ("state_dict", "model", "net", "teacher", "state_dict_1", "state_dicts")

SCALAR: Any = np.float64(0).__reduce__()[0]  # type: ignore[index]

# plain numbers that training code of numpy's days stores beside the tensors (torchreid's rank-1)
NUMBERS: list[Any] = [
    np.dtype,
    np.float32,
    np.float64,
    np.int64,
    *(type(np.dtype(kind)) for kind in ("float32", "float64", "int64")),
    (SCALAR, "numpy.core.multiarray.scalar"),
    (SCALAR, "numpy._core.multiarray.scalar"),
]


def read_state(path: Path) -> dict[str, Tensor]:
    """The network's tensors in a file of safetensors or torch, unwrapped.

    Optimisers, counters and scores beside the network are left behind, and the ``module.`` of a
    network trained on several devices.

    Raises:
        InputError: If the file is missing or damaged, or would have to execute code to be read, or
            holds no dictionary of tensors.
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
            f"from the file ({_first(error)}); save its state_dict where it was trained, and give "
            "that file"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(f"'{path}' is not a readable state dictionary: {_first(error)}") from error


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def unwrap(found: Any) -> dict[str, Tensor]:
    """The tensors of a checkpoint, out of whatever it is nested in; empty when there are none."""
    while isinstance(found, Mapping):
        nest = next((found[key] for key in NESTS if _nested(found.get(key))), None)
        if nest is None:
            return {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
        found = nest[0] if isinstance(nest, list | tuple) else nest
    return {}


def _stored(value: Tensor) -> bool:
    """Whether every number of a tensor is in the file: no sparse form, no repeated storage."""
    if value.layout != torch.strided or value.is_meta or value.is_quantized:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Mapping)
    )
