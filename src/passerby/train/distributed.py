"""One run on several processes, as ``torchrun`` starts them.

Every process holds the whole network and the whole training set. Each takes its share of a batch:
forward and backward on its rows, then the mean of all gradients, then the same step. So all weights
stay equal, and a run's result does not depend on the number of processes, except for rounding.
Process 0 alone writes files.

Without ``torchrun`` there is one process, and the functions here return what they are given.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from passerby.errors import InputError

T = TypeVar("T")


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if _several() else 0


def world_size() -> int:
    """The number of processes of the run."""
    return dist.get_world_size() if _several() else 1


def is_main() -> bool:
    """Whether this process writes the files and shows the progress."""
    return rank() == 0


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()


@contextlib.contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the other processes that ``torchrun`` started; leave them at the end of the block.

    Messages go through gloo on CPUs and through NCCL between GPUs. Without ``torchrun``, or within
    another such block, this changes nothing.

    Args:
        device: The process's device, see :func:`passerby.train.device.find_device`.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or _several():
        yield
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
        dist.init_process_group("cpu:gloo,cuda:nccl")
    else:
        dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """Run the block on process 0 first, then on all others, which read what process 0 made."""
    if _several() and not is_main():
        dist.barrier()
    try:
        yield
    finally:
        if _several() and is_main():
            dist.barrier()


def gather(rows: Tensor) -> Tensor:
    """The rows (B / W, ...) of all W processes, in order, as (B, ...); differentiable.

    A loss that compares the images of a batch needs this: with gathered features and labels
    batch-hard mining sees the whole batch, and every process computes the same loss. Gradients flow
    back to the process that a row came from.
    """
    if world_size() == 1:
        return rows
    if rows.requires_grad:
        gathered: Tensor = _Gather.apply(rows)
        return gathered
    return _collect(rows)


def _collect(rows: Tensor) -> Tensor:
    rows = rows.contiguous()
    parts = [torch.empty_like(rows) for _ in range(world_size())]
    dist.all_gather(parts, rows)
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    """Gathers rows; sums their gradients over the processes.

    The gradients of all processes are averaged afterwards. When each of the W processes computes
    the same loss L of the gathered rows, the sum here is W dL/drow, and the average is dL/drow.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.count = len(rows)
        return _collect(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        whole = gradients[0].contiguous()
        dist.all_reduce(whole)
        start = rank() * ctx.count
        return whole[start : start + ctx.count]


def mean(values: Tensor) -> Tensor:
    """The mean of ``values`` over the processes, without gradient: the same number on each.

    A value that decides how a run goes on, such as a running mean of a loss, must be the same on
    every process.
    """
    values = values.detach()
    if world_size() == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / world_size()


def agree(decision: bool) -> bool:
    """Process 0's decision, on every process."""
    if world_size() == 1:
        return decision
    # on the CPU, where no GPU has to wait for it
    decided = torch.tensor(decision, dtype=torch.uint8)
    dist.broadcast(decided, 0)
    return bool(decided)


def once(work: Callable[[], T]) -> T:
    """Run ``work`` on process 0 alone and return its result on all, such as pseudo labels.

    Args:
        work: Returns something that can be pickled.

    Raises:
        InputError: That of ``work``, on every process, so that none waits for ever.
    """
    if world_size() == 1:
        return work()
    outcome: list[Any] = [None]
    if is_main():
        try:
            outcome[0] = work()
        except InputError as error:
            outcome[0] = InputError(str(error))
    dist.broadcast_object_list(outcome, src=0)
    if isinstance(outcome[0], InputError):
        raise outcome[0]
    result: T = outcome[0]
    return result


def share(batch: Tensor) -> Tensor:
    """This process's contiguous part of ``batch``'s rows, whose number W divides."""
    return batch.chunk(world_size())[rank()]


def check_divisible(rows: int, parts: int, group: int) -> None:
    """Check that a batch can be cut evenly between its groups.

    Raises:
        InputError: If ``rows`` is no multiple of parts x processes x ``group``.
    """
    if rows % (parts * world_size() * group):
        groups = f"{rows // group} groups of {group}" if group > 1 else f"{rows} images"
        raise InputError(
            f"a batch of {groups} cannot be cut into {parts} equal parts for {world_size()} "
            "processes; change the batch, the parts or the processes"
        )


def check_equal(values: list[int]) -> None:
    """Check that ``values`` are the same on every process.

    Raises:
        InputError: If they differ.
    """
    if world_size() > 1:
        everywhere = _collect(torch.tensor([values]))
        if not bool((everywhere == everywhere[:1]).all()):
            raise InputError(
                "the processes stand at different steps; all must see the same run folder"
            )


def portion(count: int) -> slice:
    """This process's contiguous part of ``count`` rows; the last ones may have fewer, or none."""
    size = -(-count // world_size())
    return slice(min(rank() * size, count), min((rank() + 1) * size, count))


def join(rows: Tensor, count: int) -> Tensor:
    """The ``count`` rows (N, D) of which each process has its :func:`portion`."""
    if world_size() == 1:
        return rows
    size = -(-count // world_size())
    padded = rows.new_zeros(size, *rows.shape[1:])
    padded[: len(rows)] = rows
    return _collect(padded)[:count]


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes.

    Gradients are sent in one flat message of fixed layout after the backward pass. Torch's own
    ``DistributedDataParallel`` sends buckets in the order in which the first pass fills them. Sums
    of more than two floats depend on the buckets, and a resumed run must add as the uninterrupted
    one did. Parameters without a gradient (the same ones on every process) are left out.
    """
    if world_size() > 1:
        average([p.grad for p in parameters if p.grad is not None])


@torch.no_grad()
def average(tensors: list[Tensor]) -> None:
    """Replace floating-point tensors by their means over the processes, in place."""
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    parts = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(
        tensors, [part.view(t.shape) for part, t in zip(parts, tensors, strict=True)]
    )


def average_buffers(network: nn.Module) -> None:
    """Replace the network's floating-point buffers by their means over the processes."""
    if world_size() > 1:
        average([b for b in network.buffers() if b.is_floating_point()])
