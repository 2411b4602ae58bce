"""Crops and vectors into the city, in durable batches."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from passerby.city import City, Sighting
from passerby.errors import InputError
from passerby.ingest.crops import encode_jpeg
from passerby.runtime import Embedder, read_image

Stored = Callable[[list[str]], None]
"""Called with the ids of sightings once they are durable."""

_WRITERS = 4  # each crop file waits for the disk; several wait at once


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def as_jpeg(data: bytes) -> bytes:
    """The file itself when it is a JPEG, else its picture encoded as one.

    Raises:
        InputError: not a picture.
    """
    return data if data.startswith(b"\xff\xd8\xff") else encode_jpeg(read_image(data))


@dataclass(frozen=True, kw_only=True)
class StoredBatch:
    """What became of a batch of crops."""

    ids: list[str]
    """Sightings that are in the gallery now."""
    added: int
    """How many of them were new."""
    problems: dict[str, str]
    """Id -> why its picture could not be read."""


def store(
    city: City, embedder: Embedder, facts: Sequence[Sighting], jpegs: Sequence[bytes]
) -> StoredBatch:
    """Embed crops, write their files, add the sightings; durable when it returns.

    What is embedded is the very JPEG that is kept, so that the vector can be made again.
    Sightings whose ids the gallery already holds are not embedded again when all of a batch are
    known.

    Args:
        city: where to.
        embedder: which network.
        facts: N sightings without vector, model and crop.
        jpegs: N files' bytes.
    """
    ids = [fact.id for fact in facts]
    if known(city, ids):
        return StoredBatch(ids=ids, added=0, problems={})
    problems: dict[str, str] = {}
    ready: list[Sighting] = []
    with ThreadPoolExecutor(_WRITERS, thread_name_prefix="crops") as pool:
        for part in embedder.stream(jpegs):
            problems |= {ids[index]: why for index, why in part.problems.items()}
            names = list(pool.map(city.crops.put, [jpegs[index] for index in part.indices]))
            for index, vector, name in zip(part.indices, part.vectors, names, strict=True):
                ready.append(
                    replace(facts[index], vector=vector, model=embedder.model_id, crop=name)
                )
    added = city.add_sightings(ready)
    return StoredBatch(ids=[one.id for one in ready], added=added, problems=problems)


def known(city: City, ids: list[str]) -> bool:
    """Whether the gallery holds all of these sightings."""
    try:
        city.gallery.get(ids)
    except InputError:
        return False
    return True
