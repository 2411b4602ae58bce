"""Pseudo labels: DBSCAN over sparse Jaccard distances."""

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.cluster import DBSCAN
from sklearn.exceptions import EfficiencyWarning

from passerby.cluster.jaccard import jaccard_neighbours
from passerby.errors import InputError
from passerby.retrieval.distances import Features


def pseudo_labels(
    features: Features,
    *,
    k1: int = 30,
    k2: int = 6,
    eps: float = 0.6,
    min_samples: int = 4,
) -> NDArray[np.int64]:
    """Cluster of each row (N,) int64, numbered from 0; -1 for outliers.

    DBSCAN (Ester et al., KDD 1996) over :func:`passerby.cluster.jaccard_neighbours`, as SpCL and
    Cluster Contrast make their labels before every epoch. The labels are those of the dense form.

    Args:
        features: (N, D), brought to unit rows; the neighbour search runs on their device.
        k1: Length of the neighbour lists, the row itself included.
        k2: Rows averaged in the local query expansion; 1 for none.
        eps: Largest Jaccard distance between neighbours in a cluster, 0..1 (1 excluded).
        min_samples: Rows within ``eps``, the row itself included, that make a row a core.

    Raises:
        InputError: As :func:`passerby.cluster.jaccard_neighbours`; eps or min_samples out of range.
    """
    check_dbscan(eps, min_samples)
    graph = jaccard_neighbours(features, k1=k1, k2=k2, limit=eps)
    return dbscan(graph, eps=eps, min_samples=min_samples)


def dbscan(graph: sparse.csr_matrix, *, eps: float, min_samples: int) -> NDArray[np.int64]:
    """Labels (N,) of a sparse matrix (N, N) of distances that holds at least those up to eps."""
    with warnings.catch_warnings():
        # it wants rows in order of distance and sorts them itself otherwise
        warnings.simplefilter("ignore", EfficiencyWarning)
        model = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed")
        return model.fit(graph).labels_.astype(np.int64)


def check_dbscan(eps: float, min_samples: int) -> None:
    """Refuse options of DBSCAN that mean nothing on Jaccard distances.

    Raises:
        InputError: eps outside 0..1 (1 would join everything), min_samples below 1.
    """
    if not 0 < eps < 1:
        raise InputError(f"clustering with eps {eps}; a Jaccard distance lies between 0 and 1")
    if min_samples < 1:
        raise InputError(f"clustering with min_samples {min_samples}; it must be at least 1")
