"""Learn from crops that nobody has labelled: pseudo labels, then Cluster Contrast.

Crops are clustered by their features (Jaccard distances of k-reciprocal neighbours, DBSCAN), and
the clusters take the place of identities. Cluster Contrast clusters anew before every epoch.

    python examples/learn_without_labels.py
"""

import shutil
from dataclasses import replace
from pathlib import Path

from sklearn.metrics import adjusted_rand_score

import passerby
from passerby.recipes import cluster_contrast
from passerby.simulate.options import SimulationOptions
from passerby.simulate.writer import simulate

DATA = Path("datasets/example")
OUT = Path("runs/example-contrast")


def main() -> None:
    """Cluster simulated crops, compare the clusters with the truth, and train on them."""
    if not DATA.exists():
        simulate(DATA, SimulationOptions(people=24, cameras=4, hours=1.0, seed=7), workers=1)
    table = passerby.read("simcity", DATA)
    train = table.train
    embedder = passerby.Embedder.load("default", device="cpu")
    features = embedder.embed(train.paths(), batch_size=64)

    labels = passerby.pseudo_labels(features, k1=12, eps=0.5)  # (N,), -1 for outliers
    kept = labels >= 0
    agreement = adjusted_rand_score(train.identity[kept], labels[kept])
    print(f"{len(train)} crops: {labels.max() + 1} clusters, {(~kept).sum()} outliers")
    print(f"agreement with the true identities (adjusted Rand index): {agreement:.2f}")

    shutil.rmtree(OUT, ignore_errors=True)  # a finished run would not be trained again
    options = replace(
        cluster_contrast.small_cpu(),
        data=str(DATA),
        out=OUT,
        k1=12,
        epochs=1,
        iterations=2,
        identities=4,
        images=4,
        precision="fp32",
    )
    report = cluster_contrast.run(options, table)
    if report is not None:
        print(report.table("after one epoch of two iterations"))


if __name__ == "__main__":
    main()
