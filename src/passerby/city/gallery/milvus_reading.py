"""Questions to a gallery's collection: counting, and reading rows whatever their number."""

from collections.abc import Iterator, Sequence
from typing import Any

from passerby.city.gallery.milvus_collection import Spec, describe
from passerby.city.gallery.milvus_link import Link
from passerby.city.gallery.milvus_rows import chunks, expression, listed, quoted
from passerby.city.sightings import Scope

MOST = 16_384  # rows that Milvus gives in one answer
ANSWER_BYTES = 24 << 20
IDS = 2000  # ids in one expression
SAMPLE = 1000  # rows looked at to halve an answer


class Reader:
    """Reads what the alias of a link's address stands for, or any collection named by a spec."""

    def __init__(self, link: Link) -> None:
        """Use a connection."""
        self.link = link
        self.level = link.address.consistency

    def spec(self) -> Spec | None:
        """What the server says of the gallery's collection now; None when there is none."""
        return describe(self.link, self.link.address.name)

    def where(self, spec: Spec, scope: Scope) -> str:
        """The scope as an expression; with the partitions to read where that can be trusted."""
        return expression(scope, spec.district if self.link.prunes else 0)

    def counted(self, spec: Spec, where: str, *, level: str | None = None) -> int:
        """Rows of the collection that an expression holds for; all for an empty one."""
        answer = self.link.ask(
            "query",
            spec.collection,
            filter=where,
            output_fields=["count(*)"],
            consistency_level=level or self.level,
        )
        return int(answer[0]["count(*)"])

    def pages(
        self, spec: Spec, where: str, fields: list[str], *, level: str | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        """All rows that an expression holds for, in lists that fit into one answer.

        An answer of Milvus is complete when it is shorter than its limit; in which order it comes,
        and which rows a cut one holds, depends on the version. So what is cut is asked in halves.
        """
        size = max(2, min(MOST, ANSWER_BYTES // spec.row_bytes(fields)))
        pending, whole = [where], True
        while pending:
            part = pending.pop()
            if whole or self.counted(spec, part, level="Eventually") < size:
                rows = self._query(spec, part, fields, size, level)
                if len(rows) < size:
                    yield rows
                    continue
            whole = False
            pending += self._halves(spec, part, level)

    def _halves(self, spec: Spec, where: str, level: str | None) -> list[str]:
        """Two expressions that together hold for the same rows: the later ones, the earlier."""
        rows = self._query(spec, where, ["id", "time"], SAMPLE, level)
        if len(rows) < 2:  # deleted meanwhile
            return [where]
        times = sorted({int(row["time"]) for row in rows})
        names = sorted(row["id"] for row in rows)
        middle = str(times[len(times) // 2]) if len(times) > 1 else quoted(names[len(names) // 2])
        field = "time" if len(times) > 1 else "id"
        first = f"{where} and " if where else ""
        return [f"{first}{field} >= {middle}", f"{first}{field} < {middle}"]

    def _query(
        self, spec: Spec, where: str, fields: list[str], limit: int, level: str | None
    ) -> list[dict[str, Any]]:
        return list(
            self.link.ask(
                "query",
                spec.collection,
                filter=where,
                output_fields=fields,
                limit=limit,
                consistency_level=level or self.level,
            )
        )

    def of_ids(self, spec: Spec, ids: Sequence[str], fields: list[str]) -> Iterator[dict[str, Any]]:
        """The rows of those ids that exist, in any order."""
        for part in chunks(list(dict.fromkeys(ids)), IDS):
            for page in self.pages(spec, f"id in {listed(part)}", fields):
                yield from page
