"""Start weights of a backbone from a file of torchvision, timm or Passerby."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from passerby.errors import InputError
from passerby.models.card import CARD_KEY, ModelCard
from passerby.models.checkpoints import read_state
from passerby.models.identity import BUNDLED
from passerby.models.timm_backbone import TimmBackbone
from passerby.models.vision_transformer import VisionTransformer

# what classification checkpoints hold and a re-ID backbone does not
DROPPED = ("fc.", "classifier.", "head.")
WRAPPED = "network."  # how a TimmBackbone names timm's network
COUNTER = "num_batches_tracked"
OWN = "backbone."  # how a ReidNetwork names its backbone


def own_backbone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The backbone of a network that Passerby saved; any other state comes back as it is."""
    own = {k.removeprefix(OWN): v for k, v in state.items() if k.startswith(OWN)}
    return own or state


def load_backbone(backbone: nn.Module, path: Path) -> None:
    """Load ``path`` into ``backbone``; only a head (classifier, neck) may be left over.

    Raises:
        InputError: If tensors are missing, left over or of another shape.
    """
    wanted = backbone.state_dict()
    given = own_backbone(read_state(path))
    prefix = ""
    card = start_card(path)
    size = card.input_size if card else None
    if isinstance(backbone, VisionTransformer):
        given = backbone.resampled(given, size)
    if isinstance(backbone, TimmBackbone):
        # timm's own files name what the wrapper stores one level down
        prefix = WRAPPED
        bare = {key.removeprefix(WRAPPED): value for key, value in given.items()}
        bare = backbone.resampled(bare, size)
        given = {WRAPPED + key: value for key, value in bare.items()}
    left = [key for key in given if key not in wanted]
    left = [key for key in left if not key.removeprefix(prefix).startswith(DROPPED)]
    added = _added(backbone, given)
    missing = [
        key
        for key in wanted
        if key not in given
        and not key.endswith("num_batches_tracked")
        and not key.startswith(added)
    ]
    wrong = [key for key in wanted if key in given and given[key].shape != wanted[key].shape]
    for what, keys in (("lacks", missing), ("has beyond it", left), ("differs in", wrong)):
        if keys:
            raise InputError(
                f"'{path}' does not fit the backbone: it {what} {len(keys)} tensors, the first "
                f"'{keys[0]}'; choose the file of this architecture"
            )
    backbone.load_state_dict({k: v for k, v in given.items() if k in wanted}, strict=False)


def _added(backbone: nn.Module, given: dict[str, Tensor]) -> tuple[str, ...]:
    """Prefixes of the backbone's own additions (non-local blocks ...) that the file leaves out."""
    added: tuple[str, ...] = getattr(backbone, "added", ())
    return tuple(prefix for prefix in added if not any(key.startswith(prefix) for key in given))


def start_card(weights: Path | str | None) -> ModelCard | None:
    """The card of a model file of Passerby; None for other files and for no file.

    Raises:
        InputError: If the file cannot be read.
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
