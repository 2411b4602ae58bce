"""Turn a finished training run into the bundled network: calibrate it, halve it, judge it.

The bundled network is trained by ``bag-of-tricks-small`` on a simulated city:

    passerby simulate datasets/training-city --people 1500 --cameras 60 --hours 2 --seed 7701 \\
        --crops-per-passage 2 --train-share 0.93 --junk 0.05 --false-boxes 0.05
    passerby train bag-of-tricks-small --data datasets/training-city --out runs/default \\
        --epochs 9 --warmup-epochs 1 --threads 2 --seed 1
    passerby bench bundled-network --run runs/default --data datasets/training-city

The calibration is fitted on the people of that city whom the training did not see: each query with
its nearest gallery pictures of other cameras, which are the candidates a search weighs.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT, resolve_data, write_result
from passerby.data import CropTable
from passerby.metrics import Calibration
from passerby.models import load, save
from passerby.runtime import Embedder
from passerby.runtime.evaluation import evaluate_embedder

LICENCE = "weights: Apache-2.0; trained on simulated people alone"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step from run to bundle."""

    run: Path = Path("runs/default")
    """Folder of the finished run."""
    data: str = "datasets/training-city"
    """The data whose query and gallery rows the calibration is fitted on."""
    judge: tuple[str, ...] = ("simcity-s",)
    """Sets on which the bundled file is judged."""
    weights: Path = ROOT / "src" / "passerby" / "models" / "weights" / "default.safetensors"
    """The file to write."""
    candidates: int = 100
    """Nearest gallery pictures of each query that the calibration sees."""
    out: Path | None = None
    """Where to write the JSON."""


def vectors(embedder: Embedder, table: CropTable) -> tuple[np.ndarray, np.ndarray]:
    """(Q, D) and (G, D) unit rows."""
    return embedder.embed(table.query.paths()), embedder.embed(table.gallery.paths())


def fit(table: CropTable, queries: np.ndarray, gallery: np.ndarray, candidates: int) -> Calibration:
    """The calibration on each query's nearest pictures of other cameras."""
    kept = table.gallery.identity >= 0
    identity, camera = table.gallery.identity[kept], table.gallery.camera[kept]
    similarity = queries @ gallery[kept].T
    similarity[table.query.camera[:, None] == camera[None, :]] = -2.0
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :candidates]
    values = np.take_along_axis(similarity, nearest, axis=1)
    same = identity[nearest] == table.query.identity[:, None]
    seen = values > -2.0
    return Calibration.fit(values[seen], same[seen])


def main(options: Options) -> None:
    """Calibrate, write the bundled file, judge it as it lies in the package."""
    network, card = load(options.run / "model.safetensors")
    table = resolve_data(options.data)
    embedder = Embedder.load(options.run / "model.safetensors")
    curve = fit(table, *vectors(embedder, table), options.candidates)
    card = replace(card, calibration=curve.as_card(), licence=LICENCE)
    save(network, card, options.weights, half=True)
    bundled = Embedder.load(options.weights)
    scores = {}
    for name in (options.data, *options.judge):
        scores[name] = evaluate_embedder(bundled, resolve_data(name)).summary()
        print(name, scores[name])
    size = options.weights.stat().st_size
    result = {"bytes": size, "calibration": curve.as_card(), "scores": scores}
    write_result(options.out, "bundled_network", {**result, "training": card.training})
