"""Which gallery rows are a query's true matches, and which take no part."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import InputError
from passerby.metrics.protocols import Protocol


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """Identities and cameras of both sides, ready to be asked query by query.

    Attributes:
        queries: (V,) the queries that have a true match.
        true: Per valid query its true matches, rows of the gallery in ascending order.
        left_out: Per valid query the rows of the same person that take no part for it.
        never: Rows of the gallery that take no part for anybody (junk).
        query_count: Q.
        gallery_count: G.
    """

    queries: NDArray[np.int64]
    true: list[NDArray[np.int64]]
    left_out: list[NDArray[np.int64]]
    never: NDArray[np.int64]
    query_count: int
    gallery_count: int


def find_matches(
    query_ids: ArrayLike,
    gallery_ids: ArrayLike,
    query_cameras: ArrayLike,
    gallery_cameras: ArrayLike,
    protocol: Protocol,
) -> Matches:
    """Apply ``protocol`` to identities (Q,), (G,) and cameras (Q,), (G,).

    Raises:
        InputError: Lengths differ, values are no whole numbers, or no query has a true match, with
            the reason.
    """
    query_ids = _whole(query_ids, "query identities")
    gallery_ids = _whole(gallery_ids, "gallery identities")
    query_cameras = _cameras(query_cameras, "query cameras", protocol)
    gallery_cameras = _cameras(gallery_cameras, "gallery cameras", protocol)
    _same_length(query_ids, query_cameras, "query")
    _same_length(gallery_ids, gallery_cameras, "gallery")
    order = np.argsort(gallery_ids, kind="stable")
    ordered = gallery_ids[order]
    starts = np.searchsorted(ordered, query_ids, side="left")
    ends = np.searchsorted(ordered, query_ids, side="right")
    queries, true, left_out = [], [], []
    for query in np.flatnonzero((query_ids > 0) & (ends > starts)):
        people = order[starts[query] : ends[query]]
        if protocol.same_camera:
            counted = np.ones(len(people), dtype=bool)
        else:
            counted = gallery_cameras[people] != query_cameras[query]
        if counted.any():
            queries.append(query)
            true.append(people[counted])
            left_out.append(people[~counted])
    if not queries:
        raise InputError(_why_none(query_ids, gallery_ids, protocol))
    lowest = 0 if protocol.distractors else 1
    return Matches(
        queries=np.array(queries, dtype=np.int64),
        true=true,
        left_out=left_out,
        never=np.flatnonzero(gallery_ids < lowest),
        query_count=len(query_ids),
        gallery_count=len(gallery_ids),
    )


def _whole(values: ArrayLike, what: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputError(f"{what} are {array.dtype} {array.shape}; give whole numbers (N,)")
    return array.astype(np.int64)


def _cameras(values: ArrayLike, what: str, protocol: Protocol) -> NDArray[np.int64]:
    return protocol.cameras(_whole(values, what))


def _same_length(identities: NDArray[np.int64], cameras: NDArray[np.int64], what: str) -> None:
    if len(identities) != len(cameras):
        raise InputError(
            f"{len(identities)} {what} identities but {len(cameras)} {what} cameras; give one each"
        )


def _why_none(
    query_ids: NDArray[np.int64], gallery_ids: NDArray[np.int64], protocol: Protocol
) -> str:
    people = query_ids[query_ids > 0]
    absent = ~np.isin(people, gallery_ids)
    if not len(people):
        return "no query shows a person with a positive identity; nothing can be evaluated"
    if absent.all():
        return (
            "no query has a true match: none of the query identities is in the gallery; "
            "check that query and gallery belong together"
        )
    return (
        f"no query has a true match under protocol {protocol.name}: {int(absent.sum())} have an "
        f"identity that is not in the gallery, {int((~absent).sum())} are there only in the "
        "query's own camera; check the cameras, or use protocol any-camera"
    )
