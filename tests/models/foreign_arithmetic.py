"""What the published transformers are written out with: names, shapes and small layers."""

from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def norm_shapes(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def linear_shapes(name: str, inputs: int, outputs: int, *, bias: bool = True) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (outputs, inputs)}
    return shapes | ({f"{name}.bias": (outputs,)} if bias else {})


def neck_shapes(name: str, width: int) -> Shapes:
    shapes = norm_shapes(name, width)
    shapes |= {f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}
    return shapes | {f"{name}.num_batches_tracked": ()}


def layer_norm(s: State, name: str, x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], s[f"{name}.weight"], s[f"{name}.bias"], eps)


def linear(s: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, s[f"{name}.weight"], s.get(f"{name}.bias"))
