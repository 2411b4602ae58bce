"""Evaluate a network on a folder of crops: CMC, mAP and mINP, before and after re-ranking.

The crops are simulated here. For your own, give a folder in the layout of Market-1501
(``bounding_box_train``, ``query``, ``bounding_box_test``) and read it with
``passerby.read("market1501", folder)``.

    python examples/evaluate_crops.py
"""

from pathlib import Path

import passerby
from passerby.simulate.options import SimulationOptions
from passerby.simulate.writer import simulate

DATA = Path("datasets/example")


def main() -> None:
    """Simulate crops of 24 people, embed them, and print two reports."""
    if not DATA.exists():
        simulate(DATA, SimulationOptions(people=24, cameras=4, hours=1.0, seed=7), workers=1)
    table = passerby.read("simcity", DATA)
    print(f"{len(table.query)} query crops, {len(table.gallery)} gallery crops")

    embedder = passerby.Embedder.load("default", device="cpu")
    queries = embedder.embed(table.query.paths(), batch_size=64)  # (Q, D), rows of unit length
    gallery = embedder.embed(table.gallery.paths(), batch_size=64)  # (G, D)

    labels = table.match_labels()  # identities and cameras of both
    report = passerby.evaluate_features(queries, gallery, *labels)
    print(report.table("cosine"))

    distances = passerby.k_reciprocal_distances(queries, gallery, k1=20, k2=6, lambda_value=0.3)
    reranked = passerby.evaluate(distances, *labels)
    print(reranked.table("re-ranked"))


if __name__ == "__main__":
    main()
