"""``passerby evaluate MODEL --data DATA``: CMC, mAP and mINP of a network on a data set."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from passerby.cli.arguments import parse
from passerby.cli.data import resolve
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.data import CropTable
    from passerby.metrics import Report
    from passerby.runtime import Embedder


@dataclass(frozen=True, kw_only=True)
class Options:
    """CMC, mAP and mINP by the Market-1501 protocol (single query, cosine)."""

    model: Annotated[str, tyro.conf.Positional] = "default"
    """A weights file of passerby, an ONNX file, an OpenVINO .xml, or "default"."""
    data: str = "simcity-s"
    """A named simulated set, a folder, or NAME:PATH."""
    rerank: bool = False
    """Re-rank by k-reciprocal neighbours (k1 20, k2 6, lambda 0.3) before scoring."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""
    runtime: str = "auto"
    """auto, torch, onnx or openvino."""
    precision: str = "auto"
    """auto (fp32), fp32, bf16 or fp16."""
    batch_size: int = 64
    """Pictures at once."""
    json: bool = False
    """Print one JSON object instead of a line."""


def main(arguments: Sequence[str]) -> int:
    """Evaluate and print."""
    options = parse(Options, arguments, "evaluate")
    from passerby.runtime import Embedder

    embedder = Embedder.load(
        options.model,
        device=options.device,
        runtime=options.runtime,
        precision=options.precision,
    )
    report = judge(embedder, resolve(options.data), options)
    answer: dict[str, Any] = {
        "model": embedder.model_id,
        "runtime": embedder.backend.runtime,
        "data": options.data,
        "reranked": options.rerank,
        **report.summary(),
    }
    print(json.dumps(answer) if options.json else report.table(options.data))
    return 0


def judge(embedder: "Embedder", table: "CropTable", options: Options) -> "Report":
    """The report of ``embedder`` on the query and gallery rows of ``table``."""
    query, gallery = table.query, table.gallery
    if not len(query) or not len(gallery):
        raise InputError(f"'{options.data}' has no query or no gallery rows; see 'passerby check'")
    queries = embed(embedder, query, options.batch_size)
    others = embed(embedder, gallery, options.batch_size)
    labels = (query.identity, gallery.identity, query.camera, gallery.camera)
    from passerby.metrics import evaluate, evaluate_features

    if not options.rerank:
        return evaluate_features(queries, others, *labels)
    from passerby.retrieval import k_reciprocal_distances

    return evaluate(k_reciprocal_distances(queries, others), *labels)


def embed(embedder: "Embedder", table: "CropTable", batch_size: int) -> NDArray[np.float32]:
    """Vectors (N, D) of all rows, with a progress bar."""
    parts = []
    with tqdm(total=len(table), desc="embedding", leave=False) as bar:
        for part in embedder.stream(table.paths(), batch_size=batch_size):
            for problem in part.problems.values():
                raise InputError(problem)
            parts.append(part.vectors)
            bar.update(len(part.vectors))
    return np.concatenate(parts)
