"""A folder of pictures to a table of vectors, in resumable parts."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from passerby.errors import InputError, MissingExtraError
from passerby.runtime.embedder import Embedder

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
PART = 1024  # pictures a part: what a kill can cost


@dataclass(kw_only=True)
class EmbedReport:
    """What embedding a folder did; it grows while it runs."""

    pictures: int
    embedded: int = 0
    """Vectors in the table, those of an earlier run included."""
    resumed: int = 0
    """Pictures an earlier, broken-off run had done."""
    problems: dict[str, str] = field(default_factory=dict)
    """File -> why it was left out."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


Progress = Callable[[EmbedReport], None]


def embed_folder(
    folder: str | Path,
    out: str | Path,
    *,
    embedder: Embedder,
    batch_size: int = 32,
    on_progress: Progress | None = None,
) -> EmbedReport:
    """Embed every picture below a folder into a Parquet table.

    The table has the columns path (relative to the folder, "/" between), vector (D float32) and,
    in its metadata, the model id and card. Finished parts wait beside ``out`` until all is done,
    so that a run that was killed goes on where it stopped; pictures that cannot be read are
    left out and listed in the report.

    Args:
        folder: searched with its sub-folders, in order of path.
        out: the Parquet file; it appears whole, at the end.
        embedder: which network.
        batch_size: pictures a pass.
        on_progress: hears the report after each batch.

    Raises:
        InputError: no such folder, or no picture in it.
    """
    folder, out = Path(folder), Path(out)
    paths = find_pictures(folder)
    parts = _Parts(out, paths, folder, embedder)
    report = EmbedReport(pictures=len(paths))
    for number, part in enumerate(_slices(paths)):
        if parts.done(number):
            kept, problems = parts.read_facts(number)
            report.resumed += kept + len(problems)
        else:
            vectors, kept_paths, problems = [], [], {}
            for batch in embedder.stream(part, batch_size=batch_size):
                vectors.append(batch.vectors)
                names = [_relative(path, folder) for path in part]
                kept_paths += [names[index] for index in batch.indices]
                problems |= {names[index]: why for index, why in batch.problems.items()}
                if on_progress:
                    on_progress(_with(report, len(kept_paths), problems))
            parts.write(number, kept_paths, np.concatenate(vectors), problems)
            kept = len(kept_paths)
        report = _with(report, kept, problems)
        if on_progress:
            on_progress(report)
    parts.join()
    return report


def find_pictures(folder: Path) -> list[Path]:
    """Return the pictures below a folder, by suffix, in order of path.

    Raises:
        InputError: no such folder, or none in it.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder '{folder}'; give one with pictures")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"there are no pictures in '{folder}'; give one with JPEG or PNG files")
    return paths


def _with(report: EmbedReport, kept: int, problems: dict[str, str]) -> EmbedReport:
    return EmbedReport(
        pictures=report.pictures,
        embedded=report.embedded + kept,
        resumed=report.resumed,
        problems=report.problems | problems,
    )


def _slices(paths: list[Path]) -> Iterator[list[Path]]:
    for first in range(0, len(paths), PART):
        yield paths[first : first + PART]


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


class _Parts:
    """Finished parts beside the table, named by what made them."""

    def __init__(self, out: Path, paths: list[Path], folder: Path, embedder: Embedder) -> None:
        try:
            from pyarrow import parquet  # noqa: F401
        except ImportError:
            raise MissingExtraError("pyarrow", "tables") from None
        # other files, changed files or another network: other parts
        facts = [(_relative(p, folder), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
        what = json.dumps([embedder.model_id, facts]).encode()
        self._folder = out.with_name(f".{out.name}.{hashlib.sha256(what).hexdigest()[:12]}.parts")
        self._out, self._embedder, self._count = out, embedder, -(-len(paths) // PART)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"'{out}' cannot be written: {error}") from None

    def done(self, number: int) -> bool:
        return self._path(number).is_file()

    def read_facts(self, number: int) -> tuple[int, dict[str, str]]:
        """How many vectors a finished part holds, and its problems."""
        from pyarrow import parquet

        metadata = parquet.read_metadata(self._path(number))
        return metadata.num_rows, json.loads(metadata.metadata[b"passerby.problems"])

    def write(
        self, number: int, paths: list[str], vectors: np.ndarray, problems: dict[str, str]
    ) -> None:
        import pyarrow
        from pyarrow import parquet

        flat = pyarrow.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
        column = pyarrow.FixedSizeListArray.from_arrays(flat, self._embedder.dimension)
        table = pyarrow.table({"path": pyarrow.array(paths, pyarrow.string()), "vector": column})
        metadata = {
            "passerby.model_id": self._embedder.model_id,
            "passerby.card": self._embedder.card.to_json(),
            "passerby.problems": json.dumps(problems, ensure_ascii=False),
        }
        partial = self._path(number).with_suffix(".tmp")
        parquet.write_table(table.replace_schema_metadata(metadata), partial)
        os.replace(partial, self._path(number))

    def join(self) -> None:
        """Put the parts into the table and remove them."""
        import pyarrow
        from pyarrow import parquet

        tables = [parquet.read_table(self._path(number)) for number in range(self._count)]
        whole = pyarrow.concat_tables(tables)
        metadata = dict(tables[0].schema.metadata)
        del metadata[b"passerby.problems"]
        partial = self._folder / "whole.tmp"
        parquet.write_table(whole.replace_schema_metadata(metadata), partial)
        os.replace(partial, self._out)
        shutil.rmtree(self._folder)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.parquet"
