"""Counts and scores of a clustering."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from passerby.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ClusterSummary:
    """Counts of a clustering and, where people are known, its scores in 0..1.

    Scores are those of clustered pictures of known people. Only ``pair_recall`` is that of all
    pictures of known people, as a clustering may be pure because it leaves out hard pictures. A
    score is None where there is nothing to score.

    Attributes:
        pictures: N.
        clusters: K.
        outliers: Pictures in no cluster.
        smallest: Pictures of the smallest cluster; 0 without clusters.
        median: Pictures of the median cluster.
        largest: Pictures of the largest cluster.
        people: Known people among all pictures; None where nobody is known.
        purity: Share of pictures that show the most frequent person of their cluster.
        nmi: Normalised mutual information (arithmetic mean) of clusters and people.
        ari: Adjusted Rand index of clusters and people.
        pair_precision: Share of the pairs of pictures in one cluster that show one person.
        pair_recall: Share of the pairs of pictures of one person that are in one cluster.
    """

    pictures: int
    clusters: int
    outliers: int
    smallest: int = 0
    median: float = 0.0
    largest: int = 0
    people: int | None = None
    purity: float | None = None
    nmi: float | None = None
    ari: float | None = None
    pair_precision: float | None = None
    pair_recall: float | None = None

    @property
    def text(self) -> str:
        """One line for people."""
        share = 100 * self.outliers / max(self.pictures, 1)
        line = f"{self.clusters:,} clusters"
        if self.clusters:
            line += f" of {self.smallest:,} to {self.largest:,} pictures (median {self.median:g})"
        line += f", {self.outliers:,} of {self.pictures:,} pictures outliers ({share:.1f} %)"
        if self.purity is None:
            return line
        line += f"; {self.people:,} people: purity {self.purity:.3f}, NMI {self.nmi:.3f}, "
        line += f"ARI {self.ari:.3f}"
        pairs = [
            f"{name} {value:.3f}"
            for name, value in (("right", self.pair_precision), ("found", self.pair_recall))
            if value is not None
        ]
        return f"{line}, pairs {', '.join(pairs)}" if pairs else line

    def values(self) -> dict[str, Any]:
        """Return all attributes that are not None, for a log, with rounded scores."""
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in asdict(self).items()
            if value is not None
        }


def summarise(labels: NDArray[np.int64], identities: ArrayLike | None = None) -> ClusterSummary:
    """Count and, where identities are known, score a clustering.

    Args:
        labels: (N,) clusters, negative for outliers.
        identities: (N,) person on each picture, negative where unknown; None if all are unknown.

    Raises:
        InputError: The lengths differ.
    """
    inside = labels >= 0
    sizes = np.unique(labels[inside], return_counts=True)[1]
    counts: dict[str, Any] = {
        "pictures": len(labels),
        "clusters": len(sizes),
        "outliers": int((~inside).sum()),
    }
    if len(sizes):
        counts["smallest"], counts["largest"] = int(sizes.min()), int(sizes.max())
        counts["median"] = float(np.median(sizes))
    if identities is None:
        return ClusterSummary(**counts)
    people = np.asarray(identities)
    if people.shape != labels.shape:
        raise InputError(f"{len(people)} identities for {len(labels)} labels; give one a picture")
    return ClusterSummary(**counts, **_scores(labels, people))


def _scores(labels: NDArray[np.int64], people: NDArray[np.int64]) -> dict[str, Any]:
    known = people >= 0
    if not known.any():
        return {}
    scores: dict[str, Any] = {"people": len(np.unique(people[known]))}
    one_person = _pairs(np.unique(people[known], return_counts=True)[1])
    both = known & (labels >= 0)
    clusters, truth = labels[both], people[both]
    cells, counts = np.unique(np.stack([clusters, truth]), axis=1, return_counts=True)
    together = _pairs(counts)
    if one_person:
        scores["pair_recall"] = together / one_person
    if not len(clusters):
        return scores
    one_cluster = _pairs(np.unique(clusters, return_counts=True)[1])
    if one_cluster:
        scores["pair_precision"] = together / one_cluster
    # the most frequent person of each cluster; cells are in order of clusters
    starts = np.flatnonzero(np.diff(cells[0], prepend=cells[0, 0] - 1))
    scores["purity"] = float(np.maximum.reduceat(counts, starts).sum() / len(clusters))
    scores["nmi"] = float(normalized_mutual_info_score(truth, clusters))
    scores["ari"] = float(adjusted_rand_score(truth, clusters))
    return scores


def _pairs(counts: NDArray[np.int64]) -> int:
    """Count the pairs of different pictures within groups of these sizes."""
    return int((counts * (counts - 1) // 2).sum())
