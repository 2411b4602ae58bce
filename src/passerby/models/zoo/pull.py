"""Pulling a published network into the cache: download, check, conversion."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import passerby
from passerby.errors import InputError
from passerby.files import replacing
from passerby.models.card import ModelCard
from passerby.models.zoo import cache
from passerby.models.zoo.download import Progress, copy, download
from passerby.models.zoo.table import ZooEntry, ZooFile, find


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """The result of a pull.

    Attributes:
        name: The name in the table.
        path: The network file; ``Embedder.load(name)`` opens it too.
        fresh: False when it was there already.
        verified: Whether the table has a digest for every file, so that all were checked.
        sources: File name -> SHA-256 of the file as downloaded.
        left_out: Tensors of the checkpoint left out on purpose.
    """

    name: str
    path: Path
    fresh: bool
    verified: bool
    sources: dict[str, str]
    left_out: tuple[str, ...] = ()


def pull(
    name: str,
    *,
    source: str | None = None,
    to: Path | None = None,
    on_progress: Callable[[str], Progress] | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> Pulled:
    """Get a published network into the user's cache; nothing is downloaded twice.

    Args:
        name: A name of the table.
        source: Another address of the file (or, ending in ``/``, of the folder of its files), or
            a file or folder that was downloaded by hand; None takes the table's address.
        to: A folder that gets a copy of the network file.
        on_progress: Takes a file's name and returns a function that takes the bytes so far.
        on_wait: Called when another process is pulling the same network.

    Raises:
        InputError: There is no such name, only a browser can download it, it cannot be reached, or
            the bytes are not those of the network.
    """
    entry = find(name)
    name = entry.name
    record = cache.read_record(name)
    fresh = record is None or (source is not None)
    if fresh:
        if not entry.files and source is None:
            raise InputError(by_hand(entry))
        with cache.sole_writer(name, on_wait):
            record = cache.read_record(name) if source is None else None
            if record is None:
                record = _install(entry, source, on_progress or (lambda _: lambda *_: None))
    assert record is not None
    path = _copy_to(record, to) if to else record["path"]
    return Pulled(
        name=name,
        path=path,
        fresh=fresh,
        verified=record["verified"],
        sources=record["sources"],
        left_out=tuple(record["left_out"]),
    )


def by_hand(entry: ZooEntry) -> str:
    """Say in one line what to download in a browser and what to run then."""
    what = f" (there: {entry.inside})" if entry.inside else ""
    return (
        f"only a browser can download '{entry.name}': save {entry.by_hand}{what} as FILE, then run "
        f"'passerby models pull {entry.name} --from FILE' "
        f"(or 'passerby convert FILE --out {entry.name}.safetensors')"
    )


def bring(entry: ZooEntry) -> str:
    """Say which files to bring from elsewhere, and the command that takes them."""
    if len(entry.files) == 1:
        return (
            f"bring the file {entry.files[0].address} and run "
            f"'passerby models pull {entry.name} --from FILE'"
        )
    return (
        f"bring the files {' and '.join(file.address for file in entry.files)} into one folder and "
        f"run 'passerby models pull {entry.name} --from FOLDER'"
    )


def _install(
    entry: ZooEntry, source: str | None, on_progress: Callable[[str], Progress]
) -> dict[str, Any]:
    """Download, convert, and put in place under the hash of the content."""
    models = cache.models_folder()
    downloads = models / "downloads" / entry.name
    downloads.mkdir(parents=True, exist_ok=True)
    wanted = entry.files or (ZooFile(address=source or ""),)  # the one downloaded by hand
    files = [_get(file, entry, source, downloads, on_progress) for file in wanted]
    sources = {file.name: cache.digest_of(file) for file in files}
    with tempfile.TemporaryDirectory(dir=models, prefix=f".{entry.name}.") as scratch:
        made = Path(scratch) / "network"
        made.mkdir()
        main, left_out = _network(entry, files, made)
        content = cache.content_hash(list(made.iterdir()))
        folder = models / f"{entry.name}-{content[:12]}"
        if not folder.is_dir():
            os.replace(made, folder)
    record = {
        "folder": folder.name,
        "main": main,
        "content": f"sha256:{content}",
        "sources": sources,
        "verified": all(file.verifiable for file in entry.files) and bool(entry.files),
        "left_out": list(left_out),
        "passerby": passerby.__version__,
    }
    cache.write_record(entry.name, record)
    shutil.rmtree(downloads)  # only now, so that after a failed conversion they are still there
    return {**record, "path": folder / main}


def _get(
    file: ZooFile,
    entry: ZooEntry,
    source: str | None,
    downloads: Path,
    on_progress: Callable[[str], Progress],
) -> Path:
    target = downloads / (Path(file.name).name or "network")
    wanted = replace(file, address=_address(file, entry, source))
    if urlsplit(wanted.address).scheme in ("http", "https"):
        try:
            download(wanted, target, on_progress=on_progress(file.name))
        except InputError as error:
            raise InputError(f"{error}; without a network, {bring(entry)}") from None
    else:
        copy(Path(wanted.address).expanduser(), target, wanted)
    return target


def _address(file: ZooFile, entry: ZooEntry, source: str | None) -> str:
    if source is None or not entry.files:
        return file.address
    folder = len(entry.files) > 1 or source.endswith("/") or Path(source).is_dir()
    return f"{source.rstrip('/')}/{file.name}" if folder else source


def _network(entry: ZooEntry, files: Sequence[Path], made: Path) -> tuple[str, tuple[str, ...]]:
    """Make the network's files in ``made``; return the main file and the left-out tensors."""
    if not entry.foreign:
        return _as_it_comes(entry, files, made), ()
    from passerby.models.convert import convert
    from passerby.models.files import load, save

    network, card = convert(files[0])
    card = with_facts(entry, card)
    main = f"{entry.name}.safetensors"
    save(network, card, made / main)
    load(made / main)  # check that the written file can be opened
    return main, tuple(card.training.get("left_out", ()))


def with_facts(entry: ZooEntry, card: ModelCard) -> ModelCard:
    """Add the table's facts to a converted card: input size, licences, origin."""
    published = {name: {"mAP": m, "rank1": r} for name, (m, r) in entry.published.items()}
    origin: dict[str, Any] = {
        "zoo": entry.name,
        "page": entry.page,
        "data": list(entry.trained_on),
    }
    if published:
        origin["published_percent"] = published
    facts = {key: value for key, value in entry.card.items() if key != "dimension"}
    return replace(card, **facts, licence=entry.licence, training={**card.training, **origin})


def _as_it_comes(entry: ZooEntry, files: Sequence[Path], made: Path) -> str:
    """Copy a network; write a card beside an OpenVINO one, as the .xml has no preprocessing."""
    for file in files:
        shutil.copyfile(file, made / file.name)
    main = next((file.name for file in files if file.suffix == ".xml"), files[0].name)
    if entry.detects:
        return main
    card = ModelCard(
        architecture=entry.architecture,
        training={"zoo": entry.name, "page": entry.page, "data": list(entry.trained_on)},
        licence=entry.licence,
        **entry.card,
    )
    (made / f"{main}.card.json").write_text(card.to_json() + "\n", encoding="utf-8")
    return main


def _copy_to(record: dict[str, Any], folder: Path) -> Path:
    """Copy a network's files into ``folder``; each appears complete or not at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(record["path"].parent.iterdir(), reverse=True):
            with replacing(folder / file.name) as partial:
                shutil.copyfile(file, partial)
    except OSError as error:
        raise InputError(f"'{folder}' cannot be written: {error.strerror}") from None
    return folder / str(record["main"])
