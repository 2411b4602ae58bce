"""Files that are several recordings one after the other, where FFmpeg reads only the first.

FFmpeg goes on over the joints of AVI, MPEG and raw streams. In MP4, FLV and ASF it stops at the
first joint or takes what follows for damage, and in Matroska at the second. So the recordings are
found by the outermost structure of the file, and each is opened as a file of its own.
"""

import io
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

EBML = bytes.fromhex("1a45dfa3")  # Matroska and WebM begin so
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
MOST_BLOCKS = 2_000_000  # of a file, so that a damaged one does not keep us


@dataclass(frozen=True, kw_only=True)
class Part:
    """Bytes [start, end) of a file."""

    path: Path
    start: int
    end: int

    def file(self) -> io.BufferedReader:
        """A file that holds these bytes alone."""
        return io.BufferedReader(_Slice(self), 1 << 20)


class _Slice(io.RawIOBase):
    def __init__(self, part: Part) -> None:
        self._part, self._file = part, part.path.open("rb")
        self._file.seek(part.start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        left = self._part.end - self._file.tell()
        data = self._file.read(max(min(len(buffer), left), 0))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: self._part.start, io.SEEK_CUR: self._file.tell()}
        return self._file.seek(base.get(whence, self._part.end) + offset) - self._part.start

    def tell(self) -> int:
        return self._file.tell() - self._part.start

    def close(self) -> None:
        self._file.close()
        super().close()


def parts_of(path: Path) -> list[Part] | list[None]:
    """Return the recordings of a file; ``[None]`` where it is one, and FFmpeg opens it by name."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        kinds = (
            (head[4:8] == b"ftyp", _boxes),
            (head[:3] == b"FLV", _tags),
            (head == ASF, _asf),
            (head[:4] == EBML, _elements),
        )
        walk = next((one for fits, one in kinds if fits), None)
        starts = [] if walk is None else list(walk(file, size))
    if len(starts) < 2:
        return [None]
    ends = [*starts[1:], size]
    return [Part(path=path, start=a, end=b) for a, b in zip(starts, ends, strict=True)]


def _at(file: io.BufferedReader, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)


def _boxes(file: io.BufferedReader, size: int) -> Iterator[int]:
    """Where MP4 files begin: at a box "ftyp" after the pictures of the one before."""
    place, media = 0, True
    for _ in range(MOST_BLOCKS):
        head = _at(file, place, 16)
        if len(head) < 8:
            return
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if kind == b"ftyp" and media:
            yield place
            media = False
        media = media or kind == b"mdat"
        length = int.from_bytes(head[8:16], "big") if length == 1 else length
        if length < 8 or place + length > size:  # to the end of the file, or damaged
            return
        place += length


def _tags(file: io.BufferedReader, size: int) -> Iterator[int]:
    """Where FLV files begin: at their signature in place of a tag."""
    place = 0
    for _ in range(MOST_BLOCKS):
        head = _at(file, place, 11)
        if head[:4] == b"FLV\x01":
            yield place
            place += int.from_bytes(head[5:9], "big") + 4
        elif len(head) == 11 and head[0] & 0x1F in (8, 9, 18):
            place += 15 + int.from_bytes(head[1:4], "big")
        else:
            return


def _asf(file: io.BufferedReader, size: int) -> Iterator[int]:
    """Where ASF files begin: at a header object."""
    place = 0
    for _ in range(MOST_BLOCKS):
        head = _at(file, place, 24)
        length = int.from_bytes(head[16:24], "little")
        if head[:16] == ASF:
            yield place
        if length < 24 or place + length > size:
            return
        place += length


def _elements(file: io.BufferedReader, size: int) -> Iterator[int]:
    """Where Matroska files begin: at their header, also after a segment of unknown length."""
    place = 0
    for _ in range(MOST_BLOCKS):
        head = _at(file, place, 12)
        if head[:4] == EBML:
            yield place
        if len(head) < 12:
            return
        wide = 9 - head[4].bit_length()  # the first one bit of a length says how long it is
        length = int.from_bytes(head[4 : 4 + wide], "big") - (1 << 7 * wide)
        if wide > 8:
            return
        if length == (1 << 7 * wide) - 1:
            place = _next_header(file, place + 4 + wide)
        else:
            place += 4 + wide + length
        if not 0 < place < size:
            return


def _next_header(file: io.BufferedReader, start: int) -> int:
    """The next place at which a Matroska file begins; -1 without one."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = data.find(EBML, start)
        while place >= 0 and not re.search(b"matroska|webm", data[place : place + 64]):
            place = data.find(EBML, place + 1)
        return place
