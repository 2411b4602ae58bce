"""``passerby models | model-info | convert``: networks of others, and what a file holds."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tqdm import tqdm

from passerby.cli.common import Result, advance, aligned
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.models.structure import Structure
    from passerby.models.zoo import ZooEntry
    from passerby.models.zoo.download import Progress


@dataclass(frozen=True, kw_only=True)
class List(Result):
    """List published networks and person detectors: where they are, and under which terms."""

    words: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Only those whose name, toolbox, architecture or data hold all these words."""
    pulled: bool = False
    """Only those in the cache."""

    def main(self) -> None:
        """Print the table, or everything that is known as JSON."""
        from passerby.models import zoo

        found = [
            (entry, path)
            for entry in zoo.entries().values()
            if ((path := zoo.pulled(entry.name)) or not self.pulled) and self._wanted(entry)
        ]
        self.show(
            [{**asdict(entry), "pulled": str(path) if path else None} for entry, path in found],
            "\n\n".join(_tables(found)) or "no published network has these words",
        )

    def _wanted(self, entry: "ZooEntry") -> bool:
        names = (entry.name, entry.toolbox, entry.architecture, entry.task, *entry.trained_on)
        text = " ".join(names).lower()
        return all(word.lower() in text for word in self.words)


def _tables(found: "list[tuple[ZooEntry, Path | None]]") -> Iterator[str]:
    """The networks that embed people, and the detectors that find them."""
    networks = [row for row in found if not row[0].detects]
    if networks:
        head = ("name", "architecture", "trained on", "code", "digest", "how")
        yield (
            f"{aligned([head, *(_row(entry, path) for entry, path in networks)])}\n"
            f"{len(networks)} networks; the terms of their data: --json, or docs/model_zoo.md"
        )
    detectors = [row for row in found if row[0].detects]
    if detectors:
        names = ("detector", "network", "bytes", "digest", "weights", "code", "how", "address")
        rows = [line for entry, path in detectors for line in _file_rows(entry, path)]
        yield (
            f"{aligned([names, *rows])}\n{len(detectors)} person detectors, for --detector; "
            "weights '?': no licence is stated apart from the code's"
        )


def _row(entry: "ZooEntry", path: Path | None) -> tuple[str, ...]:
    how = "here" if path else ("pull" if entry.files else "by hand")
    digest = "known" if entry.files and all(file.digest for file in entry.files) else "-"
    data = ", ".join(entry.trained_on)
    return entry.name, entry.architecture, data, entry.code_licence or "?", digest, how


def _file_rows(entry: "ZooEntry", path: Path | None) -> Iterator[tuple[str, ...]]:
    """One row for each file of a detector; only the first names it."""
    stated = entry.weights_licence
    licence = "?" if not stated or stated.startswith("not stated") else stated
    facts = (licence, entry.code_licence, "here" if path else "pull")
    for number, file in enumerate(entry.files):
        size = "unknown" if file.size is None else f"{file.size:,}"
        digest = file.digest[:15] + "..." * file.verifiable if file.digest else "unknown"
        names = (entry.name, entry.architecture) if number == 0 else ("", "")
        yield (*names, size, digest, *facts, file.address)


@dataclass(frozen=True, kw_only=True)
class Pull(Result):
    """Download a published network or detector, check it, convert it, and keep it in the cache.

    A pull that was broken off goes on where it stopped. ``--model NAME``, or ``--detector NAME``,
    takes it from then on.
    """

    name: Annotated[str, tyro.conf.Positional]
    """A name of 'passerby models list'."""
    to: Path | None = None
    """Folder to copy the network file to as well."""
    source: Annotated[str | None, tyro.conf.arg(name="from", metavar="ADDRESS|FILE")] = None
    """Another address (a mirror; a folder there ends in /), or a file downloaded by hand (a folder
    for a network of several files)."""

    def main(self) -> None:
        """Pull, and say where the network is and under which terms."""
        from passerby.models import zoo

        def wait() -> None:
            print(f"passerby models: another process pulls '{self.name}'; waiting", file=sys.stderr)

        with download_bars() as start:
            done = zoo.pull(
                self.name, source=self.source, to=self.to, on_progress=start, on_wait=wait
            )
        lines = [f"{done.path}{'' if done.fresh else ' (was here already)'}"]
        if not done.verified:
            entry = zoo.find(self.name)
            known = all(file.digest for file in entry.files) and entry.files
            lines += [
                "only the first 8 digits of its SHA-256 are published; they fit:"
                if known
                else "no digest of it is published, so the bytes that came cannot be verified:",
                *(f"  {name}  {digest}" for name, digest in done.sources.items()),
            ]
        licence = zoo.find(self.name).licence
        self.show(
            {**asdict(done), "path": str(done.path), "licence": licence},
            "\n".join([*lines, licence]),
        )


@contextmanager
def download_bars() -> "Iterator[Callable[[str], Progress]]":
    """Yield a function that starts a progress bar for a file of the given name."""
    with ExitStack() as stack:

        def start(name: str) -> "Progress":
            bar = stack.enter_context(tqdm(desc=name[:40], unit="B", unit_scale=True, disable=None))

            def show(done: int, total: int | None) -> None:
                if bar.n == 0:
                    bar.initial = done  # what was there before does not count for the speed
                advance(bar, done, total)

            return show

        yield start


@dataclass(frozen=True, kw_only=True)
class Convert(Result):
    """Turn a checkpoint of another toolbox into a weights file with its card.

    Which toolbox it is follows from the names of its tensors. Nothing in the file is executed.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """The checkpoint (.pth, .pth.tar, .pt, .safetensors)."""
    out: Path
    """The .safetensors file to write."""
    input_size: tuple[int, int] | None = None
    """Height and width in pixels it was trained on, where these are not the published ones."""
    licence: str = ""
    """Licence of the weights, for the card; the file does not say."""
    classifier: bool = False
    """Keep the training identities' classifier as well."""
    force: bool = False
    """Write over an existing file."""

    def main(self) -> None:
        """Convert, write, and say what was taken and what was left out."""
        from passerby.models import convert, parameters, save

        if self.out.suffix != ".safetensors":
            raise InputError(f"'{self.out}' must end in .safetensors")
        if self.out.exists() and not self.force:
            raise InputError(f"'{self.out}' exists; choose another --out, or --force to replace it")
        network, card = convert(self.source, input_size=self.input_size)
        card = replace(card, licence=self.licence)
        save(network, card, self.out, classifier=self.classifier)
        left_out = card.training["left_out"]
        facts = {
            "written": str(self.out),
            "source": card.training["source"],
            "architecture": card.architecture,
            "structure": card.structure,
            "dimension": card.dimension,
            "parameters": parameters(network),
            "left_out": left_out,
            "notes": card.notes,
        }
        words = (
            f"{self.out}: {card.architecture} of {card.training['source']}, "
            f"{facts['parameters']:,} parameters, {card.dimension} dimensions\n"
            f"{card.notes}; {len(left_out)} tensors left out on purpose"
        )
        if not self.licence:
            words += "\nthe licence is unknown: set it with --licence before passing the weights on"
        self.show(facts, words)


@dataclass(frozen=True, kw_only=True)
class ModelInfo(Result):
    """Print the card of a weights file, or the size of an architecture."""

    model: Annotated[str, tyro.conf.Positional]
    """A network file, default, or a pulled name; a detector; or an architecture: resnet50, fpb,
    timm:..."""
    structure: dict[str, str] = field(default_factory=dict)
    """Options of an architecture given by name: --structure non_local agw convolution dwsep."""

    def main(self) -> None:
        """Print the card field by field, and the parameters."""
        facts = _of_detector(self.model)
        if facts is None:
            path = _file(self.model)
            facts = _of_file(path, self.structure) if path else _of_name(self.model, self.structure)
        self.show(facts, "\n".join(_lines(facts)))


def _of_detector(name: str) -> dict[str, Any] | None:
    """What is known of a published detector; None where the name is not one's."""
    from passerby.models import zoo

    entry = zoo.entries().get(name.replace("_", "-"))
    if entry is None or not entry.detects or Path(name).exists():
        return None
    from passerby.ingest.detector import Detector, find_detector

    path, _ = find_detector(name)
    return {
        **Detector.load(name).describe(),
        "network": f"{entry.architecture} ({entry.toolbox})",
        "licence": entry.licence,
        "page": entry.page,
        "file": str(path),
        "bytes": path.stat().st_size,
    }


def _file(model: str) -> Path | None:
    """The file that is meant, or None when an architecture is."""
    from passerby.models import zoo
    from passerby.models.identity import find_file

    path = Path(model)
    named = model == "default" or model in zoo.entries()
    if named or path.exists() or path.suffix == ".safetensors" or len(path.parts) > 1:
        return find_file(model)
    return None


def _of_file(path: Path, structure: Mapping[str, str]) -> dict[str, Any]:
    from passerby.models import load, parameters

    if structure:
        raise InputError(f"'{path}' knows its own structure; leave --structure out")
    if path.suffix in (".xml", ".onnx"):
        return {**_foreign(path), "bytes": path.stat().st_size}
    network, card = load(path)
    return {
        **asdict(card),
        "parameters": parameters(network),
        **_accounting(card.architecture, card.structure),
        "bytes": path.stat().st_size,
    }


def _foreign(path: Path) -> dict[str, Any]:
    """The card of a network of ONNX or OpenVINO: beside it, known by its name, or inside it.

    A network without a card may be a person detector.
    """
    from passerby.ingest.detector import Detector
    from passerby.runtime.files import read_network
    from passerby.runtime.sidecars import find_card, require_card

    if card := find_card(path):
        return asdict(card)
    try:
        if path.suffix == ".xml" and not path.with_suffix(".bin").is_file():
            return asdict(require_card(path))
        return asdict(read_network(path).card)
    except InputError as error:
        try:
            return Detector.load(path).describe()
        except InputError as other:
            raise InputError(f"{error}; as a detector: {other}") from None


def _of_name(architecture: str, structure: Mapping[str, str]) -> dict[str, Any]:
    import torch

    from passerby.models import build, parameters

    with torch.device("meta"):
        network = build(architecture, structure=structure)
    return {
        "architecture": architecture,
        "dimension": network.dimension,
        "structure": dict(structure),
        "parameters": parameters(network),
        **_accounting(architecture, structure),
    }


def _accounting(architecture: str, structure: "Structure") -> dict[str, Any]:
    """What a network adds to the residual network it stands on, in both ways of counting."""
    from passerby.models import parameter_counts

    counted = parameter_counts(architecture, structure)
    if counted is None or not counted.over_trunk:
        return {}
    over = {"over_trunk": counted.over_trunk, "over_imagenet": counted.over_imagenet}
    return {"accounting": {**asdict(counted), **over}}


def _accounting_lines(counted: Mapping[str, int]) -> list[str]:
    return [
        f"without a classifier of identities {counted['total']:,}:",
        f"  {counted['over_trunk']:+,} on its trunk with BNNeck, {counted['trunk']:,}",
        f"  {counted['over_imagenet']:+,} on that network with ImageNet's classifier, "
        f"{counted['imagenet']:,}",
    ]


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in facts.items():
        if name == "accounting":
            lines += _accounting_lines(value)
        elif isinstance(value, dict) and value:
            lines += [f"{indent}{name}", *_lines(value, indent + "  ")]
        elif value not in ("", None, {}):
            lines.append(f"{indent}{name:<{24 - len(indent)}} {value}")
    return lines
