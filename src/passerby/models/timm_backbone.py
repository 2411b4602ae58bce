"""Any backbone of timm as a feature map."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from passerby.errors import InputError, MissingExtraError, one_line
from passerby.models.structure import check_probability

Tokens = Literal["auto", "class", "average", "map"]


@dataclass(frozen=True, kw_only=True)
class TimmStructure:
    """Options of a network of timm.

    Attributes:
        tokens: The output of a transformer: ``"auto"`` its own pooling (ViT: the class token),
            ``"class"`` the class token, ``"average"`` the mean of the patch tokens, or ``"map"``
            the patch tokens as a map (B, D, h, w), which stripes and poolings need.
        drop_path: Probability with which training leaves out a residual branch (stochastic
            depth). Re-ID transformers are fine-tuned with 0.1.
    """

    tokens: Tokens = "auto"
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        """Check the probability."""
        check_probability(self, "drop_path")


DEFAULTS = TimmStructure()


class TimmBackbone(nn.Module):
    """A timm network without its head: (B, 3, H, W) -> (B, D, h, w).

    Convolutional networks and Swin give their last map. Transformers give one vector in the form of
    a map of one position, or their patch tokens as a map. Position embeddings are resampled to the
    input size, also those of loaded weights. Parameters on which no feature depends (those of the
    head) are kept but frozen.
    """

    def __init__(
        self,
        name: str,
        *,
        last_stride: int = 1,
        input_size: tuple[int, int],
        structure: TimmStructure = DEFAULTS,
    ) -> None:
        """Create ``name`` with random weights.

        Raises:
            InputError: timm has no network of that name, or the network does not take the size or
                the token option. Names that make timm fetch files, such as ``hf-hub:``, are not
                names of networks.
        """
        super().__init__()
        self.name = name
        self.structure = structure
        self.input_size = input_size
        self.network: Any = create(name, input_size, structure)
        self.dimension = int(self.network.num_features)
        if last_stride == 1:
            remove_last_stride(self.network)
        self._probe()

    @property
    def token_output(self) -> bool:
        """Whether the network is a transformer whose output is one vector."""
        return hasattr(self.network, "num_prefix_tokens") and self.structure.tokens != "map"

    def forward(self, images: Tensor) -> Tensor:
        """Compute the feature map of normalised pictures."""
        return self._map(self.network, images)

    def _map(self, network: Any, images: Tensor) -> Tensor:
        features: Tensor = network.forward_features(images)
        if features.ndim == 4 and features.shape[1] == self.dimension:
            return features
        if features.ndim == 4:  # (B, h, w, D): Swin and its relatives
            return features.permute(0, 3, 1, 2)
        if self.structure.tokens == "auto":
            pooled: Tensor = network.forward_head(features, pre_logits=True)
            return pooled[:, :, None, None]
        if self.structure.tokens == "class":
            return features[:, 0, :, None, None]
        patches = features[:, network.num_prefix_tokens :].transpose(1, 2)
        if self.structure.tokens == "average":
            return patches.mean(dim=2)[:, :, None, None]
        maps: Tensor = patches.unflatten(2, network.patch_embed.grid_size)
        return maps

    def _probe(self) -> None:
        """Run a copy without data, to check the size and to find the parameters that matter."""
        tokens = getattr(self.network, "num_prefix_tokens", 0)
        if self.structure.tokens == "class" and not tokens:
            raise InputError(f"timm's '{self.name}' has no class token; leave 'tokens' at auto")
        try:
            with torch.device("meta"), torch.enable_grad():
                twin = create(self.name, self.input_size, self.structure)
                self._map(twin, torch.empty(2, 3, *self.input_size)).sum().backward()
        except NotImplementedError:
            return  # an operation that PyTorch cannot run without data
        except (AssertionError, RuntimeError, ValueError, AttributeError) as error:
            raise InputError(
                f"timm's '{self.name}' does not run on {self.input_size} pixels with tokens "
                f"'{self.structure.tokens}': {one_line(error)}"
            ) from error
        unused = {name for name, p in twin.named_parameters() if p.grad is None}
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and name not in unused)

    def resampled(
        self, state: dict[str, Tensor], size: tuple[int, int] | None
    ) -> dict[str, Tensor]:
        """Resample the position embeddings in ``state`` to this network's input size.

        Args:
            state: The state of the bare timm network; keys of heads may be missing or extra.
            size: (H, W) of the pictures of ``state``; None for the network's usual size.
        """
        own = self.network.state_dict()
        same = all(state[key].shape == own[key].shape for key in own if key in state)
        if same or not hasattr(self.network, "set_input_size"):
            return state
        twin = create(self.name, size, self.structure)
        theirs = twin.state_dict()
        fitting = {k: v for k, v in state.items() if k in theirs and v.shape == theirs[k].shape}
        if any(key not in fitting for key in theirs if key in state):
            return state  # the size is not the reason; the caller reports the difference
        twin.load_state_dict(fitting, strict=False)
        with _quiet():
            twin.set_input_size(img_size=self.input_size)
        return {**state, **{k: v for k, v in twin.state_dict().items() if k in fitting}}


def create(name: str, size: tuple[int, int] | None, structure: TimmStructure) -> Any:
    """Make timm's network ``name`` without a classifier, for pictures of ``size`` (H, W)."""
    timm = import_timm()
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('_', maxsplit=1)[0]}*")[:5]
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise InputError(f"timm {timm.__version__} has no network '{name}'{hint}")
    options = {"drop_path_rate": structure.drop_path} if structure.drop_path else {}
    try:
        network: Any = timm.create_model(name, pretrained=False, num_classes=0, **options)
    except TypeError as error:
        raise InputError(f"timm's '{name}' does not take the option drop_path") from error
    if size is not None and hasattr(network, "set_input_size"):
        try:
            with _quiet():
                network.set_input_size(img_size=size)
        except (AssertionError, ValueError, RuntimeError) as error:
            raise InputError(f"timm's '{name}' does not take {size} pixels: {error}") from error
    return network


def import_timm() -> Any:
    """Import timm.

    Raises:
        MissingExtraError: timm is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm", "timm") from error
    return timm


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's, about timm's interpolation
        yield


def remove_last_stride(network: nn.Module) -> None:
    """Set the strides in the first block of a ResNet-like ``layer4`` to 1."""
    stage = getattr(network, "layer4", None)
    if not isinstance(stage, nn.Sequential):
        return
    for module in stage[0].modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.stride = (1, 1)
        if isinstance(module, nn.AvgPool2d) and module.stride in (2, (2, 2)):
            # ResNet-D averages 2x2 before the projection: with stride 1 that would shrink the map
            module.kernel_size = module.stride = 1
