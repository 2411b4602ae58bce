"""Rank lists: a query and its nearest gallery crops, each marked true, wrong or ignored."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.visual.results import Results

Pick = Literal["mixed", "worst", "best", "random"]
Kind = Literal["true", "false", "junk"]
PICKS = ("mixed", "worst", "best", "random")
MOST_JUNK = 2  # ignored crops shown in one list


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One crop of a rank list.

    Attributes:
        row: Row of the gallery.
        kind: ``"true"`` (same person), ``"false"`` (another one), ``"junk"`` (ignored by the
            protocol: same person in the query's own camera, or a junk box).
        rank: Rank from 1 among the crops that count; 0 for junk.
        similarity: Cosine similarity to the query.
    """

    row: int
    kind: Kind
    rank: int
    similarity: float


@dataclass(frozen=True, kw_only=True)
class RankList:
    """One query with the top of its ranking.

    Attributes:
        query: Row of the query table.
        ap: Average precision, 0..1.
        first: Rank of the first true match, from 1.
        entries: Ranked crops with junk between them, nearest first.
        hidden_junk: Number of ignored crops between them that are not shown.
        best_true: The first true match, if it is not among ``entries``.
        true_count: True matches in the gallery.
        true_cameras: Their cameras, ascending.
        remark: One sentence on a common property of the wrong crops, or "".
    """

    query: int
    ap: float
    first: int
    entries: tuple[Entry, ...]
    hidden_junk: int
    best_true: Entry | None
    true_count: int
    true_cameras: tuple[int, ...]
    remark: str


def pick_queries(
    results: Results, pick: Pick, count: int, *, seed: int = 0
) -> list[tuple[Pick, NDArray[np.int64]]]:
    """Choose queries for rank lists.

    ``"worst"`` and ``"best"`` choose by AP (ties by row), ``"random"`` by ``seed``. ``"mixed"``
    chooses a third by each. The random ones are first, because the worst are not typical.

    Returns:
        Groups of queries: the name, and positions in the valid queries.

    Raises:
        InputError: ``pick`` is unknown, or ``count`` is below 1.
    """
    if pick not in PICKS:
        raise InputError(f"queries cannot be picked by '{pick}'; choose {', '.join(PICKS)}")
    if count < 1:
        raise InputError(f"{count} queries make no rank list; ask for 1 or more")
    order = np.argsort(results.report.ap, kind="stable")
    if pick == "worst":
        return [("worst", order[:count])]
    if pick == "best":
        return [("best", order[::-1][:count])]
    shuffled = np.random.default_rng(seed).permutation(len(order))
    if pick == "random":
        return [("random", np.sort(shuffled[:count]))]
    third = max(1, count // 3)
    worst, best = order[:third], order[::-1][:third]
    rest = shuffled[~np.isin(shuffled, np.concatenate([worst, best]))]
    random = np.sort(rest[: max(count - 2 * third, 0)])
    groups: list[tuple[Pick, NDArray[np.int64]]] = [
        ("random", random),
        ("worst", worst),
        ("best", best),
    ]
    return [(name, positions) for name, positions in groups if len(positions)]


def positions_of(results: Results, rows: tuple[int, ...]) -> NDArray[np.int64]:
    """Convert rows of the query table to positions in the valid queries.

    Raises:
        InputError: A row is no query, or has no true match.
    """
    valid = results.matches.queries
    for row in rows:
        if not 0 <= row < len(results.query):
            raise InputError(f"there is no query row {row}; rows are 0 to {len(results.query) - 1}")
        if row not in valid:
            raise InputError(f"query row {row} has no true match in the gallery; choose another")
    return np.searchsorted(valid, np.array(rows, dtype=np.int64))


def rank_list(results: Results, position: int, *, top: int = 10) -> RankList:
    """Return the top of one valid query's ranking: its first ``top`` crops that count.

    Args:
        results: Of all queries.
        position: Index into the valid queries.
        top: Number of crops that count; fewer if the ranking keeps fewer.

    Raises:
        InputError: ``top`` is below 1.
    """
    if top < 1:
        raise InputError(f"the top {top} is empty; ask for 1 or more")
    every = _entries(results, position, top)
    shown = max(entry.rank for entry in every)
    junk = [entry for entry in every if entry.kind == "junk"]
    entries = tuple(e for e in every if e.kind != "junk" or e in junk[:MOST_JUNK])
    matches = results.matches.true[position]
    first = int(results.report.first[position])
    query = int(results.matches.queries[position])
    return RankList(
        query=query,
        ap=float(results.report.ap[position]),
        first=first,
        entries=entries,
        hidden_junk=max(len(junk) - MOST_JUNK, 0),
        best_true=None if first <= shown else _best_true(results, position, first),
        true_count=len(matches),
        true_cameras=tuple(np.unique(results.gallery.camera[matches]).tolist()),
        remark=_remark(results, query, entries, first),
    )


def _entries(results: Results, position: int, top: int) -> list[Entry]:
    """Return the ranked crops up to the ``top``-th that counts."""
    query = int(results.matches.queries[position])
    rows = results.ranking.indices[query]
    counted, true = results.counted(position), results.true(position)
    ranks = np.where(counted, np.cumsum(counted), 0)
    end = int(np.searchsorted(np.cumsum(counted), top, side="left")) + 1
    similar = results.similarity(query, rows)
    kinds: list[Kind] = [
        "junk" if not c else "true" if t else "false"
        for c, t in zip(counted[:end], true[:end], strict=True)
    ]
    return [
        Entry(row=int(rows[i]), kind=kind, rank=int(ranks[i]), similarity=float(similar[i]))
        for i, kind in enumerate(kinds)
    ]


def _best_true(results: Results, position: int, first: int) -> Entry:
    """Return the nearest true match, whose rank is ``first``."""
    row = results.nearest_true[position]
    similar = results.similarity(int(results.matches.queries[position]), row[None])
    return Entry(row=int(row), kind="true", rank=first, similarity=float(similar[0]))


def _remark(results: Results, query: int, entries: tuple[Entry, ...], first: int) -> str:
    """Describe a common property of the wrong crops, if they have one."""
    wrong = np.array([e.row for e in entries if e.kind == "false"], dtype=np.int64)
    if first == 1 or not len(wrong):
        return ""
    gallery = results.gallery
    people = Counter(i for i in gallery.identity[wrong].tolist() if i > 0)
    person, times = people.most_common(1)[0] if people else (0, 0)
    if times >= 3:
        return f"{_share(times, len(wrong))} show one other person, {person}."
    own = int((gallery.camera[wrong] == results.query.camera[query]).sum())
    if 2 * own >= len(wrong) and own >= 3:
        return (
            f"{_share(own, len(wrong))} come from the query's own camera: background and light "
            "may weigh more than the person."
        )
    strangers = int((gallery.identity[wrong] == 0).sum())
    if 2 * strangers >= len(wrong) and strangers >= 3:
        return f"{_share(strangers, len(wrong))} are distractors: people never queried."
    return ""


def _share(some: int, wrong: int) -> str:
    return f"All {wrong} wrong crops" if some == wrong else f"{some} of the {wrong} wrong crops"
