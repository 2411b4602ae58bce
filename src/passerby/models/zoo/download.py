"""Download of a file over HTTP: resumed after a break, checked, and complete or not there."""

import http.client
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import passerby
from passerby.errors import InputError
from passerby.files import put_in_place
from passerby.models.zoo.cache import digest_of
from passerby.models.zoo.table import ZooFile

CHUNK = 1 << 18
TRIES = 5  # in a row without a new byte
PAUSE = 0.5  # seconds before the first retry; every further one waits twice as long
TIMEOUT = 30.0  # seconds
MOST = 1 << 34  # bytes of a file of unknown size
BROKEN = (http.client.HTTPException, OSError)  # errors of a connection, URLError included

Progress = Callable[[int, int | None], None]
"""Takes the number of bytes that have arrived, and the total where it is known."""


class _Unfinished(Exception):  # noqa: N818  (no error: there is more to come)
    """The connection broke; the bytes that arrived are kept."""


class _NoDowngrade(HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917  (the base class's)
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise InputError(f"'{req.full_url}' is redirected to '{newurl}', which is not HTTPS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(wanted: ZooFile, target: Path, *, on_progress: Progress | None = None) -> None:
    """Download a file.

    The bytes that have arrived are in ``<target>.part``. A later call continues from there, if the
    server allows it and its file is still the same. ``target`` appears when all bytes are there
    and fit.

    Args:
        wanted: Address; size and digest where known.
        target: The file to write. An existing one that fits is kept.
        on_progress: Called after every piece.

    Raises:
        InputError: The address is not HTTP, nothing is there, nothing can be reached, or the bytes
            are not those of the file.
    """
    if urlsplit(wanted.address).scheme not in ("http", "https"):
        raise InputError(f"'{wanted.address}' is not an http or https address")
    if target.is_file() and misfit(target, wanted) is None:
        return
    part = target.with_name(target.name + ".part")
    tries, most = 0, _size(part)
    while True:
        try:
            _fetch(wanted, part, on_progress)
            break
        except _Unfinished as broken:
            # a try that brought more than ever counts as a first one
            tries = 1 if _size(part) > most else tries + 1
            most = max(most, _size(part))
            if tries >= TRIES:
                raise InputError(_unreachable(wanted.address, broken.__cause__)) from None
            time.sleep(PAUSE * 2 ** (tries - 1))
    if wrong := misfit(part, wanted):
        _forget(part)
        raise InputError(f"what came from '{wanted.address}' is not the file wanted: {wrong}")
    put_in_place(part, target)
    _notes(part).unlink(missing_ok=True)


def misfit(path: Path, wanted: ZooFile) -> str | None:
    """Say why a file is not the wanted one; None when its size and digest, if known, fit.

    A file of another release whose digest is known fits too.
    """
    if wanted.also and digest_of(path) in wanted.also:
        return None
    size = path.stat().st_size
    if wanted.size is not None and size != wanted.size:
        return f"it has {size:,} bytes, not {wanted.size:,}"
    if wanted.digest is not None:
        found = digest_of(path, wanted.digest.partition(":")[0])
        if not found.startswith(wanted.digest):  # some authors publish only its first digits
            return f"its {found} is not {wanted.digest}"
    return None


def _fetch(wanted: ZooFile, part: Path, on_progress: Progress | None) -> None:
    """Make one request; raise _Unfinished when the connection breaks before the end."""
    notes = _read_notes(part)
    # continue only with bytes of the same address, and only where the server can be asked whether
    # the file is still the same, or a digest can tell
    trusted = bool(notes.get("mark")) or wanted.digest is not None
    there = _size(part) if trusted and notes.get("address") == wanted.address else 0
    if there and there == notes.get("total"):
        return
    with _ask(wanted.address, part, there, notes.get("mark")) as answer:
        start = _start(answer, there)
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        if wanted.size is not None and total is not None and total != wanted.size:
            raise InputError(
                f"'{wanted.address}' has {total:,} bytes, not the {wanted.size:,} expected; "
                "it is another file by now"
            )
        if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise InputError(
                f"'{wanted.address}' answers with a web page, not with a file; open it in a browser"
            )
        try:
            _write_notes(part, wanted.address, answer.headers, total)
            _receive(answer, part, start, total=total, size=wanted.size, on_progress=on_progress)
        except OSError as error:
            raise InputError(f"'{part}' cannot be written: {error.strerror or error}") from None


def _ask(address: str, part: Path, there: int, mark: str | None) -> Any:
    """Request a file from byte ``there`` on, if it still has the ``mark``."""
    headers = {"User-Agent": f"passerby/{passerby.__version__}", "Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
        if mark:
            headers["If-Range"] = mark
    try:
        request = Request(address, headers=headers)
        return build_opener(_NoDowngrade()).open(request, timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and there:
            _forget(part)  # the file is shorter than the part: start again
            raise _Unfinished from error
        if error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _Unfinished from error
        raise InputError(
            f"'{address}' answers {error.code} {error.reason}; its authors may have moved it"
        ) from None
    except BROKEN as error:
        raise _Unfinished from error


def _start(answer: Any, there: int) -> int:
    """Read the byte at which the answer starts; it is 0 where the server ignores Range."""
    if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    span = answer.headers.get("Content-Range", "")
    start = span.removeprefix("bytes ").partition("-")[0]
    if start != str(there):
        raise _Unfinished from ValueError(f"the server sent '{span}', not from byte {there}")
    return there


def _receive(
    answer: Any,
    part: Path,
    start: int,
    *,
    total: int | None,
    size: int | None,
    on_progress: Progress | None,
) -> None:
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        done, most = start, size or MOST
        while chunk := _read(answer):
            done += len(chunk)
            if done > most:
                raise InputError(f"the server sends more than the {most:,} bytes expected")
            file.write(chunk)
            if on_progress:
                on_progress(done, total or size)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise _Unfinished from ConnectionError(f"the connection ended after {done:,} bytes")


def _read(answer: Any) -> bytes:
    try:
        piece: bytes = answer.read(CHUNK)
    except BROKEN as error:
        raise _Unfinished from error
    return piece


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_notes(part: Path) -> dict[str, Any]:
    try:
        notes = json.loads(_notes(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _write_notes(part: Path, address: str, headers: Mapping[str, str], total: int | None) -> None:
    """Write the address, the total, and a strong ETag or date that identifies the version."""
    tag = headers.get("ETag", "")
    mark = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
    notes = {"address": address, "mark": mark, "total": total}
    _notes(part).write_text(json.dumps(notes), encoding="utf-8")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def _unreachable(address: str, error: BaseException | None) -> str:
    reason = getattr(error, "reason", None) or error
    host = urlsplit(address).netloc
    return f"'{host}' cannot be reached ({' '.join(str(reason).split()) or 'no answer'})"


def copy(source: Path, target: Path, wanted: ZooFile) -> None:
    """Copy a file that was downloaded by hand, with the checks of a download.

    Raises:
        InputError: There is no such file, or it is not the wanted one.
    """
    if not source.is_file():
        raise InputError(f"there is no file '{source}'")
    if wrong := misfit(source, wanted):
        raise InputError(f"'{source}' is not the file wanted: {wrong}")
    part = target.with_name(target.name + ".part")
    shutil.copyfile(source, part)
    put_in_place(part, target)
