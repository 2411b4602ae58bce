"""Batch normalisation whose statistics are those of all processes' images."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from passerby.errors import InputError
from passerby.models.ghost_norm import GhostBatchNorm
from passerby.train.distributed import world_size


@contextlib.contextmanager
def global_statistics(network: nn.Module, *, enabled: bool) -> Iterator[None]:
    """Normalise by the statistics of the whole batch in training passes within the context.

    ``torch.nn.SyncBatchNorm`` does the same on GPUs alone; this runs on every device. Ghost batch
    norm handles several processes itself and stays unchanged.

    Raises:
        InputError: If a layer normalises in a way of its own, such as one with its activation.
    """
    if not enabled or world_size() == 1:
        yield
        return
    layers = dict(_layers(network))
    for name, layer in layers.items():
        if type(layer).forward is not _BatchNorm.forward:
            raise InputError(
                f"'{name}' is a {type(layer).__name__}, whose statistics several processes cannot "
                "share; choose local batch statistics"
            )
    for layer in layers.values():
        layer.forward = functools.partial(_forward, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers.values():
            del layer.forward


def _layers(network: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, GhostBatchNorm):
            yield name, module


def _forward(layer: _BatchNorm, images: Tensor) -> Tensor:
    """Output of ``layer`` for this process's share of the images."""
    if not layer.training or layer.running_mean is None or layer.running_var is None:
        return type(layer).forward(layer, images)
    normalised: Tensor
    normalised, mean, variance, count = _Normalise.apply(
        images, layer.weight, layer.bias, layer.eps
    )
    with torch.no_grad():
        momentum = layer.momentum
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1.0 / float(layer.num_batches_tracked)
        # as torch does, with the variance of a sample
        layer.running_mean.lerp_(mean, momentum or 0.0)
        layer.running_var.lerp_(variance * (count / max(count - 1, 1)), momentum or 0.0)
    return normalised


class _Normalise(torch.autograd.Function):
    """Ioffe and Szegedy, 2015, with sums over the processes in both directions."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        dims = [0, *range(2, images.dim())]
        wide = images.float()
        mean = _global_mean(wide.mean(dims))
        # second pass about the common mean: no difference of large numbers
        variance = _global_mean((wide - _across(mean, wide)).square_().mean(dims))
        ctx.save_for_backward(images, weight, mean, variance)
        ctx.eps, ctx.dims, ctx.has_bias = eps, dims, bias is not None
        normalised = F.batch_norm(images, mean, variance, weight, bias, False, 0.0, eps)
        count = images.numel() // images.shape[1] * world_size()
        ctx.mark_non_differentiable(mean, variance)
        return normalised, mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        gradient = gradients[0].float()
        images, weight, mean, variance = ctx.saved_tensors
        deviation = (variance + ctx.eps).rsqrt()
        unit = (images.float() - _across(mean, images)) * _across(deviation, images)
        # means over this process's images; those of parameters are averaged by the loop, as sums
        own = torch.stack([gradient.mean(ctx.dims), (gradient * unit).mean(ctx.dims)])
        shift, slope = _global_mean(own.clone())
        inner = gradient - _across(shift, images) - unit * _across(slope, images)
        scale = deviation if weight is None else deviation * weight
        count = images.numel() // images.shape[1]
        return (
            (inner * _across(scale, images)).to(images.dtype),
            None if weight is None else own[1] * count,
            own[0] * count if ctx.has_bias else None,
            None,
        )


def _global_mean(values: Tensor) -> Tensor:
    """The mean of ``values`` over the processes, which hold equally many images."""
    dist.all_reduce(values)
    return values.div_(world_size())


def _across(channels: Tensor, like: Tensor) -> Tensor:
    """(C,) as (1, C, 1, ...)."""
    return channels.view(1, -1, *[1] * (like.dim() - 2))
