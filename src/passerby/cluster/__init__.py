"""Learning without labels: sparse Jaccard neighbours, pseudo labels, the cluster memory."""

from passerby.cluster.jaccard import jaccard_neighbours
from passerby.cluster.labels import pseudo_labels

__all__ = ["jaccard_neighbours", "pseudo_labels"]
