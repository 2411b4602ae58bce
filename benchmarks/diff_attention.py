"""Diff Attention: what it adds to the plain cosine, and what a pair costs.

A frozen network's features of the training rows teach the attention (separate training) for each
ratio and seed; scores are of the whole gallery under the attended distance, and of a second stage
that puts only the first k of the cosine's ranking in order. The settings are the paper's, and those
for galleries of unit vectors.

Run: ``passerby bench diff-attention --epochs 10 --out benchmarks/results/diff_attention.json``
"""

import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.common import median_seconds, resolve_data, write_result
from passerby.data import CropTable, ImageStore
from passerby.metrics import Report, evaluate_blocks, evaluate_features
from passerby.models import load
from passerby.models.diff_attention import DiffAttention, attended_distances
from passerby.models.identity import content_id, find_file
from passerby.recipes.diff_attention import (
    SeparateDiffAttention,
    SeparateMethod,
    learn,
    scores,
    training_features,
    unit_vectors,
)
from passerby.recipes.supervised import known
from passerby.retrieval import distances, rerank_pairs, search
from passerby.train import extract

COSTS = ((256, 4), (256, 16), (256, 64), (2048, 4), (2048, 512))  # (D, r)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the measurement."""

    data: str = "simcity-s"
    """A named simulated set or a folder."""
    weights: Path | None = None
    """The frozen network, a model file; none: the bundled network."""
    ratios: tuple[int, ...] = (4, 16, 64)
    """Ratios r of the hidden layer."""
    seeds: tuple[int, ...] = (0, 1)
    """Seeds of augmentation, start and batches."""
    epochs: int = 60
    """Epochs of each training; the learning rate falls after a third and two thirds."""
    top: int = 100
    """k of the second stage."""
    threads: int = 2
    """CPU threads."""
    out: Path | None = None
    """Where to write the JSON."""


def main(options: Options) -> None:
    """Train, judge, time, write."""
    torch.set_num_threads(options.threads)
    table = resolve_data(options.data)
    path = find_file(options.weights or "default")
    network, card = load(path)
    queries, gallery = (
        extract(
            network,
            card,
            ImageStore.load(rows, size=card.input_size, interpolation=card.interpolation).images,
            unit=False,
            progress=True,
        )
        for rows in (table.query, table.gallery)
    )
    rows = []
    for setting, base in settings(options).items():
        kept = [
            training_features(replace(base, seed=seed), network, card, table)
            for seed in options.seeds
        ]
        for ratio in options.ratios:
            found = [
                trained(
                    replace(base, ratio=ratio, seed=seed),
                    features,
                    (queries, gallery),
                    table,
                    options,
                )
                for seed, features in zip(options.seeds, kept, strict=True)
            ]
            rows.append({"setting": setting, "ratio": ratio, **summary(found)})
            print(rows[-1], flush=True)
    result: dict[str, Any] = {
        "network": content_id(card, path),
        "data": options.data,
        "queries": len(queries),
        "gallery": len(gallery),
        "epochs": options.epochs,
        "seeds": list(options.seeds),
        "plain": figures(evaluate_features(queries, gallery, *labels(table))),
        "second_stage_top": options.top,
        "attended": rows,
        "costs": [cost(D, ratio, options.top) for D, ratio in tqdm(COSTS, desc="costs")],
    }
    print(result["plain"], *result["costs"], sep="\n")
    write_result(options.out, "diff_attention", result)


def settings(options: Options) -> dict[str, SeparateDiffAttention]:
    """The paper's settings, and those for galleries of unit vectors, both as long as asked."""
    length: dict[str, Any] = {
        "epochs": options.epochs,
        "milestones": (options.epochs // 3, options.epochs * 2 // 3),
        "device": "cpu",
        "progress": False,
    }
    return {
        "paper": replace(SeparateDiffAttention(), **length),
        "unit vectors": replace(unit_vectors(), **length),
    }


def trained(
    config: SeparateDiffAttention,
    features: Tensor,
    sides: tuple[Tensor, Tensor],
    table: CropTable,
    options: Options,
) -> dict[str, dict[str, float]]:
    """Figures of one training, over the whole gallery and as a second stage."""
    with tempfile.TemporaryDirectory() as folder:
        config = replace(config, out=Path(folder))
        identities = torch.from_numpy(known(table).labels())
        method = SeparateMethod(config, identities, features.shape[1])
        learn(method, features)
    attention = method.network
    whole, _ = scores(attention, *sides, table)
    second = evaluate_blocks(second_stage_blocks(attention, *sides, options.top), *labels(table))
    return {"whole_gallery": figures(whole), "second_stage": figures(second)}


def second_stage_blocks(
    attention: DiffAttention, queries: Tensor, gallery: Tensor, top: int
) -> Iterator[Tensor]:
    """Distances (b, G) whose order is the cosine's, but for the first ``top``, attended."""
    for some in queries.split(128):
        block = distances(some, gallery)
        again = rerank_pairs(search(some, gallery, top), some, gallery, attention.candidates)
        # attended distances are 0 to 2 and cosine ones too: 10 less puts these before all others
        first = torch.from_numpy(again.distances) - 10
        yield block.scatter_(1, torch.from_numpy(again.indices), first)


def labels(table: CropTable) -> tuple[Any, ...]:
    """Identities and cameras of both sides."""
    query, gallery = table.query, table.gallery
    return query.identity, gallery.identity, query.camera, gallery.camera


def figures(report: Report) -> dict[str, float]:
    """The figures compared, as fractions."""
    return {"mAP": report.mAP, "mINP": report.mINP, "rank1": report.cmc[1]}


def summary(found: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Mean and standard deviation over seeds of one setting."""
    told: dict[str, Any] = {}
    for way in found[0]:
        for name in found[0][way]:
            values = [one[way][name] for one in found]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            told.setdefault(way, {})[name] = {
                "mean": round(statistics.mean(values), 4),
                "deviation": round(spread, 4),
            }
    return told


def cost(dimension: int, ratio: int, top: int) -> dict[str, Any]:
    """Speed and memory of attended distances on drawn features; 4 D D / r FLOP a pair."""
    torch.manual_seed(0)
    attention = DiffAttention(dimension, ratio=ratio).eval()
    queries, gallery = torch.randn(2, dimension), torch.randn(8192, dimension)
    seconds = median_seconds(lambda: attended_distances(attention, queries, gallery), 3)
    pairs = len(queries) * len(gallery)
    first = search(queries[:1], gallery, top)
    stage = median_seconds(
        lambda: rerank_pairs(first, queries[:1], gallery, attention.candidates), 21
    )
    flop = 4 * dimension * dimension // ratio
    return {
        "dimension": dimension,
        "ratio": ratio,
        "flop_per_pair": flop,
        "pairs_per_second": round(pairs / seconds),
        "matrix_gflop_per_second": round(flop * pairs / seconds / 1e9, 2),
        "block_mib": attention.pairs_at_once(queries.device) * 4 * dimension / 2**20,
        "second_stage_ms": round(1000 * stage, 2),
        "candidates": top,
    }
