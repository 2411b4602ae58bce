"""Stores to compare: the gallery, FAISS, LanceDB, Qdrant Edge, and a plain scan with numpy.

All keep half-precision vectors (numpy: float32), search exactly, and answer with row numbers.
"""

import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.galleries.data import CHUNK, Source, Wanted, code_of

Rows = NDArray[np.int64]


class Store(Protocol):
    """What is measured."""

    name: str

    def build(self, source: Source) -> None:
        """Take all sightings in."""

    def search(self, query: NDArray[np.float32], k: int, wanted: Wanted) -> Rows:
        """Rows of the k nearest."""


class PasserbyStore:
    """The embedded gallery, filled from Parquet tables."""

    name = "passerby"

    def __init__(self, folder: Path, tables: Path, *, memory: int | None = None) -> None:
        from passerby.city.gallery import EmbeddedGallery

        self.gallery = EmbeddedGallery(folder, memory=memory)
        self.tables = tables
        self.adding = 0.0

    def build(self, source: Source) -> None:
        fill(source, self.tables, [self])

    def add_table(self, path: Path) -> None:
        """Add a Parquet table."""
        from passerby.ingest.vectors import read_sightings

        begin = time.perf_counter()
        for part in read_sightings(path):
            self.gallery.add(part)
        self.adding += time.perf_counter() - begin

    def search(self, query: NDArray[np.float32], k: int, wanted: Wanted) -> Rows:
        hits = self.gallery.search(query, k, wanted.scope)[0]
        return np.array([int(name[1:]) for name in hits.ids], np.int64)


def fill(source: Source, tables: Path, stores: list[Any]) -> None:
    """Write every chunk as a table and have each store add it."""
    for number in range(source.chunks):
        path = tables / f"{number}.parquet"
        write_table(source, number, path)
        for store in stores:
            store.add_table(path)
        path.unlink()


def write_table(source: Source, number: int, path: Path) -> None:
    """A chunk as the Parquet table that ``passerby admin gallery add`` reads."""
    import pyarrow as pa
    from pyarrow import parquet

    vectors = source.chunk(number).astype(np.float16)
    rows = range(number * CHUNK, number * CHUNK + len(vectors))
    codes = [code_of(cell) for cell in range(2000)]
    table: dict[str, Any] = {
        "id": [f"s{row:09d}" for row in rows],
        "camera": [f"C{source.cameras[row]:04d}" for row in rows],
        "unit": [codes[source.cells[row]] for row in rows],
        "time": source.times[rows.start : rows.stop],
        "model": [source.model] * len(rows),
        "tracklet": [f"t{row // 4}" for row in rows],
    }
    table["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), source.dimension)
    parquet.write_table(pa.table(table), path, use_dictionary=False, compression="none")


class NumpyStore:
    """The float32 matrix in memory; exact by definition."""

    name = "numpy float32"

    def build(self, source: Source) -> None:
        self.source = source
        self.vectors = np.concatenate([source.chunk(n) for n in range(source.chunks)])

    def search(self, query: NDArray[np.float32], k: int, wanted: Wanted) -> Rows:
        mask = wanted.mask(self.source)
        rows = np.flatnonzero(mask)
        scores = (self.vectors if len(rows) == len(mask) else self.vectors[rows]) @ query
        best = np.argpartition(-scores, k - 1)[:k] if len(scores) > k else np.arange(len(scores))
        return rows[best[np.argsort(-scores[best], kind="stable")]]


class FaissStore:
    """FAISS, scalar quantiser of half precision, flat, with a bitmap of the rows wanted."""

    name = "faiss"

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def build(self, source: Source) -> None:
        import faiss

        faiss.omp_set_num_threads(self.threads)
        self.source = source
        kind = faiss.ScalarQuantizer.QT_fp16
        self.index = faiss.IndexScalarQuantizer(source.dimension, kind, faiss.METRIC_INNER_PRODUCT)
        for number in range(source.chunks):
            self.index.add(source.chunk(number))

    def search(self, query: NDArray[np.float32], k: int, wanted: Wanted) -> Rows:
        import faiss

        mask = wanted.mask(self.source)
        if mask.all():
            return self._rows(self.index.search(query[None], k)[1])
        bits = np.packbits(mask, bitorder="little")
        selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        parameters = faiss.SearchParameters(sel=selector)
        return self._rows(self.index.search(query[None], k, params=parameters)[1])

    def _rows(self, found: Any) -> Rows:
        rows = np.asarray(found[0], np.int64)
        return rows[rows >= 0]


class LanceStore:
    """LanceDB, flat float16 with scalar indices on cell and time."""

    name = "lancedb"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def build(self, source: Source) -> None:
        import lancedb
        import pyarrow as pa

        def tables() -> Any:
            for number in range(source.chunks):
                rows = slice(number * CHUNK, number * CHUNK + CHUNK)
                flat = pa.array(source.chunk(number).astype(np.float16).ravel())
                vectors = pa.FixedSizeListArray.from_arrays(flat, source.dimension)
                cells, times = source.cells[rows], source.times[rows]
                ids = np.arange(rows.start, rows.start + len(cells))
                yield pa.record_batch({"row": ids, "cell": cells, "time": times, "vector": vectors})

        first = next(tables())
        database = lancedb.connect(self.folder)
        self.table = database.create_table("sightings", tables(), schema=first.schema)
        self.table.create_scalar_index("cell", index_type="BTREE")
        self.table.create_scalar_index("time", index_type="BTREE")
        self.table.optimize()

    def search(self, query: NDArray[np.float32], k: int, wanted: Wanted) -> Rows:
        ask = self.table.search(query).distance_type("dot").limit(k).select(["row", "_distance"])
        conditions = []
        if wanted.cells != (0, 2000):
            conditions.append(f"cell >= {wanted.cells[0]} AND cell < {wanted.cells[1]}")
        if wanted.times[0]:
            conditions.append(f"time >= {wanted.times[0]} AND time < {wanted.times[1]}")
        if conditions:
            ask = ask.where(" AND ".join(conditions), prefilter=True)
        return np.asarray(ask.to_arrow()["row"])


class QdrantStore:
    """Qdrant Edge, float16, exact, integer indices on cell and time."""

    name = "qdrant-edge"

    def __init__(self, folder: Path, threads: int) -> None:
        self.folder = folder
        self.threads = threads

    def build(self, source: Source) -> None:
        import qdrant_edge as q

        vector = q.EdgeVectorParams(
            size=source.dimension,
            distance=q.Distance.Dot,
            datatype=q.VectorStorageDatatype.Float16,
        )
        optimizers = q.EdgeOptimizersConfig(indexing_threshold=1 << 40)  # exact: no graph
        config = q.EdgeConfig(
            vectors={"v": vector}, optimizers=optimizers, max_search_threads=self.threads
        )
        self.shard = q.EdgeShard.create(str(self.folder), config)
        for name in ("cell", "time"):
            index = q.UpdateOperation.create_field_index(name, q.PayloadSchemaType.Integer)
            self.shard.update(index)
        for number in range(source.chunks):
            rows, first = source.chunk(number), number * CHUNK
            for start in range(0, len(rows), 2000):
                points = [
                    q.Point(at, {"v": row.tolist()}, self._payload(source, at))
                    for at, row in enumerate(rows[start : start + 2000], start=first + start)
                ]
                self.shard.update(q.UpdateOperation.upsert_points(points))
        self.shard.flush()

    def _payload(self, source: Source, row: int) -> dict[str, int]:
        return {"cell": int(source.cells[row]), "time": int(source.times[row])}

    def search(self, query: NDArray[np.float32], k: int, wanted: Wanted) -> Rows:
        import qdrant_edge as q

        must = []
        for name, (low, high), limits in (
            ("cell", wanted.cells, wanted.cells != (0, 2000)),
            ("time", wanted.times, wanted.times[0] > 0),
        ):
            if limits:
                must.append(q.FieldCondition(name, range=q.RangeFloat(gte=low, lt=high)))
        request = q.QueryRequest(
            limit=k,
            query=q.Query.Nearest(query.tolist(), using="v"),
            filter=q.Filter(must=must) if must else None,
            params=q.SearchParams(exact=True),
        )
        return np.array([point.id for point in self.shard.query(request)], np.int64)
