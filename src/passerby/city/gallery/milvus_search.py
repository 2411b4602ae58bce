"""Exact search: Milvus proposes, the embedded gallery's own sum decides."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery import kernel
from passerby.city.gallery.milvus_collection import Spec
from passerby.city.gallery.milvus_reading import ANSWER_BYTES, MOST, Reader
from passerby.city.gallery.port import Hits
from passerby.city.sightings import FloatArray, Scope
from passerby.errors import InputError

MORE = 16  # asked for beyond k, to see that no tie was cut


def unit_rows(vectors: FloatArray) -> NDArray[np.float64]:
    """(Q, D) float64 queries of length one.

    Raises:
        InputError: one is zero or not finite.
    """
    queries = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    norms = np.linalg.norm(queries, axis=1, keepdims=True)
    if not np.all(np.isfinite(norms)) or np.any(norms == 0):
        raise InputError("a query vector is zero or not finite; embed the picture again")
    unit: NDArray[np.float64] = queries / norms
    return unit


def search(
    reader: Reader, spec: Spec, queries: NDArray[np.float64], k: int, scope: Scope
) -> list[Hits]:
    """The k nearest sightings in the scope for each of the (Q, D) unit queries."""
    found: dict[int, Hits] = {}
    asked = min(k + MORE, MOST)
    while len(found) < len(queries):
        open_ones = [i for i in range(len(queries)) if i not in found]
        together = max(1, ANSWER_BYTES // (asked * spec.dimension * 4))
        for start in range(0, len(open_ones), together):
            part = open_ones[start : start + together]
            answers = reader.link.ask(
                "search",
                spec.collection,
                data=queries[part].astype(np.float32).tolist(),
                anns_field="vector",
                filter=reader.where(spec, scope),
                limit=asked,
                output_fields=["id", "vector"],
                search_params={"metric_type": "COSINE"},
                consistency_level=reader.level,
            )
            for i, answer in zip(part, answers, strict=True):
                hits = settled(list(answer), queries[i], k, asked)
                if hits is not None:
                    found[i] = hits
        if asked == MOST and len(found) < len(queries):
            raise InputError(
                f"more than {MOST} sightings are equally near to the query; narrow the scope"
            )
        asked = min(4 * asked, MOST)
    return [found[i] for i in range(len(queries))]


def settled(
    answer: list[dict[str, Any]], query: NDArray[np.float64], k: int, asked: int
) -> Hits | None:
    """The k nearest of what the server proposed, or None when it may have cut one of them off.

    The server's sums are rounded; a row it did not name can be nearer than its last one by the
    rounding of two sums over D products (products and lengths in float32).
    """
    if not answer:
        return Hits(ids=(), distances=np.zeros(0, np.float32))
    matrix = np.array([one["entity"]["vector"] for one in answer], dtype=np.float16)
    distances = kernel.decide(matrix, query)
    pairs = sorted(zip(distances.tolist(), (one["id"] for one in answer), strict=True))
    if len(answer) >= asked:
        slack = (2 * len(query) + 16) * 2.0**-24
        if pairs[min(k, len(pairs)) - 1][0] >= 1 - float(answer[-1]["distance"]) - slack:
            return None
    return Hits(
        ids=tuple(name for _, name in pairs[:k]),
        distances=np.array([distance for distance, _ in pairs[:k]], dtype=np.float32),
    )
