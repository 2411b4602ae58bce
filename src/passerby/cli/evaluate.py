"""``passerby evaluate MODEL --data DATA``: CMC, mAP and mINP of a network on a data set."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from passerby.cli.arguments import parse
from passerby.cli.data import resolve


@dataclass(frozen=True, kw_only=True)
class Options:
    """CMC, mAP and mINP by the Market-1501 protocol (single query, cosine)."""

    model: Annotated[Path, tyro.conf.Positional]
    """A weights file of passerby."""
    data: str = "simcity-s"
    """A named simulated set, a folder, or NAME:PATH."""
    device: str = "cpu"
    """A torch device."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: under bfloat16 autocast."""
    batch_size: int = 128
    """Pictures at once."""
    json: bool = False
    """Print one JSON object instead of a line."""


def main(arguments: Sequence[str]) -> int:
    """Evaluate and print."""
    options = parse(Options, arguments, "evaluate")
    from passerby.models import load
    from passerby.train.evaluation import evaluate_network, scores, summary

    network, card = load(options.model)
    report = evaluate_network(
        network.to(options.device),
        card,
        resolve(options.data),
        device=options.device,
        precision=options.precision,
        batch_size=options.batch_size,
        progress=True,
    )
    answer = {"model": str(options.model), "data": options.data, **scores(report)}
    print(json.dumps(answer) if options.json else f"{options.data}: {summary(report)}")
    return 0
