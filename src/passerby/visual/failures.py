"""What goes wrong: people taken for each other, and crops too small to tell."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.visual.boxes import box_heights
from passerby.visual.results import Results

HEIGHT_GROUPS = 4


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Two people of whom one outranks the other.

    Attributes:
        person: Identity of the queries.
        other: Identity that stands before the first true match.
        queries: Queries of ``person`` for which that is so.
        of: Valid queries of ``person``.
        query: One of them, the one whose wrong crop is most similar: row of the query table.
        row: That crop: row of the gallery.
        similarity: Of both.
    """

    person: int
    other: int
    queries: int
    of: int
    query: int
    row: int
    similarity: float


@dataclass(frozen=True, kw_only=True)
class Group:
    """Results of some of the queries.

    Attributes:
        name: What they have in common.
        queries: How many.
        mAP: Their mean AP.
        rank1: Their rank-1.
    """

    name: str
    queries: int
    mAP: float  # noqa: N815 - the field's name
    rank1: float


def confusions(results: Results, *, most: int = 8) -> list[Confusion]:
    """Pairs of people ordered by how many queries of one meet the other before a true match.

    Looks at the rows that the ranking keeps. Distractors have no identity and are left out.
    """
    found: dict[tuple[int, int], list[tuple[float, int, int]]] = defaultdict(list)
    people = results.query.identity[results.matches.queries]
    for position, query in enumerate(results.matches.queries.tolist()):
        first = int(results.report.first[position])
        if first == 1:
            continue
        rows = results.ranking.indices[query][results.counted(position)][: first - 1]
        similar = results.similarity(query, rows)
        nearest: dict[int, tuple[float, int, int]] = {}
        for row, value in zip(rows.tolist(), similar.tolist(), strict=True):
            other = int(results.gallery.identity[row])
            if other > 0:
                nearest[other] = max(nearest.get(other, (-2.0, 0, 0)), (value, query, row))
        for other, best in nearest.items():
            found[int(people[position]), other].append(best)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), -max(item[1])[0], item[0]))
    return [
        Confusion(
            person=person,
            other=other,
            queries=len(cases),
            of=int((people == person).sum()),
            query=max(cases)[1],
            row=max(cases)[2],
            similarity=max(cases)[0],
        )
        for (person, other), cases in ordered[:most]
    ]


def by_height(results: Results, *, groups: int = HEIGHT_GROUPS) -> list[Group]:
    """Results by the height of the query's box in pixels, in groups of about equal size.

    Empty when the heights are all the same, as in sets whose crops were resized and that keep no
    boxes.
    """
    heights = box_heights(results.query)[results.report.queries]
    edges = np.unique(np.quantile(heights, np.linspace(0, 1, groups + 1)).round())
    if len(edges) < 3:
        return []
    number = np.clip(np.searchsorted(edges, heights, side="right") - 1, 0, len(edges) - 2)
    made = []
    for group in range(len(edges) - 1):
        inside = number == group
        if inside.any():
            name = f"{edges[group]:.0f} to {edges[group + 1]:.0f} px"
            made.append(_group(results, name, inside))
    return made


def by_matches(results: Results) -> list[Group]:
    """Results by how many true matches a query has: with few, one miss costs much."""
    counts = np.array([len(true) for true in results.matches.true])
    bounds = ((1, 1), (2, 3), (4, 7), (8, 15), (16, 10**9))
    made = []
    for low, high in bounds:
        inside = (counts >= low) & (counts <= high)
        if inside.any():
            name = "1" if high == 1 else f"{low} or more" if high > 10**6 else f"{low} to {high}"
            made.append(_group(results, name, inside))
    return made


def _group(results: Results, name: str, inside: NDArray[np.bool_]) -> Group:
    return Group(
        name=name,
        queries=int(inside.sum()),
        mAP=float(results.report.ap[inside].mean()),
        rank1=float((results.report.first[inside] == 1).mean()),
    )
