"""Ghost batch norm: one GPU normalises as several would.

Hoffer et al. (NeurIPS 2017). Under ``DataParallel`` every GPU normalises its own share of a batch;
results published with four GPUs and batches of 256 come from statistics over 64 pictures.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import InputError

Running = Literal["all", "first"]


class _Ghost(nn.modules.batchnorm._BatchNorm):
    """Batch norm over virtual batches of ``pictures`` rows each, in training."""

    pictures: int = 64
    running: Running = "all"

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, ...); in evaluation as ordinary batch norm."""
        ordinary = super().forward
        if not self.training or len(input) <= self.pictures:
            return ordinary(input)
        first, *others = virtual_batches(input, self.pictures)
        rest = ordinary if self.running == "all" else self._only_normalise
        return torch.cat([ordinary(first), *map(rest, others)])

    def _only_normalise(self, part: Tensor) -> Tensor:
        return F.batch_norm(part, None, None, self.weight, self.bias, training=True, eps=self.eps)

    def extra_repr(self) -> str:
        """Options for ``print(network)``."""
        return f"{super().extra_repr()}, pictures={self.pictures}, running={self.running}"


class GhostBatchNorm1d(_Ghost, nn.BatchNorm1d):
    """Ghost batch norm of features (B, D)."""


class GhostBatchNorm2d(_Ghost, nn.BatchNorm2d):
    """Ghost batch norm of maps (B, C, H, W)."""


_GHOSTS: dict[type[nn.Module], type[_Ghost]] = {
    nn.BatchNorm1d: GhostBatchNorm1d,
    nn.BatchNorm2d: GhostBatchNorm2d,
}


def ghost_batch_norm(network: nn.Module, pictures: int, *, running: Running = "all") -> None:
    """Make every batch norm of ``network`` normalise virtual batches of so many pictures.

    In place; parameters, buffers and state-dict keys stay what they were, and evaluation too. A
    second call changes the size. With virtual batches as large as the batch nothing changes.

    Args:
        network: Any network.
        pictures: Rows of a virtual batch, counted in the order of the batch. A rest makes a
            smaller one; a rest of one row joins the virtual batch before it.
        running: What the running statistics follow: ``"all"`` virtual batches one after another,
            or the ``"first"`` alone, as ``DataParallel`` keeps those of its first GPU.

    Raises:
        InputError: Fewer than 2 pictures, or a batch norm of another kind.
    """
    if pictures < 2:
        raise InputError(f"a virtual batch of {pictures}; statistics need at least 2 pictures")
    for name, module in network.named_modules():
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            continue
        if not isinstance(module, _Ghost):
            kind = _GHOSTS.get(type(module))
            if kind is None:
                raise InputError(
                    f"'{name}' is a {type(module).__name__}, which cannot normalise virtual "
                    "batches; train this network without ghost batch norm"
                )
            # the module stays the same object: whoever holds it, hooks and optimisers included,
            # sees the change
            module.__class__ = kind
        module.pictures, module.running = pictures, running


def virtual_batches(rows: Tensor, pictures: int) -> list[Tensor]:
    """Rows (B, ...) in parts of ``pictures``; see :func:`ghost_batch_norm` for the rest."""
    parts = list(rows.split(pictures))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [rows[(len(parts) - 2) * pictures :]]
    return parts
