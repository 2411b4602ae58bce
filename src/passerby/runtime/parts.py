"""A table that grows in parts beside its place and appears there whole."""

import csv
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import pyarrow

ROW_GROUP = 1 << 15  # rows of a row group; what joining holds in memory


@dataclass(frozen=True, kw_only=True)
class PartFacts:
    """What is known of a finished part: its vectors, and the pictures left out."""

    embedded: int
    problems: dict[str, str]


class Parts:
    """Finished parts of a table, each marked by what it was made from.

    A part is valid for the mark it was written with, so that a run that goes on after a kill takes
    just the parts whose pictures and network are still the same.
    """

    def __init__(self, out: Path, dimension: int) -> None:
        """Keep parts beside ``out``.

        Raises:
            InputError: pyarrow is missing, or there is no place to write.
        """
        try:
            from pyarrow import parquet  # noqa: F401
        except ImportError:
            raise MissingExtraError("pyarrow", "tables") from None
        self._out, self._dimension = out, dimension
        self._folder = out.with_name(f".{out.name}.parts")
        self.problems_file = out.with_name(f"{out.name}.problems.csv")
        self._make_folder()

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"'{self._out}' cannot be written: {error.strerror}") from None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs away from these parts; a killed run lets go by itself.

        Raises:
            InputError: Another run writes the same table.
        """
        handle = self._locked()
        try:
            yield
        finally:
            os.close(handle)

    def _locked(self) -> int:
        """A handle that holds the folder; one that a run has removed at its end is made again."""
        while True:
            self._make_folder()
            try:
                handle = os.open(self._folder, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(handle), self._folder.stat()):
                    return handle
            except FileNotFoundError:
                pass
            except BlockingIOError:
                os.close(handle)
                raise InputError(
                    f"another run is writing '{self._out}'; wait for it, or name another file"
                ) from None
            os.close(handle)

    def facts(self, number: int, mark: str) -> PartFacts | None:
        """What a finished part holds; None when it is not there or was made from other things."""
        metadata = read_metadata(self._path(number))
        if metadata is None or metadata.get("mark") != mark:
            return None
        return PartFacts(embedded=metadata["rows"], problems=json.loads(metadata["problems"]))

    def write(
        self,
        number: int,
        mark: str,
        *,
        names: Sequence[str],
        vectors: NDArray[np.float32],
        problems: dict[str, str],
    ) -> None:
        """Write a part; it appears whole."""
        import pyarrow

        flat = pyarrow.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
        column = pyarrow.FixedSizeListArray.from_arrays(flat, self._dimension)
        table = pyarrow.table({"path": pyarrow.array(names, pyarrow.string()), "vector": column})
        notes = {
            "passerby.mark": mark,
            "passerby.problems": json.dumps(problems),
        }
        self._replace(self._path(number), [table.replace_schema_metadata(notes)])

    def join(self, count: int, metadata: dict[str, str]) -> None:
        """Put parts 0 .. count-1 into the table with its ``metadata``, and remove them."""
        try:
            self._write_problems(count)
            self._replace(
                self._out, (t.replace_schema_metadata(metadata) for t in self._all(count))
            )
        except OSError as error:
            raise InputError(f"'{self._out}' cannot be written: {error}") from None
        shutil.rmtree(self._folder)

    def discard(self) -> None:
        """Remove what an older run left."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _all(self, count: int) -> "Iterator[pyarrow.Table]":
        """All rows, in pieces of bounded size."""
        import pyarrow
        from pyarrow import parquet

        held: list[pyarrow.Table] = []
        for number in range(count):
            held.append(parquet.read_table(self._path(number)).replace_schema_metadata(None))
            if sum(map(len, held)) >= ROW_GROUP or number == count - 1:
                yield pyarrow.concat_tables(held)
                held = []

    def _replace(self, target: Path, tables: "Iterable[pyarrow.Table]") -> None:
        from pyarrow import parquet

        partial = self._folder / f"{target.name}.{os.getpid()}.tmp"
        writer = None
        for table in tables:
            writer = writer or parquet.ParquetWriter(partial, table.schema)
            writer.write_table(table, row_group_size=len(table) or None)
        assert writer is not None, "there is always a part"
        writer.close()
        os.replace(partial, target)

    def _write_problems(self, count: int) -> None:
        """List the pictures left out beside the table; no list when there are none."""
        partial = self._folder / "problems.tmp"
        any_problem = False
        # names that are no UTF-8 are written as Python shows them
        with partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["path", "problem"])
            for number in range(count):
                metadata = read_metadata(self._path(number)) or {}
                for name, why in json.loads(metadata.get("problems", "{}")).items():
                    lines.writerow([name, why])
                    any_problem = True
        if any_problem:
            os.replace(partial, self.problems_file)
        else:
            partial.unlink()
            self.problems_file.unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.parquet"


def read_metadata(path: Path) -> dict[str, Any] | None:
    """The ``passerby.`` metadata of a table, and its ``rows``; None when it is no whole table."""
    from pyarrow import ArrowException, parquet

    if not path.is_file():
        return None
    try:
        found = parquet.read_metadata(path)
    except (ArrowException, OSError):
        return None
    pairs = (found.metadata or {}).items()
    kept = {k.decode().removeprefix("passerby."): v.decode() for k, v in pairs if b"passerby" in k}
    return {**kept, "rows": found.num_rows}


def mark_of(made_by: str, folder: Path, names: Sequence[str]) -> str:
    """A hash over a network and the names, sizes and dates of pictures."""
    digest = hashlib.sha256(made_by.encode())
    for name in names:
        try:
            found = (folder / name).stat()
            facts = f"{found.st_size}\0{found.st_mtime_ns}"
        except OSError:
            facts = "gone"
        digest.update(f"{name}\0{facts}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
