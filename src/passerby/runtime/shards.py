"""A folder of pictures to a folder of Parquet shards with one vector a picture; resumable."""

import csv
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice, tee
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import features

import passerby
from passerby.data.listing import LeftOut, no_pictures, walk_pictures
from passerby.errors import InputError, MissingExtraError
from passerby.files import replacing
from passerby.runtime.embedder import EmbeddedBatch, Embedder

ROWS = 4096  # about the pictures of a shard; a run that is killed loses at most these
SHARD_NAME = re.compile(r"part-(\d{5,})\.parquet")


@dataclass(kw_only=True)
class EmbedReport:
    """Counts of a run of :func:`embed_folder`; they grow while it runs."""

    pictures: int
    """Pictures below the folder."""
    embedded: int = 0
    """Vectors in the shards, those of earlier runs included."""
    left_out: int = 0
    """Pictures that could not be read, those of earlier runs included."""
    resumed: int = 0
    """Pictures in shards that an earlier run finished."""
    problems: dict[str, str] = field(default_factory=dict)
    """Picture -> reason why it was left out."""
    other_files: dict[str, int] = field(default_factory=dict)
    """Reason and suffix -> files below the folder that are not taken as pictures."""
    problems_file: str | None = None
    """CSV file with the same list; None without problems."""

    def add(self, embedded: int, problems: Mapping[str, str]) -> None:
        """Count the pictures of a batch or of a finished shard."""
        self.embedded += embedded
        self.left_out += len(problems)
        self.problems |= problems


def embed_folder(
    folder: str | Path,
    out: str | Path,
    *,
    embedder: Embedder,
    batch_size: int = 32,
    on_progress: Callable[[EmbedReport], None] | None = None,
) -> EmbedReport:
    """Embed every picture below a folder into Parquet shards.

    ``out`` becomes a folder ``part-00000.parquet``, ``part-00001.parquet`` ... that Parquet readers
    read as one table: ``pyarrow.parquet.read_table(out)``. The columns are path (relative to the
    folder, with "/") and vector (D float32), in the order of the paths. The metadata holds the
    model id, the model card and the options.

    Each shard is written atomically. A run that was killed continues after the last finished
    shard, and its shards are the same, byte for byte, as those of a run without a break, because
    every picture is in the same batch. Pictures that cannot be read are left out, and listed in
    ``<out>.problems.csv``. Memory holds one shard, the names of one folder, and the problems.

    Args:
        folder: Searched with its sub-folders.
        out: A new folder, or one of an earlier run with the same pictures, network and options.
        embedder: The network.
        batch_size: Pictures in one pass of the network.
        on_progress: Called with the report after each batch.

    Raises:
        InputError: There is no such folder or no picture in it, ``out`` cannot be written, another
            run writes it, or it belongs to other pictures, another network or other options.
        MissingExtraError: pyarrow is not installed.
    """
    from filelock import FileLock, Timeout

    folder, out = Path(folder), Path(out)
    if batch_size < 1:
        raise InputError(f"a batch of {batch_size} pictures cannot be; give 1 or more")
    other = LeftOut()
    count, digest = _list_of(folder, other)
    report = EmbedReport(pictures=count, other_files=other.by_reason())
    shards = _Shards(folder, out, embedder, batch_size, digest)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(out / ".lock", timeout=0):  # a killed run releases it
            for embedded, problems in shards.finished():
                report.add(embedded, problems)
                report.resumed += embedded + len(problems)
            rest = islice(walk_pictures(folder), report.resumed, None)
            to_embed, to_write = tee(folder / name for name in rest)
            for batch in embedder.stream(to_embed, batch_size=batch_size):
                paths = islice(to_write, len(batch.indices) + len(batch.problems))
                names = [path.relative_to(folder).as_posix() for path in paths]
                report.add(*shards.add(batch, names))
                if on_progress:
                    on_progress(report)
            shards.write()
            report.problems_file = _write_problems(out, report.problems)
    except Timeout:
        raise InputError(
            f"another run is writing '{out}'; wait for it, or give another folder"
        ) from None
    except OSError as error:
        raise InputError(f"'{out}' cannot be written: {error.strerror or error}") from None
    return report


def _list_of(folder: Path, left_out: LeftOut) -> tuple[int, str]:
    """Count the pictures below a folder and hash their names, sizes and dates.

    Raises:
        InputError: The folder does not exist, or there is no picture in it.
    """
    digest, count = hashlib.sha256(), 0
    for count, name in enumerate(walk_pictures(folder, left_out), start=1):  # noqa: B007 - used below
        try:
            found = (folder / name).stat()
            facts = f"{found.st_size}\0{found.st_mtime_ns}"
        except OSError:
            facts = "gone"
        digest.update(f"{name}\0{facts}\0".encode("utf-8", "surrogateescape"))
    if not count:
        raise InputError(no_pictures(folder, left_out))
    return count, digest.hexdigest()


class _Shards:
    """The folder of shards: those that are finished, and the rows of the next one."""

    def __init__(
        self, folder: Path, out: Path, embedder: Embedder, batch_size: int, digest: str
    ) -> None:
        """Prepare to read and write shards; nothing is written yet.

        Args:
            folder: The folder with the pictures.
            out: The folder of the shards.
            embedder: The network.
            batch_size: Pictures in one pass of the network.
            digest: Hash of the list of pictures.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        try:
            from pyarrow import parquet  # noqa: F401
        except ImportError:
            raise MissingExtraError("pyarrow", "tables") from None
        self.folder, self.out, self.dimension = folder, out, embedder.dimension
        # whole batches, so that a run that continues forms the same batches
        self.rows = max(1, ROWS // batch_size) * batch_size
        # no time and no path of the machine: the same pictures must give the same bytes
        self.made = {
            "passerby": passerby.__version__,
            "embedder": repr(embedder),
            "decoder": f"libjpeg-turbo {features.version('libjpeg_turbo')}",
            "folder": folder.resolve().name,
            # all shards must have the same of these:
            "pictures": digest,
            "network": embedder.model_id,
            "runtime": embedder.backend.describe(),
            "batch size": batch_size,
            "rows of a shard": self.rows,
        }
        self.metadata = {
            "passerby.model_id": embedder.model_id,
            "passerby.card": embedder.card.to_json(),
            "passerby.provenance": json.dumps(self.made),
        }
        self.count, self.position = 0, 0  # finished shards, and pictures of this run
        # of the next shard:
        self.names: list[str] = []
        self.vectors: list[NDArray[np.float32]] = []
        self.problems: dict[str, str] = {}

    def finished(self) -> list[tuple[int, dict[str, str]]]:
        """Return for each finished shard its number of vectors and the pictures left out.

        The first missing or damaged shard ends the list; later ones are written again.

        Raises:
            InputError: The folder contains other files, or shards made from other inputs.
        """
        facts = {}
        for path in self.out.iterdir():
            if SHARD_NAME.fullmatch(path.name):
                facts[path] = self._read(path)
            elif not path.name.startswith("."):
                raise InputError(f"'{self.out}' contains other files; give a new folder")
        done: list[tuple[int, dict[str, str]]] = []
        while fact := facts.get(self._path(len(done))):
            done.append(fact)
        self.count = len(done)
        return done

    def _path(self, number: int) -> Path:
        return self.out / f"part-{number:05d}.parquet"

    def _read(self, path: Path) -> tuple[int, dict[str, str]] | None:
        """Read a shard's number of rows and its problems; return None for a damaged file."""
        from pyarrow import ArrowException, parquet

        try:
            found = parquet.read_metadata(path)
        except (ArrowException, OSError):
            return None
        metadata = found.metadata or {}
        made = json.loads(metadata.get(b"passerby.provenance", b"{}"))
        same = ("pictures", "network", "runtime", "batch size", "rows of a shard")
        if other := [name for name in same if made.get(name) != self.made[name]]:
            raise InputError(
                f"'{self.out}' belongs to a run with other {', '.join(other)}; remove it, or give "
                "another folder"
            )
        return found.num_rows, json.loads(metadata[b"passerby.problems"])

    def add(self, batch: EmbeddedBatch, names: list[str]) -> tuple[int, dict[str, str]]:
        """Add a batch; write the shard when it is full.

        Args:
            batch: The next batch of the stream.
            names: Of its pictures, those that could not be read included.

        Returns:
            The number of vectors, and the pictures that were left out with the reason.
        """
        problems = {
            names[index - self.position]: why.replace(f"{self.folder}{os.sep}", "")
            for index, why in batch.problems.items()
        }
        for index, vector in zip(batch.indices, batch.vectors, strict=True):
            name = names[index - self.position]
            if _is_utf8(name):
                self.names.append(name)
                self.vectors.append(vector)
            else:
                problems[name] = "its name is not UTF-8"
        self.problems |= problems
        self.position += len(names)
        if len(self.names) + len(self.problems) >= self.rows:
            self.write()
        return len(names) - len(problems), problems

    def write(self) -> None:
        """Write the next shard atomically, if it has a picture."""
        import pyarrow
        from pyarrow import parquet

        if not self.names and not self.problems:
            return
        flat = pyarrow.array(np.array(self.vectors, np.float32).ravel())
        columns = {
            "path": pyarrow.array(self.names, pyarrow.string()),
            "vector": pyarrow.FixedSizeListArray.from_arrays(flat, self.dimension),
        }
        metadata = {**self.metadata, "passerby.problems": json.dumps(self.problems)}
        with replacing(self._path(self.count)) as partial:
            parquet.write_table(pyarrow.table(columns, metadata=metadata), partial)
        self.count += 1
        self.names, self.vectors, self.problems = [], [], {}


def _write_problems(out: Path, problems: Mapping[str, str]) -> str | None:
    """List the pictures that were left out in a CSV file beside the folder of shards.

    Returns:
        The path of the file; None if no picture was left out, and then there is no file.
    """
    target = out.with_name(f"{out.name}.problems.csv")
    if not problems:
        target.unlink(missing_ok=True)
        return None
    with (
        replacing(target) as partial,
        # names that are not UTF-8 are written with Python's escapes
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        csv.writer(file).writerows([("path", "problem"), *problems.items()])
    return str(target)


def _is_utf8(name: str) -> bool:
    """Check that a file name can be written as UTF-8, as Parquet needs it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
