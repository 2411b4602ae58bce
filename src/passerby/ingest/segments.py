"""Segments of one recording: files that follow each other, and local HLS playlists."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote

from passerby.errors import InputError
from passerby.ingest.names import NamedClip
from passerby.times import parse_time

VIDEO = frozenset(
    f".{kind}"
    for kind in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "mts", "m2ts", "mpg", "mpeg"),
        *("flv", "wmv", "264", "h264", "265", "h265"),
    )
)
SLACK = 500  # ms by which a segment may begin beside the end of the one before, and follow it


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Bytes of a file."""

    path: Path
    first: int = 0
    length: int | None = None
    """None for all bytes from the first one on."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a recording, with its own file or as bytes of files."""

    path: Path
    start: int | None = None
    """Milliseconds since the epoch; None when it follows the one before."""
    exact: int = 1
    """Milliseconds: the finest step in which the start is known."""
    seconds: float = 0.0
    """As the playlist says; 0 where nobody does."""
    breaks: bool = False
    """No track goes on from the segment before."""
    missing: str = ""
    """Why there is nothing to read; empty when there is."""
    pieces: tuple[Piece, ...] = ()
    """The bytes to read, when they are not those of the file at ``path``."""

    @property
    def key(self) -> str:
        """Text that is another one when the bytes or the start may be others."""
        parts = []
        for piece in self.pieces or (Piece(path=self.path),):
            facts = piece.path.stat()
            parts.append(f"{piece.first}+{piece.length}:{facts.st_size}:{facts.st_mtime_ns}")
        return f"{self.path}|{self.start}|{'|'.join(parts)}"

    @contextmanager
    def file(self) -> Iterator[Path]:
        """A file that holds just this segment; a temporary one for bytes of files."""
        if not self.pieces:
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="passerby-segment-") as folder:
            whole = Path(folder) / self.path.name
            with whole.open("wb") as target:
                for piece in self.pieces:
                    with piece.path.open("rb") as source:
                        source.seek(piece.first)
                        if piece.length is None:
                            shutil.copyfileobj(source, target)
                        else:
                            target.write(source.read(piece.length))
            yield whole


def place(segment: Segment, end: int | None) -> tuple[int, str, bool]:
    """When a segment begins, given the end of the one before.

    A name with whole seconds says only roughly when a segment begins. A start that differs from the
    end of the segment before by less than the step of the names means that the segment follows.

    Args:
        segment: The segment.
        end: End of the segment before, in milliseconds since the epoch; None for the first one.

    Returns:
        The start, what the operator should know, and whether tracks may go on.
    """
    if segment.start is None:
        assert end is not None
        return end, "", not segment.breaks
    if end is None:
        return segment.start, "", True
    gap = segment.start - end
    if abs(gap) <= segment.exact + SLACK:
        return end, "", not segment.breaks
    if gap > 0:
        return segment.start, f"nothing was recorded for {gap / 1000:.1f} s before", True
    return segment.start, f"{-gap / 1000:.1f} s overlap with the segment before", False


def from_names(clips: list[NamedClip], exact: int) -> list[Segment]:
    """The segments of clips whose names say when they begin."""
    return [Segment(path=clip.path, start=clip.start, exact=exact) for clip in clips]


def has_clips(folder: Path) -> bool:
    """Whether a folder holds video files."""
    return any(path.suffix.lower() in VIDEO for path in folder.iterdir() if path.is_file())


def from_folder(folder: Path, start: int) -> list[Segment]:
    """The clips of a folder in order of their names, each following the one before.

    Numbers in names count as numbers, so that part10 comes after part9.

    Raises:
        InputError: The folder holds no clips.
    """
    paths = [
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix.lower() in VIDEO and not path.name.startswith(".")
    ]
    if not paths:
        raise InputError(f"there is no clip in '{folder}'")
    paths.sort(key=lambda path: [(int(n or -1), t) for n, t in _NUMBERS.findall(path.name)])
    return [
        Segment(path=path, start=start if index == 0 else None) for index, path in enumerate(paths)
    ]


_NUMBERS = re.compile(r"(\d+)|(\D+)")
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')


@dataclass(kw_only=True)
class _Playlist:
    """What holds for the next segment of a playlist (RFC 8216)."""

    path: Path
    seconds: float = 0.0
    date: int | None = None
    breaks: bool = False
    gap: bool = False
    span: str = ""
    """Of EXT-X-BYTERANGE: length, or length@first."""
    map: tuple[Piece, ...] = ()
    ends: dict[Path, int] = field(default_factory=dict)
    """File -> where its last byte range ended."""

    def attributes(self, text: str) -> dict[str, str]:
        return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(text)}

    def local(self, name: str) -> Path:
        if "://" in name:
            raise InputError(
                f"'{self.path}' names segments on a server; download them beside the playlist"
            )
        return self.path.parent / unquote(name)

    def piece(self, path: Path, span: str) -> Piece:
        if not span:
            return Piece(path=path)
        length, _, first = span.partition("@")
        begin = int(first) if first else self.ends.get(path, 0)
        self.ends[path] = begin + int(length)
        return Piece(path=path, first=begin, length=int(length))

    def tag(self, name: str, value: str) -> None:
        """Take a line that describes the next segment."""
        match name:
            case "#EXTINF":
                self.seconds = float(value.partition(",")[0])
            case "#EXT-X-PROGRAM-DATE-TIME":
                self.date = parse_time(value, f"the time in '{self.path}'")
            case "#EXT-X-DISCONTINUITY":
                self.breaks = True
            case "#EXT-X-GAP":
                self.gap = True
            case "#EXT-X-BYTERANGE":
                self.span = value
            case "#EXT-X-MAP":
                found = self.attributes(value)
                where = self.local(found.get("URI", ""))
                self.map = (self.piece(where, found.get("BYTERANGE", "")),)
            case "#EXT-X-KEY" if self.attributes(value).get("METHOD") != "NONE":
                raise InputError(f"'{self.path}' is encrypted; decrypt its segments first")
            case "#EXT-X-STREAM-INF":
                raise InputError(
                    f"'{self.path}' lists other playlists, one for each quality; give one of them"
                )

    def segment(self, name: str) -> Segment:
        """The segment of a line with a file, after which the next one is described."""
        path = self.local(name)
        body = self.piece(path, self.span)
        pieces = (*self.map, body) if self.map or self.span else ()
        missing = "the playlist marks it as a gap" if self.gap else ""
        for piece in () if missing else (pieces or (body,)):
            if not piece.path.is_file():
                missing = f"there is no file '{piece.path}'"
        made = Segment(
            path=path,
            start=self.date,
            exact=100,
            seconds=self.seconds,
            breaks=self.breaks,
            missing=missing,
            pieces=pieces,
        )
        self.date, self.breaks, self.gap, self.span, self.seconds = None, False, False, "", 0.0
        return made


def from_playlist(path: Path, start: int | None = None) -> list[Segment]:
    """The segments of a local HLS playlist (.m3u8; RFC 8216).

    Args:
        path: A media playlist; its segments are files of this machine.
        start: Time of the first segment, for playlists without EXT-X-PROGRAM-DATE-TIME, or with
            a wrong one; the others move with it.

    Raises:
        InputError: It is no media playlist, is encrypted, names no segments, or says no time.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the playlist '{path}' cannot be read: {error}") from None
    if not lines or lines[0].strip() != "#EXTM3U":
        raise InputError(f"'{path}' is no playlist; its first line must be #EXTM3U")
    now, segments = _Playlist(path=path), []
    for number, line in enumerate(map(str.strip, lines), 1):
        try:
            if line.startswith("#"):
                name, _, value = line.partition(":")
                now.tag(name, value)
            elif line:
                segments.append(now.segment(line))
        except InputError:
            raise
        except (ValueError, OSError):  # also a name that is too long for a file
            raise InputError(f"line {number} of '{path}' cannot be read: {line[:80]}") from None
    if not segments:
        raise InputError(f"the playlist '{path}' names no segments")
    if start is not None:
        shift = start - (start if segments[0].start is None else segments[0].start)
        segments[1:] = [
            one if one.start is None else replace(one, start=one.start + shift)
            for one in segments[1:]
        ]
        segments[0] = replace(segments[0], start=start)
    if segments[0].start is None:
        raise InputError(
            f"the playlist '{path}' does not say when it begins (EXT-X-PROGRAM-DATE-TIME); "
            "give --start"
        )
    return segments
