"""How far the ingest of a recording is, on disk: a run that was killed goes on from there."""

import base64
import importlib
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

import passerby
from passerby.city import City
from passerby.city.city import UNFINISHED
from passerby.errors import InputError
from passerby.files import replacing, sha256, sync, write_bytes

PACKAGE = "passerby.ingest."  # objects of no other package are made from a file
PATIENCE = 20.0  # seconds: workers of a run that was killed end within this time
_PLAIN = (bool, int, float, str, type(None))
_SEQUENCES = {"tuple": tuple, "set": set, "deque": deque}


def to_bytes(value: Any) -> bytes:
    """A tree of plain values, arrays and objects of this package as a safetensors file.

    Raises:
        TypeError: It holds something else.
    """
    arrays: dict[str, NDArray[Any]] = {}
    tree = _encode(value, arrays)
    return save(arrays, {"tree": json.dumps(tree), "version": passerby.__version__})


def from_file(path: Path) -> Any:
    """The tree of a file that :func:`to_bytes` made; nothing in the file is executed.

    Raises:
        ValueError: The file is damaged, or of another version of this package.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            facts = file.metadata()
            if facts["version"] != passerby.__version__:
                raise TypeError(f"Passerby {facts['version']} made it")
            tree = json.loads(facts["tree"])
            return _decode(tree, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, AttributeError, TypeError, ImportError) as error:
        raise ValueError(f"'{path}' cannot be used: {error}") from error


def _encode(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.ndarray):
        name = str(len(arrays))
        arrays[name] = np.ascontiguousarray(value)
        return {"array": name}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [_encode(one, arrays) for one in value]
    for name, kind in _SEQUENCES.items():
        if type(value) is kind:
            return {name: [_encode(one, arrays) for one in value]}
    if isinstance(value, Mapping):
        return {"dict": [[_encode(k, arrays), _encode(v, arrays)] for k, v in value.items()]}
    module, name, fields = type(value).__module__, type(value).__qualname__, _fields(value)
    if not module.startswith(PACKAGE) or fields is None:
        raise TypeError(f"a {module}.{name} cannot be kept")
    return {"object": [module, name], "fields": _encode(fields, arrays)}


def _fields(value: Any) -> dict[str, Any] | None:
    """The attributes of an object, with slots or without; or the state that it gives out."""
    if "__getstate__" in vars(type(value)):
        return dict(value.__getstate__())
    if hasattr(value, "__dict__"):
        return dict(vars(value))
    names = getattr(type(value), "__slots__", None)
    return None if names is None else {name: getattr(value, name) for name in names}


def _decode(tree: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(tree, list):
        return [_decode(one, arrays) for one in tree]
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        return arrays[tree["array"]]
    if "bytes" in tree:
        return base64.b64decode(tree["bytes"])
    if "dict" in tree:
        return {_decode(k, arrays): _decode(v, arrays) for k, v in tree["dict"]}
    if "object" in tree:
        module, name = tree["object"]
        if not module.startswith(PACKAGE):
            raise TypeError(f"a {module}.{name} is not made from a file")
        kind = getattr(importlib.import_module(module), name)
        made = object.__new__(kind)
        for key, value in _decode(tree["fields"], arrays).items():
            object.__setattr__(made, key, value)
        return made
    ((name, items),) = tree.items()
    return _SEQUENCES[name](_decode(one, arrays) for one in items)


@dataclass(kw_only=True)
class Position:
    """How far a recording is; see :func:`open_position`.

    Done segments stand in a file of lines, one synced line each. The tracks that are running at the
    position, with their pictures, lie beside it in a file that the next position replaces.
    """

    journal: Path
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Key of a segment -> its report."""
    unreported: list[dict[str, Any]] = field(default_factory=list)
    """Reports of segments that were done by a run that was killed before it could report."""
    partial: tuple[str, dict[str, Any]] | None = None
    """The segment that was begun, and its report so far."""
    end: int | None = None
    """Where the last segment ended, in milliseconds since the epoch."""
    name: str = ""
    """Of the clip in which running tracks are stored when the recording ends."""
    tracks: Any = None
    """The running tracks; None for none."""
    number: int = 0
    notices: list[str] = field(default_factory=list)

    def save(
        self, key: str, report: Mapping[str, Any], *, finished: bool, tracks: Any, time: int
    ) -> None:
        """Keep a position; everything before it is durable by then.

        Args:
            key: Key of the segment.
            report: What was done in it so far.
            finished: Whether the segment is done.
            tracks: The running tracks; None for none.
            time: When the segment begins, in milliseconds since the epoch.
        """
        before = self._state(self.number)
        self.number += 1
        if tracks is not None:
            state = self._state(self.number)
            write_bytes(state, to_bytes(tracks), mode=0o600)
            os.utime(state, (time / 1000, time / 1000))  # retention goes by the age of the pictures
        self.tracks = tracks
        self.partial = None if finished else (key, dict(report))
        if finished:
            self.done[key] = dict(report)
        self._append(key, report, finished)
        before.unlink(missing_ok=True)

    def drop_tracks(self) -> None:
        """Keep that no track runs any more; all are stored."""
        before, self.tracks = self._state(self.number), None
        self.number += 1
        self._append("", {}, True)
        before.unlink(missing_ok=True)

    def mark_reported(self) -> None:
        """Keep that the run has come to its end."""
        self.unreported = []
        self._append("", {}, True, reported=True)

    def _append(
        self, key: str, report: Mapping[str, Any], finished: bool, *, reported: bool = False
    ) -> None:
        line = {
            "segment": key,
            "finished": finished,
            "reported": reported,
            "report": dict(report),
            "end": self.end,
            "name": self.name,
            "number": self.number,
            "tracks": self.tracks is not None,
        }
        with self.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def forget(self, keep: set[str]) -> None:
        """Drop the done segments that are not in ``keep``: their files are gone."""
        lines = _lines(self.journal)
        kept = [line for line in lines[:-1] if line["segment"] in keep] + lines[-1:]
        with replacing(self.journal, mode=0o600) as partial:
            partial.write_text(
                "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept)
            )
        self.done = {key: report for key, report in self.done.items() if key in keep}

    def _state(self, number: int) -> Path:
        return self.journal.with_name(f"{self.journal.stem}-{number}.tracks")

    def load(self) -> None:
        """Read the journal, and the running tracks at its last line."""
        for line in _lines(self.journal):
            self.end, self.name = line["end"], line["name"]
            self.number, report = line["number"], line["report"]
            self.partial = None if line["finished"] else (line["segment"], report)
            if line["reported"]:
                self.unreported = []
            elif line["finished"] and line["segment"]:
                self.done[line["segment"]] = report
                self.unreported.append(report)
            self.tracks = line["tracks"] or None
        if self.tracks:
            self._load_tracks()
        for path in self.journal.parent.glob(f"{self.journal.stem}-*.tracks"):
            if self.tracks is None or path != self._state(self.number):
                path.unlink()

    def _load_tracks(self) -> None:
        state = self._state(self.number)
        try:
            self.tracks = from_file(state)
        except ValueError as error:
            self.tracks, self.partial = None, None
            self.notices.append(
                f"the people who were in the picture at the last position are begun anew: {error}"
            )


def _lines(journal: Path) -> list[dict[str, Any]]:
    """The lines of a journal; a last line that was cut off by a crash is left out."""
    if not journal.is_file():
        return []
    lines = []
    for text in journal.read_text("utf-8").split("\n")[:-1]:
        try:
            lines.append(json.loads(text))
        except ValueError:
            raise InputError(
                f"the position file '{journal}' is damaged; remove it to begin its recording anew"
            ) from None
    return lines


@contextmanager
def open_position(
    city: City, camera: str, source: str, how: Mapping[str, Any], *, again: bool = False
) -> Iterator[Position]:
    """Open the position of a recording; no other process may have it open.

    Args:
        city: The city that the recording goes to.
        camera: The camera.
        source: Name of the recording, such as its folder.
        how: Options and networks; with others the recording is another one.
        again: Forget the position.

    Raises:
        InputError: Another process is at the same recording, or the file is damaged.
    """
    folder = city.folder / UNFINISHED
    folder.mkdir(mode=0o700, exist_ok=True)
    text = json.dumps([camera, source, how], sort_keys=True, default=str)
    journal = folder / f"{sha256(text.encode())[:24]}.jsonl"
    lock = FileLock(journal.with_suffix(".lock"), timeout=PATIENCE)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"another process ingests '{source}' of camera {camera} at this moment; wait for it"
        ) from None
    try:
        position = Position(journal=journal)
        if again:
            journal.unlink(missing_ok=True)
        if journal.is_file():
            _cut_torn_line(journal)
        position.load()
        yield position
    finally:
        lock.release()


def _cut_torn_line(journal: Path) -> None:
    """Remove what a crash left of a last line, so that the next one stands alone."""
    data = journal.read_bytes()
    if data and not data.endswith(b"\n"):
        with journal.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
        sync(journal)
