"""Which small network for CPUs? Pictures a second, forward and training step, of the candidates.

Every candidate is timed at three picture sizes, with one and two threads, in float32 and under
bfloat16 autocast, always in channels-last layout; weights are random, as speed does not depend on
them. The accuracy of the chosen one stands in its model card. With one thread the process's own
CPU time counts, so that other work on the machine does not; with two threads the wall time, which
means something on an idle machine only. The fastest repeat counts.

(RepVGG is missing: the backward pass of its first convolution, 1x1 with stride 2 on 3 channels in
channels-last layout, writes beyond its memory on CPUs in torch 2.15 with oneDNN 3.13.)

Run: ``passerby bench small_networks --threads 1 2 --out benchmarks/results/small_networks.json``
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.common import write_result
from passerby.models import parameters
from passerby.models.build import SHAPES
from passerby.models.resnet import ResNet, ResNetShape
from passerby.models.timm_backbone import TimmBackbone

SLIM = SHAPES["slim18"]
RESNETS: dict[str, ResNetShape] = {
    "slim18 (32-256, x2, IBN 2)": SLIM,
    "slim18, IBN 3": replace(SLIM, ibn_stages=3),
    "slim18, no IBN": replace(SLIM, ibn_stages=0),
    "slim18, stem 7x7": replace(SLIM, stem_kernel=7),
    "slim10 (x1)": replace(SLIM, blocks=(1, 1, 1, 1)),
    "slim26 (2-3-4-3)": replace(SLIM, blocks=(2, 3, 4, 3)),
    "narrow18 (24-192)": replace(SLIM, widths=(24, 48, 96, 192)),
    "wide18 (48-384)": replace(SLIM, widths=(48, 96, 192, 384)),
    "resnet18-ibn": SHAPES["resnet18-ibn"],
}
TIMM = ("mobilenetv3_small_100", "mobilenetv4_conv_small", "regnetx_004")
SIZES = ((128, 64), (160, 80), (192, 96))


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the measurement."""

    batch: int = 32
    """Pictures at once."""
    repeats: int = 4
    """Timed runs; the fastest counts."""
    threads: tuple[int, ...] = (1,)
    """Numbers of threads to time."""
    out: Path | None = None
    """Where to write the JSON."""


def candidates() -> dict[str, Callable[[], nn.Module]]:
    made: dict[str, Callable[[], nn.Module]] = {}
    for name, shape in RESNETS.items():
        made[name] = lambda shape=shape: ResNet(shape)
    for name in TIMM:
        made[f"timm:{name}"] = lambda name=name: TimmBackbone(name, input_size=(128, 64))
    return made


def forward(network: nn.Module, images: torch.Tensor, bf16: bool) -> None:
    context = torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext()
    with torch.inference_mode(), context:
        network(images)


def step(network: nn.Module, images: torch.Tensor, bf16: bool) -> None:
    context = torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext()
    with context:
        loss = network(images).float().square().mean()
    loss.backward()


def fastest(work: Callable[[], None], repeats: int, threads: int) -> float:
    """Seconds of the fastest of ``repeats`` runs after a first one that is not counted."""
    clock = time.process_time if threads == 1 else time.perf_counter
    work()
    times = []
    for _ in range(repeats):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)


def measure(network: nn.Module, size: tuple[int, int], options: Options) -> dict[str, float]:
    """Pictures a second of every mode at one size (H, W)."""
    images = torch.randn(options.batch, 3, *size).to(memory_format=torch.channels_last)
    rates = {}
    for threads in options.threads:
        torch.set_num_threads(threads)
        for bf16 in (False, True):
            for work, train in ((forward, False), (step, True)):
                network.train(train)
                seconds = fastest(partial(work, network, images, bf16), options.repeats, threads)
                mode = f"{work.__name__} {'bf16' if bf16 else 'fp32'} {threads} threads"
                rates[mode] = round(options.batch / seconds, 1)
    return rates


def main(options: Options) -> None:
    """Measure, print a table, write."""
    rows: list[dict[str, Any]] = []
    for name, make in candidates().items():
        network = make().to(memory_format=torch.channels_last)
        million = round(parameters(network) / 1e6, 2)
        for size in SIZES:
            rates = measure(network, size, options)
            rows.append({"network": name, "million_parameters": million, "size": size, **rates})
            print(f"{name:28s} {million:6.2f} M {size[0]}x{size[1]} {list(rates.values())}")
    write_result(options.out, "small_networks", {"batch": options.batch, "rows": rows})
