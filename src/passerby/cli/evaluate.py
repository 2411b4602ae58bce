"""``passerby evaluate MODEL --data DATA``: how good is a network on a data set?"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from passerby.cli.arguments import parse
from passerby.cli.data import resolve
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.data import CropTable
    from passerby.metrics import Reranking, TableEvaluation
    from passerby.runtime import Embedder

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How good is a network on a data set?

    CMC, mAP and mINP (single query) by a named protocol; whether the probabilities of the
    network's calibration hold; what is found at given rates of false alarms (open set); and what
    each similarity threshold lets through. Several models or data sets give a table of mAP and
    rank-1 instead, with status 1 when a cell could not be filled.
    """

    models: Annotated[tuple[str, ...], tyro.conf.Positional] = ("default",)
    """Weights files of passerby, ONNX files, OpenVINO .xml files, or "default"."""
    data: tuple[str, ...] = ("simcity-s",)
    """Named simulated sets, folders, tables, or NAME:PATH with a data set's name."""
    protocol: str = "market1501"
    """What counts: market1501 (also DukeMTMC-reID, MSMT17, CUHK03 new protocol, PersonX),
    market1501-trapezoid, any-camera, cuhk03-old, legacy-no-distractors, legacy-one-digit-camera,
    legacy-diff-attention; docs/evaluation.md says what each means."""
    metric: Literal["cosine", "euclidean", "squared_euclidean"] = "cosine"
    """Distance that ranks; probabilities are of cosine similarity always."""
    rerank: bool = False
    """Rank by k-reciprocal neighbours; probabilities stay those of the similarity."""
    k1: int = 20
    """Re-ranking: length of the neighbour lists."""
    k2: int = 6
    """Re-ranking: pictures averaged in the local query expansion."""
    lambda_value: float = 0.3
    """Re-ranking: share of the original distance, 0..1."""
    variant: str = "bag-of-tricks"
    """Re-ranking: the form of bag-of-tricks, torchreid, fast-reid or matlab."""
    memory_limit: float | None = None
    """Re-ranking: refuse to start above so many GiB beyond the features."""
    expand: int = 0
    """Query expansion before ranking: this many nearest gallery pictures join each query."""
    scores: bool = True
    """Also judge calibration, open set and thresholds (one model on one set)."""
    calibrate: bool = False
    """Fit the calibration on this data and write it into the model's card, or beside an ONNX or
    OpenVINO file as FILE.calibration.json."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""
    runtime: str = "auto"
    """auto, torch, onnx or openvino."""
    precision: str = "auto"
    """auto (fp32), fp32, bf16 or fp16."""
    batch_size: int = 64
    """Pictures at once."""
    markdown: bool = False
    """Print the table of several models or sets as Markdown."""
    json: bool = False
    """Print one JSON object instead."""


def main(arguments: Sequence[str]) -> int:
    """Evaluate and print."""
    options = parse(Options, arguments, "evaluate")
    from passerby.metrics.protocols import protocol_of
    from passerby.retrieval.variants import variant_of

    protocol_of(options.protocol)
    variant_of(options.variant)
    if not options.models or not options.data:
        raise InputError("there is nothing to evaluate; give at least one model and one data set")
    if len(options.models) > 1 or len(options.data) > 1 or options.markdown:
        from passerby.cli.evaluate_matrix import run

        return run(options)
    return _one(options, options.models[0], options.data[0])


def _one(options: Options, model: str, data: str) -> int:
    """One model on one data set, with all there is to say."""
    if options.calibrate:
        from passerby.runtime.sidecars import own_file

        own_file(model)
    embedder = load(model, options)
    table = resolve(data)
    found = evaluate(embedder, table, options)
    answer: dict[str, Any] = {
        "model": embedder.model_id,
        "runtime": embedder.backend.runtime,
        "data": data,
        "metric": options.metric,
        "reranked": options.rerank,
        **found.report.summary(),
        "protocol_says": says(options),
    }
    text = f"{found.report.table(data)}\n  {says(options)}"
    if options.scores or options.calibrate:
        from passerby.cli.evaluate_scores import judge_scores

        scores = judge_scores(
            model, embedder, table, queries=found.queries, gallery=found.gallery, options=options
        )
        answer |= scores.answer
        text += f"\n\n{scores.text}"
    print(json.dumps(answer) if options.json else text)
    return 0


def says(options: Options) -> str:
    """The protocol in words, and how the ranking was made where not by cosine alone."""
    from passerby.metrics import PROTOCOLS

    words = PROTOCOLS[options.protocol].says
    if options.metric != "cosine":
        words += f"; ranked by {options.metric} distance"
    if options.expand:
        words += f"; queries expanded by {options.expand}"
    if options.rerank:
        words += (
            f"; re-ranked as {options.variant} "
            f"(k1 {options.k1}, k2 {options.k2}, lambda {options.lambda_value:g})"
        )
    return words


def load(model: str, options: Options) -> "Embedder":
    """Open a network as the options say."""
    from passerby.runtime import Embedder

    return Embedder.load(
        model, device=options.device, runtime=options.runtime, precision=options.precision
    )


def evaluate(
    embedder: "Embedder", table: "CropTable", options: Options
) -> "TableEvaluation[Vectors]":
    """Embed the queries and the gallery of a table and score them as the options say.

    Raises:
        InputError: The table has no queries or no gallery, or a picture cannot be read.
    """
    from passerby.metrics import evaluate_table

    return evaluate_table(
        table,
        lambda rows: embed(embedder, rows, options.batch_size),
        protocol=options.protocol,
        metric=options.metric,
        expand=options.expand,
        reranking=_reranking(embedder, table, options) if options.rerank else None,
    )


def _reranking(embedder: "Embedder", table: "CropTable", options: Options) -> "Reranking":
    """Return the options of re-ranking; print first how much memory it will take."""
    from passerby.metrics import Reranking
    from passerby.retrieval import memory_estimate

    size = len(table.query), len(table.gallery), embedder.dimension
    needed = memory_estimate(*size, k1=options.k1, k2=options.k2)
    print(
        f"re-ranking {size[0]} queries in {size[1]} pictures: about {needed / 2**20:.0f} MiB",
        file=sys.stderr,
    )
    limit = options.memory_limit
    return Reranking(
        k1=options.k1,
        k2=options.k2,
        lambda_value=options.lambda_value,
        variant=options.variant,
        memory_limit=None if limit is None else int(limit * 2**30),
    )


def embed(embedder: "Embedder", table: "CropTable", batch_size: int) -> Vectors:
    """Vectors (N, D) of all rows, with a progress bar."""
    parts = []
    with tqdm(total=len(table), desc="embedding", leave=False, disable=None) as bar:
        for part in embedder.stream(table.paths(), batch_size=batch_size):
            for problem in part.problems.values():
                raise InputError(problem)
            parts.append(part.vectors)
            bar.update(len(part.vectors))
    return np.concatenate(parts)
