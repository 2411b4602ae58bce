"""How well an embedder finds the people of a table."""

from passerby.data import CropTable
from passerby.metrics import Report, evaluate_features
from passerby.runtime.embedder import Embedder


def evaluate_embedder(embedder: Embedder, table: CropTable) -> Report:
    """CMC, mAP and mINP of the table's queries in its gallery, by the Market-1501 protocol.

    Args:
        embedder: any network, on any runtime.
        table: rows with the splits query and gallery.

    Raises:
        InputError: a picture cannot be read.
    """
    queries, gallery = table.query, table.gallery
    return evaluate_features(
        embedder.embed(queries.paths()), embedder.embed(gallery.paths()), *table.match_labels()
    )
