"""A real HTTP server on this machine, with the manners and faults of real ones."""

import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from passerby.models.zoo import download


@dataclass
class Served:
    """One file of the server, and how it is served."""

    content: bytes
    ranges: bool = True
    """Whether Range is understood."""
    etag: str | None = '"one"'
    drops: list[int] = field(default_factory=list)
    """After how many bytes the next answers break off, one each."""
    errors: list[int] = field(default_factory=list)
    """Status of the next answers, one each, before the file is served."""
    length: int | None = None
    """A Content-Length that is not true."""
    chunked: bool = False
    """Send no Content-Length."""
    redirect: str | None = None
    content_type: str = "application/octet-stream"


@dataclass
class Server:
    """Files by path, and every request that came."""

    address: str
    files: dict[str, Served] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range of each."""

    def serve(self, path: str, content: bytes, **manners: object) -> Served:
        self.files[path] = Served(content, **manners)  # type: ignore[arg-type]
        return self.files[path]


class Handler(http.server.BaseHTTPRequestHandler):
    server: "Listener"
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.book.requests.append((self.path, asked))
        self.close_connection = True
        file = self.server.book.files.get(self.path)
        if file is None:
            self.send_error(404)
        elif file.redirect:
            self.send_response(302)
            self.send_header("Location", file.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif file.errors:
            self.send_error(file.errors.pop(0))
        else:
            self._send(file, asked)

    def _send(self, file: Served, asked: str | None) -> None:
        start, whole = 0, len(file.content)
        condition = self.headers.get("If-Range")
        if asked and file.ranges and condition in (None, file.etag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= whole:
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        else:
            self.send_response(200)
        body = file.content[start:]
        if not file.chunked:
            length = file.length if file.length is not None else len(body)
            self.send_header("Content-Length", str(length))
        if file.etag:
            self.send_header("ETag", file.etag)
        self.send_header("Content-Type", file.content_type)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[: file.drops.pop(0)] if file.drops else body)


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    book: Server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download, "TIMEOUT", 10.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    listener = Listener(("127.0.0.1", 0), Handler)
    listener.book = Server(f"http://127.0.0.1:{listener.server_address[1]}")
    thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
    thread.start()
    yield listener.book
    listener.shutdown()
    thread.join()
    listener.server_close()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PASSERBY_CACHE", str(folder))
    return folder
