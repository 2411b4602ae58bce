"""Pseudo labels by DBSCAN over sparse Jaccard distances, and findings about the clustering."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.cluster import DBSCAN
from sklearn.exceptions import EfficiencyWarning

from passerby.cluster.jaccard import encode, jaccard_neighbours, kth_distances, neighbours
from passerby.cluster.summary import ClusterSummary, summarise
from passerby.errors import InputError
from passerby.retrieval.distances import Features
from passerby.retrieval.encoding import Encoding

Kind = Literal[
    "nothing_clustered", "one_cluster", "camera_missing", "cameras_unknown", "people_unknown"
]
LISTED = 8  # cameras named in a message


def pseudo_labels(
    features: Features,
    *,
    k1: int = 30,
    k2: int = 6,
    eps: float = 0.6,
    min_samples: int = 4,
) -> NDArray[np.int64]:
    """Cluster features by DBSCAN: labels (N,) int64, -1 for outliers.

    DBSCAN (Ester et al., KDD 1996) runs over :func:`passerby.cluster.jaccard_neighbours`, as SpCL
    and Cluster Contrast make their labels before every epoch. The labels equal those of the dense
    form.

    Args:
        features: (N, D); they are scaled to unit rows. The neighbour search runs on their device.
        k1: Length of the neighbour lists, including the row itself.
        k2: Rows averaged in the local query expansion; 1 for none.
        eps: Largest Jaccard distance between neighbours in a cluster, between 0 and 1.
        min_samples: Rows within ``eps``, including the row itself, that make a row a core.

    Raises:
        InputError: As :func:`passerby.cluster.jaccard_neighbours`; or eps or min_samples is out of
            range.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> people = rng.normal(size=(3, 32)).repeat(8, axis=0)  # 3 people, 8 pictures each
        >>> labels = pseudo_labels(people + 0.1 * rng.normal(size=people.shape), k1=8)
        >>> labels.reshape(3, 8).tolist()[1]
        [1, 1, 1, 1, 1, 1, 1, 1]
    """
    check_dbscan(eps, min_samples)
    graph = jaccard_neighbours(features, k1=k1, k2=k2, limit=eps)
    return dbscan(graph, eps=eps, min_samples=min_samples)


def dbscan(graph: sparse.csr_matrix, *, eps: float, min_samples: int) -> NDArray[np.int64]:
    """Label the rows (N,) of a sparse matrix (N, N) that has at least the distances up to eps."""
    with warnings.catch_warnings():
        # it warns about rows that are not in order of distance, and sorts them
        warnings.simplefilter("ignore", EfficiencyWarning)
        model = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed")
        labels: NDArray[np.int64] = model.fit(graph).labels_.astype(np.int64)
        return labels


def check_dbscan(eps: float, min_samples: int) -> None:
    """Check the options of DBSCAN on Jaccard distances.

    Raises:
        InputError: eps is not between 0 and 1 (1 would join everything), or min_samples is below 1.
    """
    if not 0 < eps < 1:
        raise InputError(f"clustering with eps {eps}; a Jaccard distance lies between 0 and 1")
    if min_samples < 1:
        raise InputError(f"clustering with min_samples {min_samples}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A problem of a clustering, or a fact about it.

    Attributes:
        kind: A short name, for programs.
        message: One sentence for people: the meaning, and what to try.
        stops: Whether no epoch can be trained with such a clustering.
    """

    kind: Kind
    message: str
    stops: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Clustering:
    """Pseudo labels of all pictures.

    Attributes:
        labels: (N,) int64 cluster of each picture, -1 for outliers.
        summary: Counts and scores.
        findings: Problems and facts; empty when there are none.
    """

    labels: NDArray[np.int64]
    summary: ClusterSummary
    findings: tuple[Finding, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether an epoch can be trained: two clusters or more."""
        return not any(finding.stops for finding in self.findings)

    @property
    def obstacle(self) -> str | None:
        """The message of the finding that stops an epoch; None when the clustering is usable."""
        return next((finding.message for finding in self.findings if finding.stops), None)


def cluster_features(
    features: Features,
    *,
    k1: int = 30,
    k2: int = 6,
    eps: float = 0.6,
    min_samples: int = 4,
    cameras: ArrayLike | None = None,
    identities: ArrayLike | None = None,
) -> Clustering:
    """Make pseudo labels as :func:`passerby.cluster.pseudo_labels`, with scores and findings.

    A clustering with no cluster, or with one only, is no error here. The caller decides whether to
    stop, to keep the labels of the last epoch, or to try another eps.

    Args:
        features: (N, D).
        k1: As :func:`passerby.cluster.pseudo_labels`; so for the next three.
        k2: Rows averaged in the local query expansion.
        eps: Largest Jaccard distance between neighbours.
        min_samples: Rows within ``eps`` that make a core.
        cameras: (N,) camera of each picture, negative where unknown; None if all are unknown.
        identities: (N,) person on each picture, negative where unknown; only the scores use them.

    Raises:
        InputError: As :func:`passerby.cluster.pseudo_labels`; or a column has another length.
    """
    check_dbscan(eps, min_samples)
    encoding = encode(features, k1=k1, k2=k2)
    columns = {
        name: _column(values, encoding.rows.shape[0], name)
        for name, values in (("cameras", cameras), ("identities", identities))
    }
    labels = dbscan(neighbours(encoding.rows, limit=eps), eps=eps, min_samples=min_samples)
    summary = summarise(labels, columns["identities"])
    findings = [
        *_few_clusters(encoding, summary, eps, min_samples),
        *_camera_findings(labels, columns["cameras"]),
    ]
    if summary.people is None:
        text = "nobody on the pictures is known by name, so the clusters are counted, not scored"
        findings.append(Finding(kind="people_unknown", message=text))
    return Clustering(labels=labels, summary=summary, findings=tuple(findings))


def _few_clusters(
    encoding: Encoding, summary: ClusterSummary, eps: float, min_samples: int
) -> list[Finding]:
    if summary.clusters > 1:
        return []
    near = kth_distances(encoding, min_samples)
    middle, low = float(np.median(near)), float(np.quantile(near, 0.1))
    typical = (
        f"the {min_samples} nearest of a picture, itself included, are within {low:.2f} for one "
        f"picture in ten and within {middle:.2f} for every other"
    )
    if not summary.clusters:
        text = (
            f"nothing clusters: no picture of {summary.pictures:,} has {min_samples} within "
            f"Jaccard distance {eps:g} ({typical}); raise eps, or start from a network that has "
            "learned people"
        )
        return [Finding(kind="nothing_clustered", message=text, stops=True)]
    text = (
        f"everything is one cluster: {summary.pictures - summary.outliers:,} of "
        f"{summary.pictures:,} pictures hang together at Jaccard distance {eps:g} and there is "
        f"nothing to tell apart ({typical}); lower eps, check that the features differ, or give "
        "pictures of more people"
    )
    return [Finding(kind="one_cluster", message=text, stops=True)]


def _camera_findings(labels: NDArray[np.int64], cameras: NDArray[np.int64] | None) -> list[Finding]:
    if cameras is None or not (cameras >= 0).any():
        text = "cameras are not known, so batches pair pictures whatever camera they are from"
        return [Finding(kind="cameras_unknown", message=text)]
    missing = np.setdiff1d(cameras[cameras >= 0], cameras[labels >= 0])
    if not len(missing) or not (labels >= 0).any():
        return []
    shown = ", ".join(map(str, missing[:LISTED])) + (" ..." if len(missing) > LISTED else "")
    several = "s" if len(missing) > 1 else ""
    text = (
        f"camera{several} {shown} ha{'ve' if several else 's'} no picture in any cluster "
        f"({int(np.isin(cameras, missing).sum()):,} pictures), so that nothing is learned about "
        f"{'them' if several else 'it'} in this epoch; if it stays so, raise eps or give pictures "
        "of people who pass other cameras too"
    )
    return [Finding(kind="camera_missing", message=text)]


def _column(values: ArrayLike | None, count: int, name: str) -> NDArray[np.int64] | None:
    if values is None:
        return None
    column = np.asarray(values)
    if column.shape != (count,) or column.dtype.kind not in "iu":
        raise InputError(
            f"{name} are {column.dtype} {column.shape} for {count} features; give whole numbers, "
            "one a picture"
        )
    return column.astype(np.int64)
