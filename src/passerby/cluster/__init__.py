"""Learning without labels: sparse Jaccard neighbours, pseudo labels, the cluster memory."""

from passerby.cluster.jaccard import jaccard_neighbours
from passerby.cluster.labels import pseudo_labels
from passerby.cluster.memory import ClusterMemory, cluster_centroids

__all__ = ["ClusterMemory", "cluster_centroids", "jaccard_neighbours", "pseudo_labels"]
