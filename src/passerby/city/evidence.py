"""How likely each track of a search shows the person: its appearance, its group, walking times.

A first guess takes the tracks that the query resembles most. They form a group, and each track is
compared with the whole group: a track that shows another side of the person resembles some of the
group though it does not resemble the query. Each round ends in a logistic model whose weights were
fitted on simulated cities (``passerby bench paths --fit``). ``docs/paths.md`` tells how well its
probabilities hold.
"""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform

from passerby.city.paths import FloatArray64
from passerby.city.sightings import FloatArray
from passerby.city.tracks import Track, best_similarities
from passerby.metrics import Calibration

BOUND = 8.0  # largest absolute log odds of one pair
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
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """One round's logistic model over ``FEATURES``."""

    weights: tuple[float, ...]
    intercept: float


# fitted by `passerby bench paths --fit` on the tuning cities; the order is that of FEATURES
ROUNDS = (
    Model(
        weights=(
            0.178, 0.2839, -1.0534, 0.1771, 0.3518, -4.1019, -1.4072, -1.0267, -0.0318, 0.4593,
        ),
        intercept=2.1779,
    ),
    Model(
        weights=(
            0.1644, 0.3021, 0.0, 0.2861, 0.2835, -13.8076, -1.9046, -1.1383, -0.2881, -0.0313,
        ),
        intercept=5.3146,
    ),
)  # fmt: skip
PRESENCE = Model(weights=(0.9741,), intercept=-2.3881)  # over the highest log odds to the query


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What is known of N tracks before they are put on a path.

    Attributes:
        query: (N,) log odds that a track shows the person of the query, by its best crop.
        pairs: (N, N) log odds that two tracks show the same person, by their best crops.
        joined: (N,) log odds at which clustering joins a track with the query.
        conflict: (N, N) 1 where nobody can have walked from one track to the other.
        lone: (N,) 1 for a tracklet of a single crop: often a false box of the detector.
        fixed: (N,) True for a track that an operator has confirmed.
    """

    query: FloatArray64
    pairs: FloatArray64
    joined: FloatArray64
    conflict: FloatArray64
    lone: FloatArray64
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
    return Evidence(
        query=own,
        pairs=pairs,
        joined=_joined(own, pairs - CONFLICT * conflict),
        conflict=conflict,
        lone=np.array([float(track.lone) for track in tracks]),
        fixed=fixed,
    )


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

    A track's own weight does not speak for itself.
    """
    weights = np.repeat(group[None], len(group), axis=0)
    np.fill_diagonal(weights, 0.0)
    total = weights.sum(axis=1)
    floor = np.maximum(total, 0.3)  # less than this is no group
    empty = total < 0.3
    pairs = np.clip(evidence.pairs, -6.0, 6.0)
    best = np.where(weights > 0.5, pairs, -np.inf).max(axis=1)
    anchor = np.where(weights > 0.3, evidence.query, -np.inf).max(axis=1)
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
        ]
    )


def chances(evidence: Evidence, group: FloatArray64, model: Model) -> FloatArray64:
    """(N,) weights of the next group: the chance of each track, 1 for a confirmed one."""
    found = features(evidence, group) @ np.array(model.weights) + model.intercept
    return np.where(evidence.fixed, 1.0, _sigmoid(found))


def log_odds(evidence: Evidence) -> FloatArray64:
    """(N,) log odds that each track shows the person, given that the person is in the scope."""
    *first, last = ROUNDS
    group = first_group(evidence)
    for model in first:
        group = chances(evidence, group, model)
    found: FloatArray64 = features(evidence, group) @ np.array(last.weights) + last.intercept
    return found


def presence(evidence: Evidence) -> float:
    """Chance that the person is in the scope at all, by the track that the query resembles most.

    Half of the people of the fit were not there. It is 1 when an operator has confirmed a track.
    """
    if evidence.fixed.any():
        return 1.0
    return float(_sigmoid(PRESENCE.weights[0] * evidence.query.max() + PRESENCE.intercept))


def _sigmoid(log_odds: FloatArray64) -> FloatArray64:
    out: FloatArray64 = 1 / (1 + np.exp(-np.clip(log_odds, -40, 40)))
    return out
