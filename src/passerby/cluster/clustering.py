"""The clustering of one epoch, and what is the matter with it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.cluster.jaccard import encode, kth_distances, neighbours
from passerby.cluster.labels import check_dbscan, dbscan
from passerby.cluster.summary import ClusterSummary, summarise
from passerby.errors import InputError
from passerby.retrieval.distances import Features
from passerby.retrieval.encoding import Encoding

Kind = Literal[
    "nothing_clustered", "one_cluster", "camera_missing", "cameras_unknown", "people_unknown"
]
LISTED = 8  # cameras named in a message


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a clustering that its user should know.

    Attributes:
        kind: What it is, for programs.
        message: What it means and what to try, for people: one sentence.
        stops: Whether an epoch cannot be trained with such a clustering.
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
        findings: What is the matter; empty when nothing is.
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
        """The message of the finding that stops an epoch, for an error; None when usable."""
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
    """Pseudo labels as :func:`passerby.cluster.pseudo_labels`, counted, scored and examined.

    A clustering without clusters, or with one alone, is no error here: whoever asked decides
    whether to stop, to go on with the labels before, or to try another eps.

    Args:
        features: (N, D).
        k1: As :func:`passerby.cluster.pseudo_labels`.
        k2: Likewise.
        eps: Likewise.
        min_samples: Likewise.
        cameras: (N,) camera of each picture, negative where not known; None if nowhere.
        identities: (N,) who is on each picture, for the scores alone, negative where not known.

    Raises:
        InputError: As :func:`passerby.cluster.pseudo_labels`; columns of another length.
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
