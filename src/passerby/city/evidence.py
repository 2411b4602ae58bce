"""How likely each track of a search shows the person: its appearance, its group, walking times.

A first guess takes the tracks that the query resembles most. They form a group, and each track is
compared with the whole group: a track that shows another side of the person resembles some of the
group though it does not resemble the query. Each round ends in a logistic model whose weights were
fitted on simulated cities (``passerby bench paths --fit``). ``docs/paths.md`` tells how well its
probabilities hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from passerby.city.paths import FloatArray64
from passerby.city.sightings import FloatArray
from passerby.city.tracks import Track, best_similarities
from passerby.metrics import Calibration

BOUND = 8.0  # largest absolute log odds of one pair
NARROW = 6.0  # the same inside the features: beyond it, more similar says no more
CONFLICT = 4.0  # log odds that two tracks lose when nobody can walk from one to the other
SEED = 1.0  # log odds to the query from which a track is in the first group
FEATURES = (
    "query",
    "mean",
    "empty",
    "best",
    "joined",
    "conflict",
    "size",
    "lone",
    "anchor",
    "vote",
    "share",
    "rank",
    "query_mean",
    "group_mean",
)
PRESENCE_FEATURES = ("best", "best_mean", "query", "query_mean", "highest", "size")


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A logistic model: of one round over ``FEATURES``, or over ``PRESENCE_FEATURES``."""

    weights: tuple[float, ...]
    intercept: float


# fitted by `passerby bench paths --fit` on the tuning cities; the order is that of FEATURES
ROUNDS = (
    Model(
        weights=(
            -0.1693, -0.0739, 1.2089, 0.091, 0.3995, -4.8629, -1.0356, -2.0654, -0.1444, 0.0796,
            0.2787, -1.3289, 3.6229, 6.0425,
        ),
        intercept=0.0292,
    ),
    Model(
        weights=(
            -0.171, -0.0169, 0.0, 0.1428, 0.0725, -13.7328, -1.4657, -2.3694, -0.3045, -0.5726,
            3.3707, -1.1158, 5.0824, 5.0934,
        ),
        intercept=0.1373,
    ),
)  # fmt: skip
PRESENCE = Model(
    weights=(0.1064, 15.457, -0.5305, 6.5108, 0.408, 0.6195), intercept=-16.6273
)  # over PRESENCE_FEATURES; half of the people of the fit were not there


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What is known of N tracks before they are put on a path.

    Attributes:
        query: (N,) log odds that a track shows the person of the query, by its best crop.
        pairs: (N, N) log odds that two tracks show the same person, by their best crops.
        joined: (N,) log odds at which clustering joins a track with the query.
        conflict: (N, N) 1 where nobody can have walked from one track to the other.
        lone: (N,) 1 for a tracklet of a single crop: often a false box of the detector.
        query_mean: (N,) cosine of the mean of a track's crops and the mean of the query's.
        pair_means: (N, N) the same of two tracks.
        fixed: (N,) True for a track that an operator has confirmed.
    """

    query: FloatArray64
    pairs: FloatArray64
    joined: FloatArray64
    conflict: FloatArray64
    lone: FloatArray64
    query_mean: FloatArray64
    pair_means: FloatArray64
    fixed: np.ndarray


def gather(
    tracks: list[Track],
    query: FloatArray,
    *,
    calibration: Calibration,
    conflict: FloatArray64,
    fixed: np.ndarray,
) -> Evidence:
    """Compare N tracks with the query and with each other.

    Args:
        tracks: N tracks, at least one.
        query: (Q, D) unit vectors.
        calibration: Turns a similarity into log odds.
        conflict: (N, N), see :class:`Evidence`.
        fixed: (N,), see :class:`Evidence`.
    """
    to_query, between = best_similarities(tracks, query)
    own = np.clip(calibration.log_odds(to_query), -BOUND, BOUND)
    pairs = np.clip(calibration.log_odds(between), -BOUND, BOUND)
    own = np.where(fixed, BOUND, own)
    query_mean, pair_means = _mean_similarities(tracks, query)
    return Evidence(
        query=own,
        pairs=pairs,
        joined=_joined(own, pairs - CONFLICT * conflict),
        conflict=conflict,
        lone=np.array([float(track.lone) for track in tracks]),
        query_mean=np.where(fixed, 1.0, query_mean),
        pair_means=pair_means,
        fixed=fixed,
    )


def _mean_similarities(tracks: list[Track], query: FloatArray) -> tuple[FloatArray64, FloatArray64]:
    """Cosines of mean crops, see ``query_mean`` and ``pair_means`` of :class:`Evidence`."""
    each = [*(track.vectors for track in tracks), query]
    rows = np.stack([vectors.mean(axis=0, dtype=np.float64) for vectors in each])
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    cosines = rows @ rows[:-1].T
    return cosines[-1], cosines[:-1]


def levels(pairs: FloatArray64) -> FloatArray64:
    """(M, M) mean log odds at which average-linkage clustering joins each two of M rows."""
    height = BOUND + CONFLICT
    distance = np.maximum(height - (pairs + pairs.T) / 2, 0.0)
    np.fill_diagonal(distance, 0.0)
    merged = cophenet(linkage(squareform(distance, checks=False), "average"))
    out: FloatArray64 = height - squareform(merged)
    return out


def _joined(own: FloatArray64, pairs: FloatArray64) -> FloatArray64:
    """(N,) level at which the query, as one more row, is joined with each track."""
    whole = np.full((len(own) + 1, len(own) + 1), BOUND)
    whole[:-1, :-1], whole[-1, :-1], whole[:-1, -1] = pairs, own, own
    return levels(whole)[-1, :-1]


def first_group(evidence: Evidence) -> FloatArray64:
    """(N,) weights of the first group: the tracks that resemble the query, else the best one."""
    chance = _sigmoid(evidence.query)
    seeds = evidence.query > SEED
    if not seeds.any():
        seeds = evidence.query == evidence.query.max()
    return np.where(seeds, chance, 0.0)


def features(evidence: Evidence, group: FloatArray64) -> FloatArray64:
    """(N, F) what speaks for each track, given the (N,) weights of the group; see ``FEATURES``.

    A track's own weight does not speak for itself. ``share`` is the part of the group and the query
    in all that resembles a track; ``rank`` is low where they are the nearest to it.
    """
    weights = np.repeat(group[None], len(group), axis=0)
    np.fill_diagonal(weights, 0.0)
    total = weights.sum(axis=1)
    floor = np.maximum(total, 0.3)  # less than this is no group
    empty = total < 0.3
    pairs = np.clip(evidence.pairs, -NARROW, NARROW)
    best = np.where(weights > 0.5, pairs, -np.inf).max(axis=1)
    anchor = np.where(weights > 0.3, evidence.query, -np.inf).max(axis=1)
    # the query is one more neighbour of each track, and always of the group
    ratio = np.exp(np.column_stack([pairs, np.clip(evidence.query, -NARROW, NARROW)]))
    np.fill_diagonal(ratio, 0.0)
    full = np.column_stack([weights, np.ones(len(group))])
    return np.column_stack(
        [
            evidence.query,
            np.where(empty, 0.0, (weights * pairs).sum(axis=1) / floor),
            empty,
            np.where(np.isfinite(best), best, 0.0),
            evidence.joined,
            (weights * evidence.conflict).sum(axis=1) / np.maximum(total, 0.5),
            np.log1p(total),
            evidence.lone,
            np.where(np.isfinite(anchor), anchor, 0.0),
            (weights * (pairs > SEED)).sum(axis=1) / floor,
            (full * ratio).sum(axis=1) / ratio.sum(axis=1),
            (full * np.log(rankdata(-ratio, axis=1))).sum(axis=1) / full.sum(axis=1),
            evidence.query_mean,
            (weights * evidence.pair_means).sum(axis=1) / floor,
        ]
    )


def chances(evidence: Evidence, group: FloatArray64, model: Model) -> FloatArray64:
    """(N,) weights of the next group: the chance of each track, 1 for a confirmed one."""
    found = features(evidence, group) @ np.array(model.weights) + model.intercept
    return np.where(evidence.fixed, 1.0, _sigmoid(found))


def log_odds(evidence: Evidence, rounds: Sequence[Model] = ROUNDS) -> FloatArray64:
    """(N,) log odds that each track shows the person, given that the person is in the scope."""
    *first, last = rounds
    group = first_group(evidence)
    for model in first:
        group = chances(evidence, group, model)
    found: FloatArray64 = features(evidence, group) @ np.array(last.weights) + last.intercept
    return found


def presence_features(evidence: Evidence, found: FloatArray64) -> FloatArray64:
    """(F,) what speaks for the person being in the scope, given the (N,) log odds of the tracks.

    The query should resemble the whole group, not only the best track; see ``PRESENCE_FEATURES``.
    """
    group = _sigmoid(found)
    share = group / max(float(group.sum()), 1e-3)
    return np.array(
        [
            evidence.query.max(),
            evidence.query_mean.max(),
            share @ evidence.query,
            share @ evidence.query_mean,
            found.max(),
            np.log1p(group.sum()),
        ]
    )


def presence(evidence: Evidence, found: FloatArray64, prior: float) -> float:
    """Chance that the person is in the scope at all. It is 1 for a confirmed track.

    Args:
        evidence: Of N tracks.
        found: (N,) their log odds, see :func:`log_odds`.
        prior: The chance before the search, above 0. Half of the people of the fit were not there.
    """
    if evidence.fixed.any() or prior >= 1:
        return 1.0
    told = presence_features(evidence, found) @ np.array(PRESENCE.weights) + PRESENCE.intercept
    return float(_sigmoid(told + np.log(prior / (1 - prior))))


def _sigmoid(log_odds: FloatArray64) -> FloatArray64:
    out: FloatArray64 = 1 / (1 + np.exp(-np.clip(log_odds, -40, 40)))
    return out
