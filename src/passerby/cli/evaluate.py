"""``passerby evaluate MODEL --data DATA``: how good is a network on a data set?"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from passerby.cli.common import OfNetwork, Result, resolve
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.data import CropTable
    from passerby.metrics import Calibrated, Calibration, Pairs, Reranking, TableEvaluation
    from passerby.runtime import Embedder

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Options(OfNetwork, Result):
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
    """Distance of unit vectors that ranks (without re-ranking and expansion they rank alike);
    probabilities are of cosine similarity always."""
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
    markdown: bool = False
    """Print the table of several models or sets as Markdown."""

    def main(self) -> int:
        """Evaluate and print."""
        from passerby.metrics.protocols import protocol_of
        from passerby.retrieval.variants import variant_of

        protocol_of(self.protocol)
        variant_of(self.variant)
        if not self.models or not self.data:
            raise InputError(
                "there is nothing to evaluate; give at least one model and one data set"
            )
        if len(self.models) > 1 or len(self.data) > 1 or self.markdown:
            from passerby.cli.evaluate_matrix import run

            return run(self)
        return _one(self, self.models[0], self.data[0])


def _one(options: Options, model: str, data: str) -> int:
    """One model on one data set, with all there is to say."""
    if options.calibrate:
        from passerby.runtime.sidecars import own_file

        own_file(model)
    embedder = options.load(model)
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
        facts, words = evaluate_scores(model, embedder, table, found, options)
        answer |= facts
        text += f"\n\n{words}"
    options.show(answer, text)
    return 0


def says(options: Options) -> str:
    """The protocol in words, and how the ranking was made where not by cosine alone."""
    from passerby.metrics import PROTOCOLS

    words = PROTOCOLS[options.protocol].says
    if options.metric != "cosine":
        words += f"; ranked by {options.metric} distance of unit vectors"
    if options.expand:
        words += f"; queries expanded by {options.expand}"
    if options.rerank:
        words += (
            f"; re-ranked as {options.variant} "
            f"(k1 {options.k1}, k2 {options.k2}, lambda {options.lambda_value:g})"
        )
    return words


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


def evaluate_scores(
    model: str,
    embedder: "Embedder",
    table: "CropTable",
    found: "TableEvaluation[Vectors]",
    options: Options,
) -> tuple[dict[str, Any], str]:
    """Say what the scores of one network on one data set are worth, as facts and in words.

    Fits the calibration where that is asked for; then the reliability of the calibration, the rates
    of an open set, and what each threshold lets through.
    """
    from passerby.metrics import (
        Calibration,
        calibrate,
        candidate_pairs,
        open_set,
        survey,
        thresholds,
    )
    from passerby.metrics.identification import thresholds_table
    from passerby.runtime.sidecars import write_calibration

    labels = table.match_labels()
    ranked = survey(found.queries, found.gallery, *labels, protocol=options.protocol)
    curve = Calibration.from_card(embedder.card.calibration)
    facts: dict[str, Any] = {}
    words = []
    if options.calibrate:
        fitted = calibrate(ranked, labels[0], labels[1])
        kept = fitted.as_card(table.name)
        file = write_calibration(model, kept, model_id=embedder.model_id)
        curve = fitted.curve
        facts["calibrated"] = {**kept, "file": str(file)}
        words.append(_fitted(fitted, str(file)))
    pairs = candidate_pairs(ranked, labels[0])
    rates, rows = open_set(ranked, calibration=curve), thresholds(ranked, calibration=curve)
    held, text = _reliability(curve, pairs, ranked.gallery.shape[1])
    facts |= {
        "calibration": held,
        "open_set": rates.summary(),
        "thresholds": [row.summary() for row in rows],
    }
    words += [text, rates.table(), thresholds_table(rows)]
    return facts, "\n\n".join(words)


def _fitted(fitted: "Calibrated", file: str) -> str:
    ours, theirs = fitted.fitted, fitted.held_out_figures()
    slopes = " and ".join(f"{half.slope:.2f}" for half in fitted.halves)
    return (
        f"calibrated on {ours.people} people: slope {fitted.curve.slope:.2f}, ECE {ours.ece:.4f}\n"
        f"fitted on one half of them and evaluated on the other (slopes {slopes}): "
        f"ECE {theirs['ece']:.4f}, Brier {theirs['brier']:.4f}, log loss {theirs['log_loss']:.4f}\n"
        f"written into {file}"
    )


def _reliability(
    curve: "Calibration", pairs: "Pairs", candidates: int
) -> tuple[dict[str, Any] | None, str]:
    """Say how reliable a calibration is on this data, as facts (None without one) and in words."""
    from passerby.metrics import reliability

    if not curve.measured:
        return None, "calibration: this model has none; --calibrate fits one on this data"
    found = reliability(curve, pairs)
    facts = {**curve.as_card(), "reliability": found.summary(), "with_prior_of_data": None}
    words = (
        f"calibration: p = 1 / (1 + exp(-({curve.slope:.2f} similarity {curve.intercept:+.2f}))) "
        f"on the {candidates} nearest of each query\n{found.table()}\n"
        f"ECE {found.ece:.4f}, Brier {found.brier:.4f}, log loss {found.log_loss:.4f}; "
        f"{found.pairs} pairs, {100 * found.prior:.1f} % of them true"
    )
    if curve.prior is not None and 0 < pairs.prior < 1:
        moved = reliability(curve.with_prior(pairs.prior), pairs)
        facts["with_prior_of_data"] = moved.summary()
        words += f"\nECE {moved.ece:.4f} when moved from its own prior of {100 * curve.prior:.1f} %"
    return facts, words
