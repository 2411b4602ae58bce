"""What protects the audit from outside of the city's database: its key, and the heads it leaves.

The key makes a code (HMAC-SHA-256) of every entry, so that who can write to the database alone
cannot write an entry. A head is one line with the number, digest and code of an entry. The heads go
to a file that is only appended to, so that the end of the audit cannot be cut off unseen; by
setting they also go to syslog or to a URL, out of reach of who can write to the city's folder.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from passerby.city.address import read_password
from passerby.errors import InputError, one_line
from passerby.files import sync, write_text

LOG = logging.getLogger("passerby.audit")
KEY = "PASSERBY_AUDIT_KEY"  # an environment variable; with _FILE, the path of a file
HEADS = "PASSERBY_AUDIT_HEADS"  # an environment variable: the path of the file of heads
KEY_FILE = "service.key"  # in the city's folder, where the environment names no key
HEADS_FILE = "audit.heads"
HEAD = re.compile(r"passerby-audit (\d{1,18}) (\d{1,18}) ([0-9a-f]{64}) ([0-9a-f]{64})")
_KEY = re.compile(r"([0-9a-f]{64,})(?::(\d{1,18}))?")
_TAIL = 4096  # bytes in which the last head is looked for
_EVERY = 1.0  # seconds between two heads that are sent away
_TIMEOUT = 10.0


@dataclass(frozen=True, kw_only=True)
class Key:
    """The secret that makes the entries' codes.

    Attributes:
        secret: at least 32 bytes.
        since: the first entry that has a code; those before are older than the key.
        in_folder: whether the key lies in the city's folder.
    """

    secret: bytes
    since: int = 1
    in_folder: bool = True

    def code(self, digest: str) -> str:
        """Return the code of an entry's digest, 64 hexadecimal digits."""
        return hmac.new(self.secret, digest.encode(), hashlib.sha256).hexdigest()


def read_key(folder: Path) -> Key | None:
    """Return a city's key, from the environment or its folder; None where there is none yet.

    Raises:
        InputError: the key cannot be read, is none, or others can read it.
    """
    text, in_folder = read_password(variable=KEY), False
    path = folder / KEY_FILE
    if text is None and path.is_file():
        if path.stat().st_mode & 0o077:
            raise InputError(f"others can read '{path}'; make it private: chmod 600")
        text, in_folder = path.read_text(encoding="ascii", errors="replace"), True
    if text is None:
        return None
    found = _KEY.fullmatch(text.strip())
    if found is None:
        raise InputError(
            "the audit's key must be 64 hexadecimal digits or more; restore the right one"
        )
    since = int(found[2] or 1)
    return Key(
        secret=bytes.fromhex(found[1][: len(found[1]) // 2 * 2]), since=since, in_folder=in_folder
    )


def make_key(folder: Path, since: int) -> Key:
    """Write a new key into a city's folder, for its owner alone."""
    write_text(folder / KEY_FILE, f"{secrets.token_hex(32)}:{since}\n", mode=0o600)
    key = read_key(folder)
    assert key is not None
    return key


def heads_path(folder: Path) -> Path:
    """Return where the heads are written: beside a key that is elsewhere, else in the folder."""
    if named := os.environ.get(HEADS):
        return Path(named)
    if not os.environ.get(KEY) and (named := os.environ.get(f"{KEY}_FILE")):
        return Path(f"{named}.heads")
    return folder / HEADS_FILE


@dataclass(frozen=True, kw_only=True)
class Head:
    """Number, time, digest and code of an entry, as one line keeps them."""

    number: int
    time: int
    digest: str
    mac: str

    def __str__(self) -> str:
        return f"passerby-audit {self.number} {self.time} {self.digest} {self.mac}"

    @classmethod
    def parse(cls, line: str) -> "Head | None":
        """Return the head in a line, with whatever syslog put before it; None for another line."""
        found = HEAD.search(line)
        if found is None:
            return None
        return cls(number=int(found[1]), time=int(found[2]), digest=found[3], mac=found[4])


class Heads:
    """The file of heads of one city; only appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def last(self) -> Head | None:
        """Return the last head; None without a file.

        A line that a crash cut off is passed over: the entry before it still has its head.

        Raises:
            InputError: the file cannot be read, or holds no head.
        """
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL))
                lines = file.read().decode("ascii", "replace").splitlines()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(
                f"the audit's heads in '{self.path}' cannot be read: {error}"
            ) from None
        found = next(filter(None, map(Head.parse, reversed(lines))), None)
        if found is None:
            raise InputError(f"the audit's heads in '{self.path}' are damaged; restore the file")
        return found

    def append(self, head: Head) -> None:
        """Add one head; it is on the disk when this returns."""
        new = not self.path.exists()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        handle = os.open(self.path, flags, 0o600)
        try:
            size = os.fstat(handle).st_size
            whole = size == 0 or os.pread(handle, 1, size - 1) == b"\n"
            os.write(handle, f"{'' if whole else chr(10)}{head}\n".encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        if new:
            sync(self.path.parent)

    def set_aside(self) -> Path | None:
        """Give the file another name, after a loss that was looked into; returns the name."""
        if not self.path.exists():
            return None
        aside = self.path.with_name(f"{self.path.name}.{time.time_ns() // 1_000_000}")
        self.path.rename(aside)
        return aside


def read_heads(path: Path) -> Iterator[Head]:
    """Yield the heads of a file, in its order; other lines are passed over.

    Raises:
        InputError: there is no such file.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from filter(None, map(Head.parse, file))
    except OSError as error:
        raise InputError(f"the heads in '{path}' cannot be read: {error.strerror}") from None


class Forwarder:
    """Sends heads to syslog or to a URL, on a thread, at most one a second, the newest.

    Attributes:
        failed: why the last head could not be sent; empty after one that could.
    """

    def __init__(self, *, syslog: str = "", url: str = "") -> None:
        self.syslog, self.url = syslog, url
        self.failed = ""
        self._newest: Head | None = None
        self._change = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def send(self, head: Head) -> None:
        """Send a head soon; it takes the place of one that waits."""
        if not (self.syslog or self.url):
            return
        with self._change:
            self._newest = head
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._change.notify_all()

    def close(self) -> None:
        """Send the head that waits, and end the thread."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join(2 * _TIMEOUT)

    def _run(self) -> None:
        while True:
            with self._change:
                while self._newest is None and not self._closed:
                    self._change.wait()
                head, self._newest = self._newest, None
            if head is None:
                return
            self._deliver(str(head))
            with self._change:
                self._change.wait_for(lambda: self._closed, timeout=_EVERY)

    def _deliver(self, line: str) -> None:
        try:
            if self.syslog:
                _to_syslog(self.syslog, line)
            if self.url:
                request = urllib.request.Request(self.url, data=f"{line}\n".encode())
                request.add_header("Content-Type", "text/plain")
                with urllib.request.urlopen(request, timeout=_TIMEOUT):
                    pass
            self.failed = ""
        except (OSError, ValueError) as error:  # URLError is an OSError
            self.failed = one_line(error)
            LOG.error("a head of the audit could not be sent away: %s", self.failed)


def _to_syslog(place: str, line: str) -> None:
    """Send one message to a socket's path, or to HOST:PORT over UDP."""
    message = f"<110>{line}".encode()  # facility "log audit", severity "informational"
    if place.startswith("/"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.connect(place)
            link.send(message)
        return
    host, _, port = place.rpartition(":")
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as link:
        link.sendto(message, address)
