"""The table of published networks: one TOML file a toolbox, read and checked."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from passerby.errors import InputError

DRIVE = "https://drive.google.com/file/d/{}/view"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
BEGINNING = re.compile(r"sha256:[0-9a-f]{8}")  # all that torchvision publishes of a digest
DETECTION = "person detection"  # the task of a detector; other entries embed crops
ANY_CLASS = -1
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# facts of preprocessing that a file cannot contain, or that are checked; as in ModelCard
FACTS = ("input_size", "colour_order", "value_range", "mean", "std", "interpolation", "dimension")


@dataclass(frozen=True, kw_only=True)
class ZooFile:
    """One file to download.

    Attributes:
        address: Its address, in the table always over HTTPS.
        size: Bytes, where they are known.
        digest: ``sha256:...``, ``sha384:...`` or ``sha512:...``, where it is known. It may be only
            the first 8 digits of a SHA-256.
        also: ``sha256:...`` of the file in other releases, which a user may bring by hand.
    """

    address: str
    size: int | None = None
    digest: str | None = None
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.address.rsplit("/", 1)[-1]

    @property
    def verifiable(self) -> bool:
        """Whether the whole digest is known."""
        return self.digest is not None and not BEGINNING.fullmatch(self.digest)


@dataclass(frozen=True, kw_only=True)
class ZooEntry:
    """One published network.

    Attributes:
        name: The name that ``passerby models pull`` and ``--model`` take.
        toolbox: The code that trained it.
        architecture: Its name in the toolbox or in :func:`passerby.models.build`.
        page: The page where its authors publish it.
        code: The address of their code.
        code_licence: The licence of the code; "" where it is not known.
        weights_licence: The licence of the weights, where it is stated apart from the code's.
        paper: The address of the paper, or "".
        trained_on: The data sets of the training.
        data_terms: Data set -> the known terms of its use.
        card: Facts of preprocessing, by the names of :class:`passerby.models.ModelCard`.
        published: Data set -> (mAP, rank-1) in percent, as its authors print them: single query,
            without re-ranking.
        files: The files to download; empty when only a browser can download.
        by_hand: The page to open where no plain GET gets the file, or "".
        inside: The name to look for on that page, when it has several files.
        task: "re-identification", or "person detection".
        person: Class of people in a detector's output, where the file does not say it; -1 takes
            every class.
    """

    name: str
    toolbox: str
    architecture: str
    page: str
    code: str
    code_licence: str
    weights_licence: str = ""
    paper: str = ""
    trained_on: tuple[str, ...] = ()
    data_terms: Mapping[str, str] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    files: tuple[ZooFile, ...] = ()
    by_hand: str = ""
    inside: str = ""
    task: str = "re-identification"
    person: int | None = None

    @property
    def detects(self) -> bool:
        """Whether it is a person detector."""
        return self.task == DETECTION

    @property
    def foreign(self) -> bool:
        """Whether a checkpoint is converted; OpenVINO networks and detectors stay as they are."""
        return not self.detects and not any(file.name.endswith(".xml") for file in self.files)

    @property
    def licence(self) -> str:
        """One line for a model card: the licences of the weights, the code and the data."""
        code = self.code_licence or "unknown"
        own = self.weights_licence or "not stated apart from the code's"
        terms = "; ".join(f"{name}: {terms}" for name, terms in self.data_terms.items())
        return f"weights: {own}; code: {code}; trained on {terms}"


@cache
def entries() -> Mapping[str, ZooEntry]:
    """Read all published networks, by name, ordered by toolbox."""
    here = resources.files(__package__)
    terms = tomllib.loads((here / "data_terms.toml").read_text(encoding="utf-8"))
    tables = (here / "tables").iterdir()
    found: dict[str, ZooEntry] = {}
    for table in sorted((t for t in tables if t.name.endswith(".toml")), key=lambda t: t.name):
        for entry in read_table(tomllib.loads(table.read_text(encoding="utf-8")), terms):
            if entry.name in found:
                raise ValueError(f"{table.name}: '{entry.name}' stands there twice")
            found[entry.name] = entry
    return found


def find(name: str) -> ZooEntry:
    """Find the entry of a name.

    Raises:
        InputError: There is none; the message lists similar names.
    """
    known = entries()
    if name not in known and (hyphens := name.replace("_", "-")) in known:
        name = hyphens  # torchvision writes its names with underscores
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise InputError(f"no published network '{name}'; {hint}'passerby models list' has them")
    return known[name]


def read_table(table: Mapping[str, Any], terms: Mapping[str, str]) -> list[ZooEntry]:
    """Read the networks of one toolbox's table.

    Raises:
        ValueError: A row does not have the form that this module describes.
    """
    shared = {key: value for key, value in table.items() if key not in ("base", "networks")}
    return [_entry({**shared, **row}, table, terms) for row in table["networks"]]


def _entry(row: dict[str, Any], table: Mapping[str, Any], terms: Mapping[str, str]) -> ZooEntry:
    row["card"] = _facts({**table.get("card", {}), **row.get("card", {})})
    row["trained_on"] = tuple(row["trained_on"])
    row["data_terms"] = {name: terms[name] for name in row["trained_on"]}
    row["published"] = {k: (v[0], v[1]) for k, v in row.get("published", {}).items()}
    files = row.pop("files", None) or [row]
    row["files"] = tuple(_file(f, table.get("base", "")) for f in files if "file" in f)
    if "drive" in row:
        row["by_hand"] = DRIVE.format(row.pop("drive"))
    for key in ("file", "size", "digest", "also"):
        row.pop(key, None)
    entry = ZooEntry(**row)
    if not NAME.fullmatch(entry.name):
        raise ValueError(f"'{entry.name}' is not lower-case words with hyphens")
    if bool(entry.files) == bool(entry.by_hand):
        raise ValueError(f"'{entry.name}' needs either files or a page to open by hand")
    return entry


def _file(row: Mapping[str, Any], base: str) -> ZooFile:
    file = ZooFile(
        address=base + row["file"],
        size=row.get("size"),
        digest=row.get("digest"),
        also=tuple(row.get("also", ())),
    )
    if not file.address.startswith("https://"):
        raise ValueError(f"'{file.address}' is not an HTTPS address")
    for digest in (*file.also, *([file.digest] if file.digest else ())):
        if not DIGEST.fullmatch(digest) and not BEGINNING.fullmatch(digest):
            raise ValueError(f"'{digest}' is not a digest")
    return file


def _facts(card: dict[str, Any]) -> dict[str, Any]:
    unknown = card.keys() - set(FACTS)
    if unknown:
        raise ValueError(f"the table says '{min(unknown)}' of a card")
    return {key: tuple(v) if isinstance(v, list) else v for key, v in card.items()}
