"""What the processes of a distributed run (``torchrun``) must agree on; alone, nothing happens."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, distributed

from passerby.errors import InputError

T = TypeVar("T")


def processes() -> int:
    """Number of processes that train together; 1 outside a distributed run."""
    together = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if together else 1


def gather(rows: Tensor) -> Tensor:
    """The rows (B, ...) of all processes, first process first, without gradients.

    Every process must bring the same shape, and gets the same result.
    """
    count = processes()
    if count == 1:
        return rows.detach()
    own = rows.detach().contiguous()
    parts = [torch.empty_like(own) for _ in range(count)]
    distributed.all_gather(parts, own)
    return torch.cat(parts)


def once(work: Callable[[], T]) -> T:
    """The result of ``work``, done by the first process alone and given to all.

    The result must be picklable. Bad input found by the first process is raised by all, so that
    none of them waits for ever.

    Raises:
        InputError: That of ``work``.
    """
    if processes() == 1:
        return work()
    outcome: list[T | InputError | None] = [None]
    if distributed.get_rank() == 0:
        try:
            outcome[0] = work()
        except InputError as error:
            outcome[0] = error
    distributed.broadcast_object_list(outcome, src=0)
    if isinstance(outcome[0], InputError):
        raise outcome[0]
    return outcome[0]  # type: ignore[return-value]
