"""Turn a finished training run into the bundled network: calibrate it, halve it, judge it.

It is trained by ``bag-of-tricks-small`` on simulated cities, in three steps, each from the network
of the one before. The first, from random weights, saw 1,311 people before 60 cameras:

    passerby simulate datasets/training-city --people 1500 --cameras 60 --hours 2 --seed 7701 \\
        --crops-per-passage 2 --train-share 0.93 --junk 0.05 --false-boxes 0.05
    passerby train bag-of-tricks-small --data datasets/training-city --out runs/first \\
        --epochs 9 --warmup 1 --threads 2 --seed 1

the second and third 3,568 people before 240 cameras (102,514 crops), with pictures that are changed
more than the simulated cameras change them already, WIDE being the options

    --box 0.05 --erasing 0.3 --colour.brightness 0.4 --colour.contrast 0.4 \\
        --colour.saturation 0.4 --colour.balance 0.15 --colour.coarse 0.4 --colour.coarsest 4 \\
        --colour.gamma 0.3 --colour.shade 0.4 --colour.noise 0.04

    passerby simulate datasets/training-city-2 --people 4000 --cameras 240 --hours 1.5 \\
        --seed 7702 --crops-per-passage 1 --train-share 0.95 --junk 0.02 --false-boxes 0.02
    passerby train bag-of-tricks-small --data datasets/training-city-2 --out runs/second \\
        --weights runs/first/model.safetensors --epochs 1 --warmup 0 \\
        --learning-rate 5e-4 --threads 1 --seed 11 WIDE
    passerby train bag-of-tricks-small --data datasets/training-city-2 --out runs/default \\
        --weights runs/second/model.safetensors --epochs 8 --warmup 0 --threads 2 \\
        --seed 2 WIDE
    passerby bench bundled-network --run runs/default --data datasets/training-city-2 \\
        --mean-with runs/default/epoch3.safetensors

The weights are the mean of those after the third epoch of the last step and those at its end, which
are better in simulated cities and worse on the two real clips (``passerby bench real-people``).

The calibration is fitted on the people of that city whom the training did not see: each query with
its nearest gallery pictures of other cameras, which are the candidates a search weighs. Few of them
are true in that large gallery: the curve is moved to a prior as searches of a city unit have it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import ROOT, resolve_data, write_result
from passerby.data import CropTable
from passerby.metrics import Calibrated, calibrate, evaluate_table, survey
from passerby.models import ModelCard, ReidNetwork, load, save
from passerby.runtime import Embedder

LICENCE = "weights: Apache-2.0; trained on simulated people alone"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step from run to bundle."""

    run: Path = Path("runs/default")
    """Folder of the finished run."""
    mean_with: tuple[Path, ...] = ()
    """Networks of earlier moments of the run, whose weights are averaged with its last ones."""
    data: str = "datasets/training-city-2"
    """The data whose query and gallery rows the calibration is fitted on."""
    judge: tuple[str, ...] = ("simcity-s",)
    """Sets on which the bundled file is judged."""
    weights: Path = ROOT / "src" / "passerby" / "models" / "weights" / "default.safetensors"
    """The file to write."""
    candidates: int = 100
    """Nearest gallery pictures of each query that the calibration sees."""
    prior: float = 0.125
    """Share of true pairs among the candidates that the bundled curve takes for granted."""
    out: Path | None = None
    """Where to write the JSON."""


def vectors(embedder: Embedder, table: CropTable) -> tuple[np.ndarray, np.ndarray]:
    """(Q, D) and (G, D) unit rows."""
    return embedder.embed(table.query.paths()), embedder.embed(table.gallery.paths())


def fit(table: CropTable, queries: np.ndarray, gallery: np.ndarray, candidates: int) -> Calibrated:
    """The calibration on each query's nearest pictures of other cameras."""
    found = survey(queries, gallery, *table.match_labels(), candidates=candidates)
    return calibrate(found, table.query.identity, table.gallery.identity)


def averaged(options: Options) -> tuple[ReidNetwork, ModelCard]:
    """The network of the run, its weights the mean over the moments (Izmailov et al., UAI 2018)."""
    network, card = load(options.run / "model.safetensors")
    states = [network.state_dict(), *(load(path)[0].state_dict() for path in options.mean_with)]
    mean = {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(value.dtype)
        for name, value in states[0].items()
    }
    network.load_state_dict(mean)
    start = card.training["options"]["weights"]
    training = {
        **card.training,
        "options": {**card.training["options"], "weights": start and Path(start).name},
        "averaged_with": [path.name for path in options.mean_with],
    }
    return network, replace(card, training=training)


def main(options: Options) -> None:
    """Calibrate, write the bundled file, judge it as it lies in the package."""
    network, card = averaged(options)
    table = resolve_data(options.data)
    save(network, card, options.run / "averaged.safetensors")
    embedder = Embedder.load(options.run / "averaged.safetensors")
    fitted = fit(table, *vectors(embedder, table), options.candidates)
    usual = fitted.curve.with_prior(options.prior).as_card()
    calibration = {**fitted.as_card(table.name), **usual}
    card = replace(card, calibration=calibration, licence=LICENCE)
    save(network, card, options.weights, half=True)
    bundled = Embedder.load(options.weights)
    scores = {}
    for name in (options.data, *options.judge):
        found = evaluate_table(resolve_data(name), lambda rows: bundled.embed(rows.paths()))
        scores[name] = found.report.summary()
        print(name, scores[name])
    size = options.weights.stat().st_size
    result = {"bytes": size, "calibration": calibration, "scores": scores}
    write_result(options.out, "bundled_network", {**result, "training": card.training})
