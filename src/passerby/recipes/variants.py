"""Every published recipe and its variants, by the name that ``passerby train`` knows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from passerby.data import CropTable
from passerby.metrics import Report
from passerby.recipes import agw, bag_of_tricks, fused_loss, pyramid


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A recipe with its options filled in.

    Attributes:
        says: What sets it apart, in a few words.
        options: Makes the complete options.
        run: Trains and tests by such options.
    """

    says: str
    options: Callable[[], Any]
    run: Callable[[Any, CropTable], Report]


VARIANTS: dict[str, Variant] = {
    "bag-of-tricks": Variant(
        says="the paper's settings, ResNet-50",
        options=bag_of_tricks.BagOfTricks,
        run=bag_of_tricks.run,
    ),
    "bag-of-tricks-from-scratch": Variant(
        says="ResNet-50 from random weights",
        options=bag_of_tricks.from_scratch,
        run=bag_of_tricks.run,
    ),
    "bag-of-tricks-small": Variant(
        says="a small network from random weights, for CPUs",
        options=bag_of_tricks.small_cpu,
        run=bag_of_tricks.run,
    ),
    "agw": Variant(
        says="non-local blocks, GeM, weighted triplet loss, ResNet-50",
        options=agw.Agw,
        run=agw.run,
    ),
    "agw-small": Variant(
        says="the same with a small network from random weights, for CPUs",
        options=agw.small_cpu,
        run=agw.run,
    ),
    "fused-loss": Variant(
        says="circle, triplet and centre loss, ResNet-50",
        options=fused_loss.FusedLoss,
        run=fused_loss.run,
    ),
    "fused-loss-small": Variant(
        says="the same with a small network from random weights, for CPUs",
        options=fused_loss.small_cpu,
        run=fused_loss.run,
    ),
    "pyramid": Variant(
        says="21 branches, two losses that take turns, ResNet-101",
        options=pyramid.Pyramid,
        run=pyramid.run,
    ),
    "pyramid-small": Variant(
        says="six branches on a small network from random weights, for CPUs",
        options=pyramid.small_cpu,
        run=pyramid.run,
    ),
}
