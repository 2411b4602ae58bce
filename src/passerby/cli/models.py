"""``passerby models``: published networks, listed and pulled."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tqdm import tqdm

from passerby.cli.arguments import parse_choice

if TYPE_CHECKING:
    from passerby.models.zoo import ZooEntry
    from passerby.models.zoo.download import Progress


@dataclass(frozen=True, kw_only=True)
class List:
    """List published networks: where they are, what they were trained on, under which terms."""

    words: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Only those whose name, toolbox, architecture or data hold all these words."""
    pulled: bool = False
    """Only those in the cache."""
    json: bool = False
    """Print everything that is known, as JSON."""


@dataclass(frozen=True, kw_only=True)
class Pull:
    """Download a published network, check it, convert it, and keep it in the cache.

    A pull that was broken off goes on where it stopped. ``--model NAME`` takes it from then on.
    """

    name: Annotated[str, tyro.conf.Positional]
    """A name of 'passerby models list'."""
    to: Path | None = None
    """Folder to copy the network file to as well."""
    source: Annotated[str | None, tyro.conf.arg(name="from", metavar="ADDRESS|FILE")] = None
    """Another address (a mirror; a folder there ends in /), or a file downloaded by hand."""
    json: bool = False
    """Print the result as JSON."""


def main(arguments: Sequence[str]) -> int:
    """Run one of the two."""
    options = parse_choice({"list": List, "pull": Pull}, arguments, "models")
    return _list(options) if isinstance(options, List) else _pull(options)


def _list(options: List) -> int:
    from passerby.models import zoo

    rows = []
    for entry in zoo.entries().values():
        path = zoo.pulled(entry.name)
        if _wanted(entry, options.words) and (path or not options.pulled):
            rows.append((entry, path))
    if options.json:
        print(json.dumps([_facts(entry, path) for entry, path in rows], ensure_ascii=False))
        return 0
    lines = [("name", "architecture", "trained on", "code", "digest", "how")]
    for entry, path in rows:
        how = "here" if path else ("pull" if entry.files else "by hand")
        known = "known" if entry.files and all(f.digest for f in entry.files) else "-"
        data = ", ".join(entry.trained_on)
        licence = entry.code_licence or "?"
        lines.append((entry.name, entry.architecture, data, licence, known, how))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(f"{word:<{width}}" for word, width in zip(line, widths, strict=True)))
    print(f"{len(rows)} networks; the terms of their data: --json, or docs/model_zoo.md")
    return 0


def _wanted(entry: "ZooEntry", words: Sequence[str]) -> bool:
    told = " ".join((entry.name, entry.toolbox, entry.architecture, *entry.trained_on)).lower()
    return all(word.lower() in told for word in words)


def _facts(entry: "ZooEntry", path: Path | None) -> dict[str, Any]:
    return {**asdict(entry), "pulled": str(path) if path else None}


def _pull(options: Pull) -> int:
    from passerby.models import zoo

    def wait() -> None:
        print(f"passerby models: another process pulls '{options.name}'; waiting", file=sys.stderr)

    with _Bars() as bars:
        done = zoo.pull(
            options.name,
            source=options.source,
            to=options.to,
            on_progress=bars.start,
            on_wait=wait,
        )
    entry = zoo.find(options.name)
    if options.json:
        facts = {**asdict(done), "path": str(done.path), "licence": entry.licence}
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    print(f"{done.path}{'' if done.fresh else ' (was here already)'}")
    if not done.verified:
        print("no digest of it is published, so nobody vouches for the bytes that came:")
        for name, digest in done.sources.items():
            print(f"  {name}  {digest}")
    print(entry.licence)
    return 0


class _Bars:
    """A bar on standard error for each file."""

    def __init__(self) -> None:
        self._open: list[tqdm[Any]] = []

    def __enter__(self) -> "_Bars":
        return self

    def __exit__(self, *_: object) -> None:
        for bar in self._open:
            bar.close()

    def start(self, name: str) -> "Progress":
        bar = tqdm(desc=name[:40], unit="B", unit_scale=True, disable=None)
        self._open.append(bar)

        def show(done: int, total: int | None) -> None:
            if bar.n == 0:
                bar.initial = done  # what was there before does not count for the speed
            bar.total = total
            bar.update(done - bar.n)

        return show
