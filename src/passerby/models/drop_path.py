"""Stochastic depth: in training a residual branch is left out for some of the pictures.

Huang et al., Deep Networks with Stochastic Depth, ECCV 2016. Nothing of it is left in evaluation.
"""

from torch import nn

from passerby.errors import InputError


def check_drop_path(highest: float) -> None:
    """Check the structure option.

    Raises:
        InputError: it is not in 0..1, or 1 itself.
    """
    if not 0.0 <= highest < 1.0:
        raise InputError(f"structure option 'drop_path' {highest} is not 0 to below 1")


def drop_paths(highest: float, blocks: int) -> list[nn.Module]:
    """One for each block, of a probability that grows evenly from 0 to ``highest``."""
    if highest == 0.0:
        return [nn.Identity() for _ in range(blocks)]
    from torchvision.ops import StochasticDepth  # slow to import

    return [
        StochasticDepth(highest * number / max(blocks - 1, 1), mode="row")
        for number in range(blocks)
    ]
