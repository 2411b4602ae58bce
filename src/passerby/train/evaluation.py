"""The score of a network on a data set: features, then the Market-1501 protocol."""

from passerby.data import CropTable, ImageStore
from passerby.metrics import Report, Reranking, evaluate_features
from passerby.models import ModelCard, ReidNetwork
from passerby.retrieval.distances import Metric
from passerby.train.features import extract


def evaluate_network(
    network: ReidNetwork,
    card: ModelCard,
    table: CropTable,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    batch_size: int = 128,
    progress: bool = False,
    metric: Metric = "cosine",
    reranking: Reranking | None = None,
) -> Report:
    """CMC, mAP and mINP of ``network`` with ``table``'s queries against its gallery.

    Pictures are resized and normalised as the card says; ``metric`` and ``reranking`` as in
    :func:`passerby.metrics.evaluate_features`.
    """
    features = {}
    for split, rows in (("query", table.query), ("gallery", table.gallery)):
        store = ImageStore.load(
            rows, size=card.input_size, interpolation=card.interpolation, progress=progress
        )
        features[split] = extract(
            network,
            card,
            store.images,
            device=device,
            precision=precision,
            batch_size=batch_size,
            progress=progress,
        )
    return evaluate_features(
        features["query"],
        features["gallery"],
        table.query.identity,
        table.gallery.identity,
        table.query.camera,
        table.gallery.camera,
        metric=metric,
        reranking=reranking,
    )
