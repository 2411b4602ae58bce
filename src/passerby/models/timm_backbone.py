"""Any backbone of timm as a feature map."""

from typing import Any

from torch import Tensor, nn

from passerby.errors import InputError, MissingExtraError


class TimmBackbone(nn.Module):
    """A timm network without its head: (B, 3, H, W) -> (B, D, h, w).

    Convolutional networks give their last map. Transformers give their pooled token as a map of
    one position, so that the pooling behind it changes nothing.
    """

    def __init__(self, name: str, *, last_stride: int = 1, input_size: tuple[int, int]) -> None:
        """Create ``name`` with random weights.

        Raises:
            InputError: If timm has no network of that name. (Names that make timm fetch files,
                such as ``hf-hub:``, are not names of networks.)
        """
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise MissingExtraError("timm", "timm") from error
        if not timm.is_model(name):
            near = timm.list_models(f"*{name.split('_', maxsplit=1)[0]}*")[:5]
            hint = f"; near it: {', '.join(near)}" if near else ""
            raise InputError(f"timm {timm.__version__} has no network '{name}'{hint}")
        network: Any = timm.create_model(name, pretrained=False, num_classes=0)
        if hasattr(network, "set_input_size"):
            network.set_input_size(img_size=input_size)
        self.network: Any = network
        self.dimension = int(network.num_features)
        if last_stride == 1:
            remove_last_stride(network)

    def forward(self, images: Tensor) -> Tensor:
        """Feature map of normalised pictures."""
        features = self.network.forward_features(images)
        if features.ndim == 4 and features.shape[1] == self.dimension:
            return features
        if features.ndim == 4:  # (B, h, w, D): Swin and its relatives
            return features.permute(0, 3, 1, 2)
        return self.network.forward_head(features, pre_logits=True)[:, :, None, None]


def remove_last_stride(network: nn.Module) -> None:
    """Set the strides in the first block of a ResNet-like ``layer4`` to 1; others stay."""
    stage = getattr(network, "layer4", None)
    if not isinstance(stage, nn.Sequential):
        return
    for module in stage[0].modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.stride = (1, 1)
        if isinstance(module, nn.AvgPool2d) and module.stride in (2, (2, 2)):
            # ResNet-D averages 2x2 before the projection: with stride 1 that would shrink the map
            module.kernel_size = module.stride = 1
