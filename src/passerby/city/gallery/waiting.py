"""Small adds that wait for the writer lock, committed together by whoever holds it.

A commit costs one wait for the disk, however many rows it holds. So a call of ``add`` that finds
somebody else at work leaves its sightings in the folder ``waiting``, as a *ticket*; the next writer
commits all tickets with its own sightings and answers them. An unanswered ticket is nobody's
promise: it is not synced, and one whose owner has died is thrown away unread.
"""

import fcntl
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import numpy as np

from passerby.city.disk import write_all
from passerby.city.gallery.batch import Batch
from passerby.city.sightings import Sighting

MOST = 256  # sightings of a ticket; larger adds fill a commit of their own
_ANSWER = struct.Struct("<cq")  # state, number of new sightings
_HEAD = struct.Struct("<cqIII")  # the answer; bytes of the facts; rows and length of the vectors
_OPEN, _DONE = b"o", b"d"


@dataclass(slots=True)
class Ticket:
    """Sightings that wait, of this process; the file is locked as long as the owner lives."""

    path: Path
    handle: int

    def answer(self) -> int | None:
        """How many of the sightings were new, once somebody has committed them durably."""
        state, number = _ANSWER.unpack(os.pread(self.handle, _ANSWER.size, 0))
        return number if state == _DONE else None

    def withdraw(self) -> None:
        """Nobody need commit it any more."""
        self.path.unlink(missing_ok=True)
        os.close(self.handle)


@dataclass(frozen=True, slots=True)
class Guest:
    """The ticket of another caller, read by the one who commits it."""

    path: Path
    batch: Batch

    def tell(self, new: int) -> None:
        """Answer it; only after the commit is durable and acknowledged."""
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # withdrawn meanwhile
            return
        try:
            os.pwrite(handle, _ANSWER.pack(_DONE, new), 0)
        finally:
            os.close(handle)


class WaitingRoom:
    """The folder of the tickets."""

    def __init__(self, folder: Path) -> None:
        """In ``folder``, which is made when first needed."""
        self.folder = folder

    def enter(self, batch: Batch) -> Ticket:
        """Leave sightings for whoever holds the lock.

        Raises:
            OSError: the disk is full or read-only.
        """
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"{uuid4().hex}.ticket"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        ticket = Ticket(path, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # as long as this process lives
            write_all(handle, memoryview(_packed(batch)))  # half of one is read by nobody
        except BaseException:
            ticket.withdraw()
            raise
        return ticket

    def guests(self, batch: Batch, own: Ticket | None) -> Iterator[Guest]:
        """Tickets that fit into the commit of ``batch``; needs the writer lock.

        Those of another model or dimension are left to their owners, who will be told of it.
        """
        try:
            paths = list(self.folder.iterdir())
        except FileNotFoundError:
            return
        for path in paths:
            if own is not None and path == own.path:
                continue
            content = _of_living(path)
            if content is None:
                path.unlink(missing_ok=True)
                continue
            guest = _unpacked(content)
            if guest and (guest.model, guest.dimension) == (batch.model, batch.dimension):
                yield Guest(path, guest)


def _of_living(path: Path) -> bytes | None:
    """The content of a ticket; None when its owner has died."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read()
        return None


def _packed(batch: Batch) -> bytes:
    """A batch as bytes: head, facts as JSON, vectors."""
    facts = json.dumps([_facts(one) for one in batch.sightings]).encode()
    head = _HEAD.pack(_OPEN, 0, len(facts), len(batch), batch.dimension)
    return head + facts + np.ascontiguousarray(batch.vectors, "<f2").tobytes()


def _facts(one: Sighting) -> list[object]:
    box = None if one.box is None else [float(side) for side in one.box]
    return [
        one.id, one.camera, int(one.time), one.model, one.unit, one.tracklet, box, one.crop,
        float(one.quality), one.attributes,
    ]  # fmt: skip


def _unpacked(content: bytes) -> Batch | None:
    """The batch of a waiting ticket; None of an answered, half written or foreign one."""
    try:
        state, _, size, rows, dimension = _HEAD.unpack_from(content)
        vectors = np.frombuffer(content, "<f2", rows * dimension, _HEAD.size + size)
        facts = json.loads(content[_HEAD.size : _HEAD.size + size])
        sightings = [_sighting(*one) for one in facts]
    except (struct.error, TypeError, ValueError):  # left to its owner
        return None
    return Batch(sightings, vectors.reshape(rows, dimension)) if state == _OPEN else None


def _sighting(  # noqa: PLR0917 - the order of _facts
    name: str, camera: str, time: int, model: str, unit: str, tracklet: str,
    box: list[float] | None, crop: str, quality: float, attributes: list[list[str]],
) -> Sighting:  # fmt: skip
    bare = Sighting(
        id=name, camera=camera, time=time, model=model, unit=unit, tracklet=tracklet,
        crop=crop, quality=quality, attributes=tuple((key, value) for key, value in attributes),
    )  # fmt: skip
    return bare if box is None else replace(bare, box=(box[0], box[1], box[2], box[3]))
