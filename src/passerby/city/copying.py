"""Copy one gallery to another of any kind: resumable, and verified by checksums.

The source is read in windows of time, halved until they are small. A window is skipped when its
sightings are in the target already, each with its checksum. So an interrupted copy continues where
it stopped, and a repeated one only checks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from passerby.city.gallery.port import DamagedError, Gallery
from passerby.city.gallery.records import checksum
from passerby.city.sightings import Scope
from passerby.errors import InputError

WINDOW_ROWS = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    """The result of a copy.

    Attributes:
        sightings: in the source; the target now holds all of them, each with its checksum.
        stored: of these, those that were not in the target before.
        checksum: over the checksums of all, the same for equal galleries.
    """

    sightings: int
    stored: int
    checksum: int


def copy(
    source: Gallery, target: Gallery, *, progress: Callable[[int], object] = lambda _: None
) -> Copied:
    """Copy every sighting of ``source`` into ``target``; equal ones that are there stay.

    A sighting that is added to the source or deleted from it meanwhile may be in the target or not.

    Args:
        source: where to read.
        target: empty, or with an earlier, interrupted copy of the source in it.
        progress: called with the number of sightings of each finished window.

    Raises:
        InputError: the target holds another model's vectors, other sightings than the source, or
            another sighting under the same id.
        DamagedError: what was read back from the target differs from what was written.
    """
    if source.model_id is not None and target.model_id not in (None, source.model_id):
        raise InputError(
            f"the target holds vectors of the model '{target.model_id}', the source of "
            f"'{source.model_id}'; name an empty target"
        )
    found = stored = total = 0
    for window in windows(source):
        want = sums(source, window)
        have = sums(target, window)
        _only_ours(want, have)
        missing = [name for name in want if name not in have]
        if missing:
            stored += _store(source, target, missing)
            have = sums(target, window)
            wrong = [name for name in missing if have.get(name) != want[name]]
            if wrong:
                raise DamagedError(
                    f"sighting '{wrong[0]}' does not read back from the target as it was written; "
                    "copy again, and check the target's disk if it happens again"
                )
        found += len(want)
        total = (total + sum(want.values())) % 2**64
        progress(len(want))
    _nothing_more(target, found)
    return Copied(sightings=found, stored=stored, checksum=total)


def windows(gallery: Gallery, rows: int = WINDOW_ROWS) -> Iterator[Scope]:
    """Yield windows of time, oldest first, that together hold every sighting.

    Each holds at most ``rows`` sightings, or is one millisecond long.
    """
    stats = gallery.stats()
    if stats.first is None or stats.last is None:
        return
    pending = [(stats.first, stats.last + 1)]
    while pending:
        start, end = pending.pop()
        window = Scope(start=start, end=end)
        count = gallery.count(window)
        if count > rows and end - start > 1:
            middle = (start + end) // 2
            pending += [(middle, end), (start, middle)]
        elif count:
            yield window


def sums(gallery: Gallery, window: Scope) -> dict[str, int]:
    """Return the checksum of every sighting in a window, by id."""
    found = gallery.latest(gallery.count(window), window)
    vectors = gallery.vectors([one.id for one in found])
    return {one.id: checksum(one, row) for one, row in zip(found, vectors, strict=True)}


def _store(source: Gallery, target: Gallery, ids: list[str]) -> int:
    vectors = source.vectors(ids)
    return target.add(
        replace(one, vector=np.asarray(row, np.float32))
        for one, row in zip(source.get(ids), vectors, strict=True)
    )


def _only_ours(want: dict[str, int], have: dict[str, int]) -> None:
    for name, value in have.items():
        if name not in want:
            raise InputError(
                f"the target holds the sighting '{name}', which the source does not; "
                "name an empty target"
            )
        if value != want[name]:
            raise InputError(
                f"the target holds another sighting '{name}' than the source; name an empty target"
            )


def _nothing_more(target: Gallery, expected: int) -> None:
    held = target.count()
    if held > expected:
        raise InputError(
            f"the target holds {held} sightings, the source {expected}; name an empty target"
        )
