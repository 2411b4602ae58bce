"""The scores of a PyTorch network on a data set."""

from torch import Tensor

from passerby.data import CropTable, ImageStore
from passerby.metrics import Report, Reranking, evaluate_table
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
    """Score a network with :func:`passerby.metrics.evaluate_table` by the Market-1501 protocol.

    Args:
        network: Evaluated in evaluation mode, and left in the mode it had.
        card: Input size and normalisation of the crops.
        table: Has query and gallery rows.
        device: PyTorch's name of the device that runs the network.
        precision: "fp32", "bf16" or "fp16".
        batch_size: Crops in one pass of the network.
        progress: Show progress bars.
        metric: See :func:`passerby.retrieval.distances`; Euclidean distances are of features as
            long as the network gives them.
        reranking: Options of k-reciprocal re-ranking; None ranks by the plain distance.
    """

    def embed(rows: CropTable) -> Tensor:
        store = ImageStore.load(
            rows, size=card.input_size, interpolation=card.interpolation, progress=progress
        )
        return extract(
            network,
            card,
            store.images,
            device=device,
            precision=precision,
            batch_size=batch_size,
            progress=progress,
            unit=metric == "cosine",
        )

    return evaluate_table(table, embed, metric=metric, reranking=reranking).report
