"""The true matches of each query, and the gallery rows that take no part for it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import InputError
from passerby.metrics.protocols import Protocol, protocol_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """The true matches of all queries under a protocol.

    Attributes:
        queries: (V,) the queries that have a true match.
        true: For each valid query its true matches, rows of the gallery in ascending order.
        left_out: For each valid query the rows of the same person that take no part for it.
        never: Rows of the gallery that take no part for any query (junk).
        gallery_ids: (G,) identities of the gallery.
        query_count: Q.
        protocol: The protocol.
    """

    queries: NDArray[np.int64]
    true: list[NDArray[np.int64]]
    left_out: list[NDArray[np.int64]]
    never: NDArray[np.int64]
    gallery_ids: NDArray[np.int64]
    query_count: int
    protocol: Protocol

    @property
    def gallery_count(self) -> int:
        """G."""
        return len(self.gallery_ids)


def find_matches(
    query_ids: ArrayLike,
    gallery_ids: ArrayLike,
    query_cameras: ArrayLike,
    gallery_cameras: ArrayLike,
    protocol: str | Protocol,
) -> Matches:
    """Apply a protocol to identities (Q,), (G,) and cameras (Q,), (G,).

    Raises:
        InputError: Lengths differ, values are no whole numbers, no query has a true match (with the
            reason), or the protocol is unknown.
    """
    protocol = protocol_of(protocol)
    query_ids, query_cameras = _side("query", query_ids, query_cameras, protocol)
    gallery_ids, gallery_cameras = _side("gallery", gallery_ids, gallery_cameras, protocol)
    order = np.argsort(gallery_ids, kind="stable")
    ordered = gallery_ids[order]
    starts = np.searchsorted(ordered, query_ids, side="left")
    ends = np.searchsorted(ordered, query_ids, side="right")
    queries, true, left_out = [], [], []
    # labels that count from 0 name a person 0, unless the protocol knows 0 as the distractors
    lowest = 0 if protocol.distractors else 1
    for query in np.flatnonzero((query_ids >= lowest) & (ends > starts)):
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
    return Matches(
        queries=np.array(queries, dtype=np.int64),
        true=true,
        left_out=left_out,
        never=np.flatnonzero(gallery_ids < lowest),
        gallery_ids=gallery_ids,
        query_count=len(query_ids),
        protocol=protocol,
    )


def _side(
    name: str, identities: ArrayLike, cameras: ArrayLike, protocol: Protocol
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Check the identities and cameras of one side."""
    ids = _whole(identities, f"{name} identities")
    read = protocol.cameras(_whole(cameras, f"{name} cameras"))
    if len(ids) != len(read):
        raise InputError(
            f"{len(ids)} {name} identities but {len(read)} {name} cameras; give one each"
        )
    return ids, read


def _whole(values: ArrayLike, what: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputError(f"{what} are {array.dtype} {array.shape}; give whole numbers (N,)")
    return array.astype(np.int64)


def _why_none(
    query_ids: NDArray[np.int64], gallery_ids: NDArray[np.int64], protocol: Protocol
) -> str:
    people = query_ids[query_ids >= (0 if protocol.distractors else 1)]
    absent = ~np.isin(people, gallery_ids)
    if not len(people):
        return "no query shows a known person; nothing can be evaluated"
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
