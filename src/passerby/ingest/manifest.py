"""A manifest: the cameras of a city with their clips, and how to read them, in one TOML file."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from passerby.errors import InputError
from passerby.ingest.names import find_clips, read_pattern
from passerby.ingest.pipeline import ClipOptions
from passerby.ingest.segments import Segment, from_folder, from_names, from_playlist
from passerby.ingest.tracklets import TrackletOptions
from passerby.times import parse_time

NUMBER = (int, float)
# key -> (what it may be, how an error names that)
OPTIONS: dict[str, tuple[Any, str]] = {
    "every": (int, "a whole number"),
    "rate": (NUMBER, "a number"),
    "longest_gap": (NUMBER, "a number"),
    "crops": (int, "a whole number"),
    "enhance": (bool, "true or false"),
}
NETWORKS: dict[str, tuple[Any, str]] = {
    "detector": (str, "a text"),
    "precision": (str, "a text"),
    "model": (str, "a text"),
}
TOP = {
    "city": (str, "a text"),
    "workers": (int, "a whole number"),
    "cameras": (dict, "tables such as [cameras.C01]"),
    "folders": (list, "tables under [[folders]]"),
    **NETWORKS,
    **OPTIONS,
}
FOUND = {"folder": (str, "a text"), "pattern": (str, "a text"), "zone": (str, "a text")}
CAMERA = {
    "clips": (list, "a list of {path = ..., start = ...}"),
    "playlist": (str, "a text"),
    "start": (str, "a text such as 2026-05-01T08:00:00+08:00"),
    **FOUND,
    **NETWORKS,
    **OPTIONS,
}
FOLDERS = {**FOUND, "names": (dict, "a table of name = camera"), **NETWORKS, **OPTIONS}
CLIP = {"path": (str, "a text"), "start": (str, "a text such as 2026-05-01T08:00:00+08:00")}


@dataclass(frozen=True, kw_only=True)
class CameraTask:
    """The recordings of one camera, and how to read them."""

    camera: str
    source: str
    """Name of the recordings; a run under the same name goes on where the last one ended."""
    segments: tuple[Segment, ...]
    options: ClipOptions = field(default_factory=ClipOptions)
    detector: str | None = None
    precision: str = "auto"
    """Of the detector: fp32 or bf16; auto until it is chosen."""
    any_time: bool = False
    model: str = "default"
    notices: tuple[str, ...] = ()
    left_out: int = 0
    """Files that could not be placed."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a manifest says."""

    city: Path | None = None
    workers: int = 1
    tasks: tuple[CameraTask, ...]


class _Table:
    """A table of the file, whose errors say where it is."""

    def __init__(self, file: Path, text: str, name: str, values: dict[str, Any]) -> None:
        self.file, self.text, self.name, self.values = file, text, name, values

    def check(self, allowed: dict[str, tuple[Any, str]]) -> None:
        """Refuse unknown keys and values of another kind."""
        if not isinstance(self.values, dict):
            name = self.name.partition(" ")[0]
            raise InputError(f"{self.file}: {name} must be a table under [[{name}]], not a value")
        for key, value in self.values.items():
            if key not in allowed:
                self.fail(key, f"is not known; allowed are {', '.join(allowed)}")
            kind, words = allowed[key]
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                self.fail(key, f"must be {words}")

    def fail(self, key: str, what: str) -> NoReturn:
        """Raise an error about a key."""
        line = _line(self.text, self.name, key)
        where = f"{self.file}, line {line}" if line else str(self.file)
        raise InputError(f"{where}: {f'[{self.name}] ' if self.name else ''}{key} {what}")

    def path(self, key: str) -> Path:
        """A path, which is relative to the manifest's folder."""
        return self.file.parent / str(self.values[key])

    def start(self, key: str = "start") -> int | None:
        """A time, when it is given."""
        if key not in self.values:
            return None
        return parse_time(self.values[key], f"{self.file}: [{self.name}] {key}")

    def options(self, base: CameraTask) -> CameraTask:
        """A task with the networks and options of this table; others are those of ``base``."""
        values = dict(self.values)
        try:
            clip = {key: values[key] for key in OPTIONS if key in values and key != "crops"}
            options = replace(base.options, **clip)
            if "crops" in values:
                tracklets: TrackletOptions = replace(options.tracklets, crops=values["crops"])
                options = replace(options, tracklets=tracklets)
        except InputError as error:
            raise InputError(f"{self.file}: [{self.name}] {error}") from None
        if values.get("every", 1) < 1:
            self.fail("every", "must be 1 or more")
        if values.get("precision", "auto") not in ("auto", "fp32", "bf16"):
            self.fail("precision", "must be auto, fp32 or bf16")
        return replace(
            base,
            options=options,
            detector=self.network("detector") or base.detector,
            precision=values.get("precision", base.precision),
            model=self.network("model") or base.model,
        )

    def network(self, key: str) -> str | None:
        """A file, relative to the manifest's folder where it is there, or a name."""
        name = self.values.get(key)
        return str(self.path(key)) if name and self.path(key).is_file() else name


def _line(text: str, table: str, key: str) -> int:
    """The line of a key in a table; 0 where it cannot be found."""
    name, _, number = table.partition(" ")
    at, seen, header = "", 0, 0
    for count, line in enumerate(text.splitlines(), 1):
        found = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line)
        if found:
            at = found[1].replace('"', "").replace("'", "")
            seen += at == name
            header = count if at == name else header
        here = at == name and (not number or seen == int(number))
        if here and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line):
            return count
        if f"{name}.{key}" == at:
            return count
    return header


def read_manifest(path: Path) -> Manifest:
    """Read a manifest and find its clips.

    Raises:
        InputError: The file cannot be read, or a key, a value, a path or a time in it is wrong; the
            text names file, line, table and key, and what is allowed.
    """
    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"the manifest '{path}' cannot be read: {error}") from None
    top = _Table(path, text, "", values)
    top.check(TOP)
    base = top.options(CameraTask(camera="", source="", segments=()))
    tasks: dict[str, CameraTask] = {}
    for name, entry in values.get("cameras", {}).items():
        if not isinstance(entry, dict):
            top.fail("cameras", f"{name} must be a table: [cameras.{name}]")
        table = _Table(path, text, f"cameras.{name}", entry)
        table.check(CAMERA)
        tasks[name] = _camera(table, name, table.options(base))
    for number, entry in enumerate(values.get("folders", []), 1):
        table = _Table(path, text, f"folders {number}", entry)
        for task in _folder(table, base):
            if task.camera in tasks:
                table.fail("folder", f"has clips of camera {task.camera}, which is named twice")
            tasks[task.camera] = task
    if not tasks:
        raise InputError(f"{path}: there is no camera; add [cameras.ID] or [[folders]]")
    if values.get("workers", 1) < 1:
        top.fail("workers", "must be 1 or more")
    city = top.path("city") if "city" in values else None
    return Manifest(city=city, workers=values.get("workers", 1), tasks=tuple(tasks.values()))


def _camera(table: _Table, name: str, task: CameraTask) -> CameraTask:
    """The task of a [cameras.ID] table."""
    kinds = [kind for kind in ("clips", "folder", "playlist") if kind in table.values]
    if len(kinds) != 1:
        table.fail(kinds[1] if kinds else "clips", "must be one of clips, folder or playlist")
    task = replace(task, camera=name)
    if kinds[0] == "clips":
        return replace(task, source=f"{table.file} {name}", segments=tuple(_clips(table)))
    where = table.path(kinds[0])
    try:
        if kinds[0] == "playlist":
            segments = from_playlist(where, table.start())
            return replace(task, source=str(where), segments=tuple(segments))
        return folder_task(
            task,
            where,
            pattern=table.values.get("pattern"),
            zone=table.values.get("zone"),
            start=table.start(),
        )
    except InputError as error:
        table.fail(kinds[0], f"cannot be used: {error}")


def folder_task(
    task: CameraTask, folder: Path, *, pattern: str | None, zone: str | None, start: int | None
) -> CameraTask:
    """The task of a camera whose segments are in a folder.

    Raises:
        InputError: There is no such folder, it has no clip of the camera, or neither a pattern nor
            a start says when they were taken.
    """
    if pattern is None:
        if start is None:
            raise InputError("give a pattern for the names of the clips, or the start of the first")
        if not folder.is_dir():
            raise InputError(f"there is no folder '{folder}'")
        return replace(task, source=str(folder), segments=tuple(from_folder(folder, start)))
    compiled = read_pattern(pattern, zone)
    found = find_clips(folder, compiled)
    clips = found.clips.get(task.camera if compiled.has_camera else None)
    if not clips:
        names = ", ".join(sorted(filter(None, found.clips)))
        raise InputError(f"'{folder}' has no clip of camera {task.camera}, only of {names}")
    return replace(
        task,
        source=str(folder),
        segments=tuple(from_names(clips, compiled.exact)),
        notices=tuple(found.notices),
        left_out=len(found.left_out),
    )


def folder_tasks(
    task: CameraTask, folder: Path, *, pattern: str, zone: str | None, names: dict[str, str]
) -> list[CameraTask]:
    """A task for each camera that the names in a folder say.

    Args:
        task: Networks and options of each.
        folder: Where the clips are.
        pattern: Has the field camera.
        zone: Time zone of the names.
        names: Name in the path -> id of the camera; a name that is not here is the id.

    Raises:
        InputError: There is no such folder, or no clip in it can be placed.
    """
    compiled = read_pattern(pattern, zone)
    if not compiled.has_camera:
        raise InputError(f"the pattern '{compiled.text}' has no {{camera}}")
    found = find_clips(folder, compiled)
    said = replace(task, notices=tuple(found.notices), left_out=len(found.left_out))
    tasks: list[CameraTask] = []
    for name, clips in found.clips.items():
        tasks.append(
            replace(
                task if tasks else said,  # what holds for the folder is said once
                camera=names.get(str(name), str(name)),
                source=f"{folder} {name}",
                segments=tuple(from_names(clips, compiled.exact)),
            )
        )
    return tasks


def _folder(table: _Table, base: CameraTask) -> list[CameraTask]:
    """The tasks of a [[folders]] table."""
    table.check(FOLDERS)
    for key in ("folder", "pattern"):
        if key not in table.values:
            table.fail(key, "is missing")
    if not all(isinstance(one, str) for one in table.values.get("names", {}).values()):
        table.fail("names", "must be a table of name = camera, both texts")
    try:
        return folder_tasks(
            table.options(base),
            table.path("folder"),
            pattern=table.values["pattern"],
            zone=table.values.get("zone"),
            names=table.values.get("names", {}),
        )
    except InputError as error:
        table.fail("folder", f"cannot be used: {error}")


def _clips(table: _Table) -> Iterator[Segment]:
    """The segments of a list of clips."""
    for number, entry in enumerate(table.values["clips"], 1):
        if not isinstance(entry, dict):
            table.fail("clips", f"{number} must be {{path = ..., start = ...}}")
        clip = _Table(table.file, table.text, table.name, entry)
        for key in CLIP:
            if key not in entry:
                table.fail("clips", f"{number} has no {key}; give {{path = ..., start = ...}}")
        for key, value in entry.items():
            if key not in CLIP or not isinstance(value, str):
                table.fail(
                    "clips", f"{number} has a wrong {key}; allowed are the texts path, start"
                )
        path = clip.path("path")
        missing = "" if path.is_file() else f"there is no clip '{path}'"
        yield Segment(path=path, start=clip.start(), missing=missing)
