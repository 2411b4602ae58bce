"""What several verbs share: groups of options, printed results, progress bars, data sets."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tqdm import tqdm

from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.city import City
    from passerby.data import CropTable
    from passerby.ingest import ClipOptions, Detector
    from passerby.runtime import Embedder
    from passerby.service.audit import Audit
    from passerby.service.database import Database

DATASETS = Path("datasets")
BY = "(command line)"  # the account of an audit's entry


@dataclass(frozen=True, kw_only=True)
class OfCity:
    """What every verb about one city takes first."""

    city: Annotated[Path, tyro.conf.Positional]
    """Folder of the city."""

    def open(self) -> "City":
        """Open the city; the caller closes it.

        Raises:
            InputError: There is no city in the folder.
        """
        from passerby.city import City

        return City.open(self.city)

    def require(self) -> Path:
        """Return the folder without opening the city.

        Raises:
            InputError: There is no city in the folder.
        """
        from passerby.city.address import has_city

        if not has_city(self.city):
            raise InputError(f"there is no city in {self.city}; make one first")
        return self.city


@dataclass(frozen=True, kw_only=True)
class Result:
    """A verb that prints its result as words or as JSON."""

    json: bool = False
    """Print the result as JSON."""

    def show(self, facts: object, words: str) -> None:
        """Print ``facts`` as one JSON value with --json, else ``words`` if there are any."""
        text = json.dumps(facts, ensure_ascii=False) if self.json else words
        if text:
            # file names may hold bytes that are no UTF-8
            print(text.encode(errors="backslashreplace").decode())


@dataclass(frozen=True, kw_only=True)
class OfNetwork:
    """How a network is run."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""
    runtime: str = "auto"
    """auto, torch, onnx or openvino."""
    precision: str = "auto"
    """auto (fp32), fp32, bf16 or fp16."""
    batch_size: int = 64
    """Pictures at once."""

    def load(self, model: str) -> "Embedder":
        """Open a network: a file, "default" or a pulled name.

        Raises:
            InputError: There is no such network, or it cannot run so.
        """
        from passerby.runtime import Embedder

        return Embedder.load(
            model, device=self.device, runtime=self.runtime, precision=self.precision
        )


@dataclass(frozen=True, kw_only=True)
class OfPeople:
    """The networks that find people in frames and turn them into vectors."""

    detector: str | None = None
    """Person detector: an OpenVINO .xml or .onnx file, or a name of `passerby models list
    detection`. Without one the default is taken, and pulled when none is here."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the detector. auto: bf16 where the processor computes with it and the boxes on
    the clip agree with those of fp32, else fp32."""
    model: str = "default"
    """Embedding network: default (the bundled one) or a file (.safetensors, .onnx, .xml)."""

    def pull_detector(self, verb: str) -> str:
        """Return the detector's name or file; pull the default one where none is here.

        Raises:
            InputError: It cannot be pulled.
        """
        from passerby.cli.models import download_bars
        from passerby.ingest.detector import pull_default

        if self.detector is None:
            pull_default(
                lambda line: print(f"passerby {verb}: {line}", file=sys.stderr), download_bars
            )
        return self.detector or "default"

    def load_detector(self, verb: str, city: "City", clip: Path | None) -> "Detector":
        """Open the detector; ``clip`` may decide its precision.

        Raises:
            InputError: There is no such detector, or not in this precision.
        """
        from passerby.ingest import Detector
        from passerby.ingest.precision import choose_precision

        name, precision = self.pull_detector(verb), str(self.precision)
        if precision == "auto":
            precision, words = choose_precision(city, name, clip)
            if words:
                print(f"passerby {verb}: {words}", file=sys.stderr)
        return Detector.load(name, precision=precision)


@dataclass(frozen=True, kw_only=True)
class OfClips(OfPeople):
    """How clips are read."""

    every: int = 1
    """Look at every n-th frame."""
    longest_gap: float = 60.0
    """Seconds without a frame that count as a gap in the recording. After a longer one the clip's
    clock was set anew, and what follows is placed right after what went before."""
    crops: int = 4
    """Sightings kept of each tracklet, at most."""
    enhance: bool = True
    """Raise the exposure of dark crops before they are stored."""

    def clip_options(self, rate: float | None = None) -> "ClipOptions":
        """How clips are read; ``rate`` is in frames a second, for clips without times."""
        from passerby.ingest import ClipOptions, TrackletOptions

        return ClipOptions(
            every=self.every,
            rate=rate,
            longest_gap=self.longest_gap,
            enhance=self.enhance,
            tracklets=TrackletOptions(crops=self.crops),
        )


@contextmanager
def audited(folder: Path, *, changing: bool = False) -> "Iterator[tuple[City, Database, Audit]]":
    """Open a city, the service's tables in it, and its audit.

    Args:
        folder: The city's folder.
        changing: The block changes what the audit records; it is not entered where the audit is
            not as it was left.

    Raises:
        InputError: There is no city in the folder, the service is not installed, or the audit
            takes no entry.
    """
    from passerby.city import City
    from passerby.service.audit import Audit
    from passerby.service.audit_heads import Forwarder
    from passerby.service.database import Database
    from passerby.service.settings import stored

    with City.open(folder) as city, closing(Database.of(city)) as database:
        # unchecked: a wrong setting must not stop the verb that sets it anew
        syslog, url = (str(stored(city).get(f"audit_{name}", "")) for name in ("syslog", "url"))
        with closing(Audit(database, city.folder, Forwarder(syslog=syslog, url=url))) as audit:
            if changing:
                audit.check()
            yield city, database, audit


def resolve(name: str, *, said: bool = False) -> "CropTable":
    """Read the data set that ``name`` means, and print what its reader noticed.

    Args:
        name: A named simulated set (rendered into ``datasets/`` on first use), a path, or NAME:PATH
            with a data set's name; or several of them, separated by commas.
        said: Whether the caller prints this itself.

    Raises:
        InputError: Nothing is there that a reader knows.
    """
    from passerby.data import read_any
    from passerby.data.table import merge

    whole = name.partition(":")[2] or name  # a path may have a comma
    if "," in name and not Path(name).exists() and not Path(whole).exists():
        return merge([resolve(one, said=said) for one in name.split(",") if one])
    source: str | Path = name
    if not Path(name).exists():  # else the extra "simulate" is not needed
        from passerby.simulate.options import BENCHMARKS, ensure

        source = ensure(name, DATASETS) if name in BENCHMARKS else name
    table = read_any(source)
    for finding in () if said else table.findings:
        print(f"{name}: {finding.level}: {finding.text}", file=sys.stderr)
    return table


def say_left_out(verb: str, files: Mapping[str, int]) -> None:
    """Print how many files are not taken as pictures; ``files`` counts them by reason."""
    if files:
        counts = ", ".join(f"{count} {reason}" for reason, count in files.items())
        print(f"passerby {verb}: files not taken: {counts}", file=sys.stderr)


def aligned(rows: Sequence[Sequence[str]], *, right: bool = False) -> str:
    """Lay out rows of texts in columns two spaces apart; ``right`` aligns all but the first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<", *(">" if right else "<") * (len(widths) - 1)]
    formats = [f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True)]
    return "\n".join("  ".join(formats).format(*row).rstrip() for row in rows)


def advance(bar: "tqdm[Any]", done: int, total: int | None = None) -> None:
    """Bring a progress bar to ``done``, and its length to ``total`` where this is known by now."""
    bar.total = bar.total if total is None else total
    bar.update(done - bar.n)
