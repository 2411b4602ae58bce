"""A folder of pictures to a table of vectors, in resumable parts."""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import features

import passerby
from passerby.errors import InputError
from passerby.runtime.embedder import Embedded, Embedder
from passerby.runtime.folders import count_pictures, find_pictures, walk_pictures
from passerby.runtime.parts import PartFacts, Parts, mark_of, read_metadata

__all__ = ["EmbedReport", "Progress", "embed_folder", "find_pictures"]

PART = 1024  # pictures a part, about: what a kill can cost
KEPT = 1000  # problems a report holds; the file beside the table has all


@dataclass(kw_only=True)
class EmbedReport:
    """What embedding a folder did; it grows while it runs."""

    pictures: int
    """How many there are below the folder."""
    embedded: int = 0
    """Vectors in the table, those of an earlier run included."""
    left_out: int = 0
    """Pictures that could not be read, those of an earlier run included."""
    resumed: int = 0
    """Pictures an earlier, broken-off run had done."""
    problems: dict[str, str] = field(default_factory=dict)
    """File -> why it was left out, the first thousand."""
    problems_file: str | None = None
    """CSV of all that were left out, when there are any."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def add(self, facts: PartFacts) -> None:
        """Count what was done, or what was found done."""
        self.embedded += facts.embedded
        self.left_out += len(facts.problems)
        self.problems |= dict(islice(facts.problems.items(), max(0, KEPT - len(self.problems))))


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

    The table has the columns path (relative to the folder, "/" between) and vector (D float32), in
    the order of the paths, and in its metadata the model's id and card, and what made it. Finished
    parts wait beside ``out`` until all is done: a run that was killed goes on where it stopped, and
    the rows are the same, bit by bit, for the same pictures stand in the same batches. Pictures
    that cannot be read are left out, and listed in ``<out>.problems.csv``. Memory holds a few parts
    and the names of a folder, however many pictures there are.

    Args:
        folder: searched with its sub-folders.
        out: the Parquet file; it appears whole, at the end. A table of the same pictures, as they
            are, and of the same network is left as it is.
        embedder: which network.
        batch_size: pictures a pass.
        on_progress: hears the report after each batch.

    Raises:
        InputError: no such folder, or no picture in it, or ``out`` cannot be written.
    """
    run = _Run(Path(folder), Path(out), embedder, batch_size, on_progress or (lambda _: None))
    with run.parts.alone():
        return run.finished() or run.go()


@dataclass(kw_only=True)
class _Slice:
    """Pictures of one part, and what has become of them so far."""

    number: int
    mark: str
    names: list[str]
    seen: int = 0
    kept: list[str] = field(default_factory=list)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    def take(self, batch: Embedded, first: int) -> PartFacts:
        """Add a batch, whose positions count from the stream's ``first`` picture of this part."""
        names = [self.names[index - first] for index in batch.indices]
        text = np.array([_is_text(name) for name in names], dtype=bool)
        problems = {self.names[i - first]: why for i, why in batch.problems.items()}
        problems |= {n: "its name is not UTF-8" for n, t in zip(names, text, strict=True) if not t}
        self.kept += [name for name, good in zip(names, text, strict=True) if good]
        self.vectors.append(batch.vectors[text])
        self.problems |= problems
        self.seen += len(batch.indices) + len(batch.problems)
        return PartFacts(embedded=int(text.sum()), problems=problems)


class _Run:
    """One call of :func:`embed_folder`."""

    def __init__(
        self, folder: Path, out: Path, embedder: Embedder, batch_size: int, told: Progress
    ) -> None:
        if batch_size < 1:
            raise InputError(f"a batch of {batch_size} pictures cannot be; give 1 or more")
        self.folder, self.out, self.embedder, self.told = folder, out, embedder, told
        self.batch_size = batch_size
        # whole batches: a run that goes on then forms the same batches as one that was not broken
        self.size = max(1, PART // batch_size) * batch_size
        self.made_by = json.dumps([repr(embedder), batch_size, self.size])
        self.report = EmbedReport(pictures=count_pictures(folder))
        self.parts = Parts(out, embedder.dimension)
        self.whole = hashlib.sha256()
        self.todo: deque[_Slice] = deque()
        self.number = 0

    def finished(self) -> EmbedReport | None:
        """The report of a table that is there already, of these pictures and this network."""
        there = read_metadata(self.out)
        if there is None or "pictures" not in there:
            return None
        whole = hashlib.sha256()
        for names in self._slices():
            whole.update(mark_of(self.made_by, self.folder, names).encode())
        if there["pictures"] != whole.hexdigest():
            return None
        self.parts.discard()
        self.report.embedded, self.report.resumed = there["rows"], self.report.pictures
        self.report.left_out = self.report.pictures - self.report.embedded
        return self._end()

    def go(self) -> EmbedReport:
        """Embed what is not there yet, and put the table together."""
        first = 0
        for batch in self.embedder.stream(self._paths(), batch_size=self.batch_size):
            part = self.todo[0]
            self.report.add(part.take(batch, first))
            if part.seen == len(part.names):
                self.todo.popleft()
                first += len(part.names)
                self._write(part)
            self.told(self.report)
        self.parts.join(self.number, self._metadata())
        return self._end()

    def _paths(self) -> Iterator[Path]:
        """Pictures to embed; parts that an earlier run finished are counted and passed over."""
        for names in self._slices():
            mark = mark_of(self.made_by, self.folder, names)
            self.whole.update(mark.encode())
            done = self.parts.facts(self.number, mark)
            if done:
                self.report.resumed += len(names)
                self.report.add(done)
                self.told(self.report)
            else:
                self.todo.append(_Slice(number=self.number, mark=mark, names=names))
            self.number += 1
            if not done:
                yield from (self.folder / name for name in names)

    def _slices(self) -> Iterator[list[str]]:
        names = walk_pictures(self.folder)
        while part := list(islice(names, self.size)):
            yield part

    def _write(self, part: _Slice) -> None:
        self.parts.write(
            part.number,
            part.mark,
            names=part.kept,
            vectors=np.concatenate(part.vectors),
            problems=part.problems,
        )

    def _metadata(self) -> dict[str, str]:
        """What the table says of itself; nothing in it is of this machine or this hour."""
        made = {
            "passerby": passerby.__version__,
            "embedder": repr(self.embedder),
            "batch_size": self.batch_size,
            "folder": self.folder.resolve().name,
            "decoder": f"libjpeg-turbo {features.version('libjpeg_turbo')}",
            "left_out": self.report.left_out,
        }
        return {
            "passerby.model_id": self.embedder.model_id,
            "passerby.card": self.embedder.card.to_json(),
            "passerby.provenance": json.dumps(made),
            "passerby.pictures": self.whole.hexdigest(),
        }

    def _end(self) -> EmbedReport:
        file = self.parts.problems_file
        self.report.problems_file = str(file) if self.report.left_out and file.is_file() else None
        return self.report


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
