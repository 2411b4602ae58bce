"""Ghost batch norm: statistics over parts of a batch, independent of the number of GPUs.

Hoffer et al. (NeurIPS 2017). Under ``DataParallel`` every GPU normalises its own share of a batch.
Results published with four GPUs and batches of 256 therefore use statistics over 64 pictures.
"""

from typing import Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from passerby.errors import InputError

Running = Literal["all", "first"]


class GhostBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm that normalises virtual batches of ``pictures`` rows each in training.

    With several processes each normalises its own share of the batch. The running statistics
    follow the virtual batches of all processes.
    """

    pictures: int = 64
    running: Running = "all"

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, ...); in evaluation this is ordinary batch norm."""
        ordinary = super().forward
        if not self.training:
            return ordinary(input)
        first, *others = virtual_batches(input, self.pictures)
        before = self._running().clone() if _processes() > 1 else None
        rest = ordinary if self.running == "all" else self._only_normalise
        normalised = [ordinary(first), *map(rest, others)]
        if before is not None:
            self._follow_all_processes(before, len(input))
        return torch.cat(normalised) if others else normalised[0]

    def _only_normalise(self, part: Tensor) -> Tensor:
        return F.batch_norm(part, None, None, self.weight, self.bias, training=True, eps=self.eps)

    @torch.no_grad()
    def _follow_all_processes(self, before: Tensor, count: int) -> None:
        """Set the running statistics to those of one process with the whole batch.

        Args:
            before: The running statistics before this batch (2, C).
            count: Rows of this process's share.

        Raises:
            InputError: A virtual batch would be split between two processes.
        """
        if count % self.pictures:
            raise InputError(
                f"a process's share of {count} pictures cannot be cut into virtual batches of "
                f"{self.pictures}; change the batch, the virtual batch or the processes"
            )
        assert self.momentum is not None
        steps = count // self.pictures if self.running == "all" else 1
        # k steps r <- (1 - m) r + m s make r <- (1 - m)^k r + (what the s add)
        kept = (1 - self.momentum) ** steps
        added = self._running() - kept * before
        parts = [torch.empty_like(added) for _ in range(_processes())]
        distributed.all_gather(parts, added)
        for part in parts if self.running == "all" else parts[:1]:
            before = kept * before + part
        self.running_mean.copy_(before[0])  # type: ignore[union-attr]
        self.running_var.copy_(before[1])  # type: ignore[union-attr]
        if self.running == "all":
            self.num_batches_tracked.add_(steps * (len(parts) - 1))  # type: ignore[union-attr]

    def _running(self) -> Tensor:
        """Stack the running mean and variance (2, C)."""
        return torch.stack([self.running_mean, self.running_var])  # type: ignore[list-item]

    def extra_repr(self) -> str:
        """Return the options for ``print(network)``."""
        base = super().extra_repr()  # type: ignore[no-untyped-call]
        return f"{base}, pictures={self.pictures}, running={self.running}"


class GhostBatchNorm1d(GhostBatchNorm, nn.BatchNorm1d):
    """Ghost batch norm of features (B, D)."""


class GhostBatchNorm2d(GhostBatchNorm, nn.BatchNorm2d):
    """Ghost batch norm of maps (B, C, H, W)."""


def _ghost(module: nn.Module) -> type[GhostBatchNorm] | None:
    """Return the ghost class of a batch norm or of a subclass that computes the same (BNNeck)."""
    if type(module).forward is not nn.BatchNorm1d.forward:
        return None
    if isinstance(module, nn.BatchNorm1d):
        return GhostBatchNorm1d
    return GhostBatchNorm2d if isinstance(module, nn.BatchNorm2d) else None


def ghost_batch_norm(network: nn.Module, pictures: int, *, running: Running = "all") -> None:
    """Make every batch norm of ``network`` normalise virtual batches of so many pictures.

    The change is in place. Parameters, buffers, state-dict keys and evaluation stay the same. A
    second call changes the size. Virtual batches as large as the batch change nothing.

    Args:
        network: Any network.
        pictures: Rows of a virtual batch, in the order of the batch. Remaining rows make a smaller
            one; a single remaining row joins the virtual batch before it.
        running: Which virtual batches the running statistics follow: ``"all"``, one after another,
            or only the ``"first"``, as ``DataParallel`` keeps those of its first GPU.

    Raises:
        InputError: ``pictures`` is below 2, or a batch norm is of another kind or has no running
            statistics with a momentum.
    """
    if pictures < 2:
        raise InputError(f"a virtual batch of {pictures}; statistics need at least 2 pictures")
    for name, module in network.named_modules():
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            continue
        if not isinstance(module, GhostBatchNorm):
            kind = _ghost(module)
            if kind is None or module.momentum is None or module.running_mean is None:
                raise InputError(
                    f"'{name}' is a {type(module).__name__} that cannot normalise virtual "
                    "batches; train this network without ghost batch norm"
                )
            # the module stays the same object, so that hooks and optimisers keep their references
            module.__class__ = kind
        assert isinstance(module, GhostBatchNorm)
        module.pictures, module.running = pictures, running


def virtual_batches(rows: Tensor, pictures: int) -> list[Tensor]:
    """Split rows (B, ...) into parts of ``pictures``; see :func:`ghost_batch_norm`."""
    parts = list(rows.split(pictures))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [rows[(len(parts) - 2) * pictures :]]
    return parts


def _processes() -> int:
    several = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if several else 1
