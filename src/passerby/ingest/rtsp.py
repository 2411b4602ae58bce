"""A live camera into a spool: its stream is copied, not encoded anew, and cut at key frames."""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from passerby.errors import InputError
from passerby.ingest.spool import Spool
from passerby.ingest.video import import_av
from passerby.times import format_time, now

CREDENTIALS = "PASSERBY_RTSP_CREDENTIALS"  # user:password in the environment
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds before a new connection
LOOK_AGAIN = 5.0  # seconds between two looks whether a full spool has room
STEADY = 30.0  # seconds of a connection after which the waits begin anew
DRIFT = 0.5  # seconds by which the camera's clock may run away before it is set anew
LEAD = 1.0  # seconds before the first frame at which a segment's own clock begins
IN_TS = frozenset({"h264", "hevc", "mpeg4", "mpeg2video"})
# codec -> the type of the NAL unit that says the picture's size (a sequence parameter set)
SIZES: dict[str, Callable[[int], bool]] = {
    "h264": lambda first: first & 31 == 7,
    "hevc": lambda first: first >> 1 & 63 == 33,
}
_START = re.compile(rb"\x00\x00\x01")


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Where a live camera is; a secret is not part of any text of it."""

    address: str
    """Without user and password."""
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """The address with user and password; for nobody but the connection."""
        if not self.user:
            return self.address
        parts = urlsplit(self.address)
        secret = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return urlunsplit(parts._replace(netloc=f"{secret}@{parts.netloc}"))

    def hide(self, text: str) -> str:
        """A text without the user and the password."""
        secrets = [self.password, self.user]
        for secret in (*secrets, *(quote(one, safe="") for one in secrets)):
            text = text.replace(secret, "***") if secret else text
        return text


def read_address(text: str, credentials: Path | None = None) -> Camera:
    """Where a camera is, and who may see it.

    User and password come from the address, else from the file, else from the environment variable
    ``PASSERBY_RTSP_CREDENTIALS``, each as ``user:password``.

    Raises:
        InputError: It is no rtsp:// or rtsps:// address, or the file cannot be read. The text of
            the error has no password in it.
    """
    parts = urlsplit(text)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in ("rtsp", "rtsps") or not host:
        raise InputError(
            "the camera's address must be like rtsp://HOST:554/PATH, or rtsps:// for an encrypted "
            "connection; percent-encode odd characters of its user and password"
        )
    name = f"[{host}]" if ":" in host else host
    bare = urlunsplit(parts._replace(netloc=f"{name}:{port}" if port else name))
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user:
        user, password = _credentials(credentials)
    return Camera(address=bare, user=user, password=password)


def _credentials(file: Path | None) -> tuple[str, str]:
    text = os.environ.get(CREDENTIALS, "")
    if file is not None:
        try:
            text = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the credentials in '{file}' cannot be read: {error}") from None
    user, colon, password = text.partition(":")
    if text and not (user and colon):
        where = f"'{file}'" if file else f"the variable {CREDENTIALS}"
        raise InputError(f"{where} must hold user:password on one line")
    return user, password


def cover_arguments(secret: str) -> None:
    """Overwrite a word of this process's own arguments, so that process lists do not show it.

    Linux shows the memory of the arguments to everybody; elsewhere this does nothing.
    """
    import ctypes

    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        first, last = int(fields[45]), int(fields[46])  # arg_start and arg_end, proc(5)
    except (OSError, ValueError, IndexError):
        return
    held = ctypes.string_at(first, last - first) if last > first else b""
    place = held.find(secret.encode())
    while place >= 0:
        ctypes.memset(first + place, ord("*"), len(secret.encode()))
        place = held.find(secret.encode(), place + 1)


class _WriteError(Exception):
    """A segment cannot be written."""


@dataclass(kw_only=True)
class RecordReport:
    """What a recorder did; it grows while it runs."""

    segments: int = 0
    connections: int = 0
    seconds: float = 0.0
    """Of video."""
    skipped: int = 0
    """Packets before the first key frame of a connection; they cannot be decoded."""
    gaps: list[dict[str, str]] = field(default_factory=list)
    """Start, end and reason of the latest times without a recording."""


class Recorder:
    """Records a camera until it is asked to stop; connects again whenever it must."""

    def __init__(
        self,
        camera: Camera,
        spool: Spool,
        *,
        seconds: float = 60.0,
        stall: float = 10.0,
        transport: str = "tcp",
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            camera: Where the camera is.
            spool: Where the segments go.
            seconds: Length of a segment; it ends at the next key frame.
            stall: Seconds without a packet after which the connection is given up.
            transport: tcp or udp.
            say: Called with each thing that happens, without secrets.
        """
        self.report, self.stop = RecordReport(), threading.Event()
        self.new = threading.Event()  # set when a segment is finished
        self._camera, self._spool, self._listener = camera, spool, say
        self._seconds, self._stall, self._transport = seconds, stall, transport
        self._writer: _Writer | None = None
        self._ended: int | None = None  # where the last segment ended
        self._reason = "the camera is not connected yet"

    def run(self) -> None:
        """Record until ``stop`` is set; the segment at hand is then finished."""
        wait = FIRST_WAIT
        while not self.stop.is_set():
            if self._wait_for_room():
                break
            begin = time.monotonic()
            why = self._record()
            self._finish()
            if self.stop.is_set():
                break
            if not why:  # the spool is full
                continue
            wait = FIRST_WAIT if time.monotonic() - begin > STEADY else wait
            self._say(f"{why}; next try in {wait:g} s")
            self._reason = why
            self.stop.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _say(self, text: str) -> None:
        self._listener(self._camera.hide(text))

    def _wait_for_room(self) -> bool:
        """Wait while the spool is full; returns whether to stop."""
        why = self._spool.full()
        if why:
            self._say(f"recording stops: {why}")
            self._reason = why
            while not self.stop.wait(LOOK_AGAIN) and self._spool.full():
                pass
            if not self.stop.is_set():
                self._say("there is room again; recording goes on")
        return self.stop.is_set()

    def _record(self) -> str:
        """Record one connection; returns why it ended, nothing when the spool is full."""
        av = import_av()
        options = {"rtsp_transport": self._transport}
        limits = (self._stall, self._stall)  # to connect, and for each packet
        try:
            with av.open(self._camera.url, options=options, timeout=limits) as container:
                if not container.streams.video:
                    return f"{self._camera.address} has no video"
                stream = container.streams.video[0]
                self.report.connections += 1
                self._say(
                    f"connected: {stream.codec_context.name}, {stream.width} x {stream.height}"
                )
                return self._copy(container, stream)
        except _WriteError as error:
            return f"a segment cannot be written: {error}"
        except av.error.ExitError:
            return f"the camera sent nothing for {self._stall:g} s"
        except av.error.FFmpegError as error:
            return f"the connection failed: {error.strerror}"

    def _copy(self, container: Any, stream: Any) -> str:
        """Copy packets into segments until something ends it; returns what."""
        clock = _Clock()
        for packet in _whole(container.demux(stream)):
            if self.stop.is_set():
                return "asked to stop"
            clock.see(packet)
            if packet.is_keyframe and self._is_due(packet, stream):
                self._finish()
                if why := self._spool.full():
                    self._reason = why
                    return ""
                self._begin(packet, stream, clock)
            if self._writer is None:
                self.report.skipped += 1
            else:
                with _written():
                    self._writer.write(packet)
        return "the camera ended the stream"

    def _is_due(self, packet: Any, stream: Any) -> bool:
        """Whether a key frame begins a segment: the last one is long, or has another size."""
        writer = self._writer
        if writer is None:
            return True
        sizes = parameter_sets(bytes(packet), stream.codec_context.name)
        if sizes and sizes != writer.sizes:
            self._say("the camera changed its picture; a new segment begins")
            return True
        return writer.length(packet) >= self._seconds

    def _begin(self, packet: Any, stream: Any, clock: "_Clock") -> None:
        start = clock.time(packet)
        if self._ended is not None and start < self._ended:
            start = self._ended
        if self._ended is None or start - self._ended > 1000:
            self._note_gap(start)
        suffix = ".ts" if stream.codec_context.name in IN_TS else ".mkv"
        with _written():
            self._writer = _Writer(self._spool.partial(start, suffix), packet, stream, start)

    def _note_gap(self, until: int) -> None:
        if self._ended is None:
            return
        gap = {"start": format_time(self._ended), "end": format_time(until)}
        self.report.gaps = [*self.report.gaps[-999:], {**gap, "reason": self._reason}]
        self._say(f"nothing was recorded for {(until - self._ended) / 1000:.1f} s: {self._reason}")

    def _finish(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            with _written():
                writer.close()
                self._spool.finish(writer.path)
        except _WriteError as error:
            self._say(f"the end of a segment cannot be written: {error}")
        self._ended = writer.end
        self.report.segments += 1
        self.report.seconds += (writer.end - writer.start) / 1000
        self.new.set()


@contextmanager
def _written() -> Iterator[None]:
    """Tell an error of the disk from one of the connection; PyAV has one kind for both."""
    try:
        yield
    except OSError as error:  # PyAV's are among them
        raise _WriteError(error.strerror or str(error)) from error


class _Clock:
    """The wall clock of a stream's time stamps: the recorder's clock as its packets arrive.

    A packet arrives late, never early. So the earliest arrival, compared with its time stamp, is
    the best measure. The camera's clock runs a little faster or slower, so the measure is taken
    anew when it is off.
    """

    def __init__(self) -> None:
        self._offset: float | None = None
        self._best: float | None = None

    def see(self, packet: Any) -> None:
        """Note when a packet arrives."""
        offset = now() / 1000 - _seconds(packet)
        self._best = offset if self._best is None else min(self._best, offset)

    def time(self, packet: Any) -> int:
        """When the frame of a key packet was taken, in milliseconds since the epoch."""
        assert self._best is not None
        if self._offset is None or abs(self._best - self._offset) > DRIFT:
            self._offset = self._best
        self._best = None
        return round((self._offset + _seconds(packet)) * 1000)


class _Writer:
    """Writes one segment; what is on disk can be read at any moment."""

    def __init__(self, path: Path, packet: Any, stream: Any, start: int) -> None:
        kind = "mpegts" if path.name.endswith(".ts.part") else "matroska"
        path.touch(0o600)
        self.path, self.start = path, start
        self.sizes = parameter_sets(bytes(packet), stream.codec_context.name)
        self._container = import_av().open(
            str(path), "w", format=kind, options={"flush_packets": "1"}
        )
        self._stream = self._container.add_stream_from_template(stream)
        self._first, self._base = _seconds(packet), packet.time_base
        self._shift = round((LEAD - self._first) / float(self._base))
        self._last: int | None = None  # the last time of decoding
        self._end = self._first
        rate = float(stream.average_rate or 25)
        self._step = 1 / rate if 1 <= rate <= 240 else 0.04

    def length(self, packet: Any) -> float:
        """Seconds from the beginning to a packet."""
        return _seconds(packet) - self._first

    def write(self, packet: Any) -> None:
        """Copy a packet; times of decoding that the camera leaves out are filled in."""
        shown = packet.pts + self._shift
        if packet.dts is not None:
            decoded = packet.dts + self._shift
        else:  # well before it is shown, as frames that are shown first may follow
            decoded = shown - round(LEAD / 2 / float(self._base))
        if self._last is not None:
            decoded = max(decoded, self._last + 1)
        self._end = max(self._end, _seconds(packet))
        self._last = decoded
        packet.dts, packet.pts, packet.stream = decoded, max(shown, decoded), self._stream
        self._container.mux(packet)

    @property
    def end(self) -> int:
        """When the last frame ends, in milliseconds since the epoch."""
        return self.start + round((self._end - self._first + self._step) * 1000)

    def close(self) -> None:
        """End the file."""
        self._container.close()


def _seconds(packet: Any) -> float:
    return float(packet.pts * packet.time_base)


def _whole(packets: Iterator[Any]) -> Iterator[Any]:
    """Packets with a time; one without is the beginning of the next one, as FFmpeg cuts RTP."""
    av, before = import_av(), b""
    for packet in packets:
        if packet.pts is None:
            before += bytes(packet)
        elif packet.size and before:
            whole = av.Packet(before + bytes(packet))
            whole.pts, whole.dts, whole.time_base = packet.pts, packet.dts, packet.time_base
            whole.is_keyframe, before = packet.is_keyframe, b""
            yield whole
        elif packet.size:
            yield packet


def parameter_sets(data: bytes, codec: str) -> tuple[bytes, ...]:
    """The sequence parameter sets in a key frame; they say the size of the picture."""
    if codec not in SIZES:
        return ()
    units = (unit.rstrip(b"\x00") for unit in _START.split(data)[1:])
    return tuple(sorted({unit for unit in units if unit and SIZES[codec](unit[0])}))
