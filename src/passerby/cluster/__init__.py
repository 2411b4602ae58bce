"""Learning without labels: sparse Jaccard neighbours, pseudo labels, the cluster memory."""

from passerby.cluster.clustering import Clustering, Finding, cluster_features, pseudo_labels
from passerby.cluster.jaccard import jaccard_neighbours
from passerby.cluster.memory import ClusterMemory, cluster_centroids
from passerby.cluster.summary import ClusterSummary, summarise

__all__ = [
    "ClusterMemory",
    "ClusterSummary",
    "Clustering",
    "Finding",
    "cluster_centroids",
    "cluster_features",
    "jaccard_neighbours",
    "pseudo_labels",
    "summarise",
]
