"""The focal weight by which dynamic training chooses between losses (Zheng et al., CVPR 2019)."""

import torch
from torch import Tensor


def focal_weight(probability: Tensor | float, *, gamma: float = 2.0) -> Tensor:
    """FL(p) = -(1 - p)^gamma ln p, elementwise; 0 at p = 1.

    Args:
        probability: In (0, 1]: how little a loss's moving average has fallen, 1 for not at all.
        gamma: Focusing power.
    """
    p = torch.as_tensor(probability)
    p = p if p.is_floating_point() else p.double()
    return -((1 - p) ** gamma) * p.log()
