"""Train Bag of Tricks for a few iterations, evaluate it, and export it to ONNX.

A recipe is a frozen dataclass of options and a function ``run(options, table)``. The small network
and the two epochs here only show the way; ``passerby train bag-of-tricks --help`` lists the options
of the paper.

    python examples/train_and_export.py
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

import passerby
from passerby.recipes import bag_of_tricks
from passerby.runtime.export import export
from passerby.simulate.options import SimulationOptions
from passerby.simulate.writer import simulate

DATA = Path("datasets/example")
OUT = Path("runs/example")


def main() -> None:
    """Train on simulated crops, print the test's report, and compare the exported file."""
    if not DATA.exists():
        simulate(DATA, SimulationOptions(people=24, cameras=4, hours=1.0, seed=7), workers=1)
    shutil.rmtree(OUT, ignore_errors=True)  # a finished run would not be trained again
    options = replace(
        bag_of_tricks.small_cpu(),
        data=str(DATA),
        out=OUT,
        size=(64, 32),
        epochs=2,
        identities=4,
        images=4,
        precision="fp32",
    )
    table = passerby.read("simcity", DATA)
    report = bag_of_tricks.run(options, table)
    print(report.table("after two epochs"))

    crops = table.gallery.paths()[:8]
    exported = export(OUT / "model.safetensors", OUT / "model.onnx", pictures=crops)
    print(f"{exported.path}: lowest cosine to the original {exported.parity.lowest_cosine:.6f}")

    original = passerby.Embedder.load(OUT / "model.safetensors", device="cpu", runtime="torch")
    onnx = passerby.Embedder.load(OUT / "model.onnx", device="cpu")
    difference = np.abs(original.embed(crops) - onnx.embed(crops)).max()
    print(f"largest difference of a vector's element: {difference:.1e}")


if __name__ == "__main__":
    main()
