"""Recordings of many files and of many cameras, for ``passerby ingest``."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from passerby.cli.common import advance, aligned
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.cli.ingest import Ingest
    from passerby.ingest.cameras_run import CameraReport, Load
    from passerby.ingest.manifest import CameraTask, Manifest

BETWEEN = 30.0  # seconds between two lines about a camera, without a terminal
FAILED, FRAMES_LOST = 1, 3  # exit status


def is_recording(source: Path, pattern: str | None) -> bool:
    """Whether a source is a manifest, a playlist, or a folder of clips."""
    from passerby.ingest.segments import has_clips
    from passerby.ingest.store import TABLE

    if source.is_dir():
        return pattern is not None or (has_clips(source) and not (source / TABLE).is_file())
    return source.suffix.lower() in (".toml", ".m3u8", ".m3u")


def read_tasks(options: "Ingest") -> "Manifest":
    """The cameras of a source, their segments, and how to read them.

    Raises:
        InputError: The source is wrong, or an option that it needs is missing.
    """
    from passerby.ingest.manifest import (
        CameraTask,
        Manifest,
        folder_task,
        folder_tasks,
        read_manifest,
    )
    from passerby.ingest.segments import from_playlist
    from passerby.times import parse_time

    if options.queue is not None:
        raise InputError("--queue takes one clip, folder of crops or table; leave it out here")
    if options.source.suffix.lower() == ".toml":
        _refuse_beside_manifest(options)
        return read_manifest(options.source)
    base = CameraTask(
        camera=options.camera or "",
        source=str(options.source),
        segments=(),
        options=options.clip_options(options.rate),
        detector=str(options.detector) if options.detector else None,
        precision=options.precision,
        model=options.model,
    )
    start = None if options.start is None else parse_time(options.start, "the start")
    if options.camera is None:
        if options.pattern is None:
            raise InputError("say which camera took the recording: --camera ID")
        tasks = folder_tasks(
            base, options.source, pattern=options.pattern, zone=options.zone, names={}
        )
    elif options.source.is_dir():
        where = {"pattern": options.pattern, "zone": options.zone, "start": start}
        tasks = [folder_task(base, options.source, **where)]  # type: ignore[arg-type]
    else:
        from dataclasses import replace

        tasks = [replace(base, segments=tuple(from_playlist(options.source, start)))]
    return Manifest(workers=options.workers or 1, tasks=tuple(tasks))


def _refuse_beside_manifest(options: "Ingest") -> None:
    """Refuse options that a manifest says itself: nothing is left out of account silently."""
    from dataclasses import fields

    beside = {"source", "city", "workers", "again", "any_time", "json", "create_city", "queue"}
    given = [
        one.name.replace("_", "-")
        for one in fields(options)
        if one.name not in beside and getattr(options, one.name) != one.default
    ]
    if given:
        raise InputError(
            f"--{', --'.join(given)} cannot stand beside a manifest; write it into "
            f"'{options.source}'"
        )


def ingest_tasks(
    city: Path,
    tasks: "tuple[CameraTask, ...]",
    *,
    workers: int,
    again: bool = False,
    load: "Load | None" = None,
) -> tuple[dict[str, Any], str, int]:
    """Ingest the recordings of cameras; returns the facts, a table of them, and the exit status."""
    from passerby.ingest.cameras_run import ingest_cameras, load_networks

    begin = time.monotonic()
    progress = _Bars() if sys.stderr.isatty() else _Lines()
    reports = ingest_cameras(
        city,
        tasks,
        workers=workers,
        load=load or load_networks,
        again=again,
        on_event=progress.tell,
    )
    progress.close()
    for report in reports:
        for notice in report.notices:
            _say(f"{report.camera}: {notice}")
    status = _status(reports)
    facts = {
        "cameras": [report.as_dict() for report in reports],
        "seconds": round(time.monotonic() - begin, 3),
        "status": status,
    }
    return facts, _table(reports), status


def _status(reports: "list[CameraReport]") -> int:
    if any(report.state == "failed" for report in reports):
        return FAILED
    lost = any(report.left_out or (report.report and report.report.lost) for report in reports)
    return FRAMES_LOST if lost else 0


def _table(reports: "list[CameraReport]") -> str:
    head = ("camera", "segments", "before", "frames", "lost", "people", "sightings", "new", "state")
    rows: list[tuple[str, ...]] = [head]
    for one in reports:
        made = one.report
        if made is None:
            rows.append((one.camera, str(one.segments), *["-"] * 6, f"failed: {one.error}"))
            continue
        clip = made.clip
        lost = clip.damaged + clip.corrupt + max(clip.missing, 0)
        problems = [f"{len(made.failed)} segments unreadable" if made.failed else ""]
        problems += [f"{one.left_out} files left out" if one.left_out else ""]
        state = "; ".join(["done", *filter(None, problems)])
        counts = (one.segments, made.before, clip.decoded, lost)
        found = (made.tracklets, made.sightings, made.added)
        rows.append((one.camera, *map(str, counts), *map(str, found), state))
    return aligned(rows)


def _say(text: str) -> None:
    print(f"passerby ingest: {text}", file=sys.stderr, flush=True)


class _Lines:
    """A line for each event of a camera; while it runs, one now and then."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def tell(self, event: str, report: "CameraReport") -> None:
        """Print what happened."""
        now = time.monotonic()
        if event == "begun":
            self._last[report.camera] = now
        elif event == "progress" and now - self._last[report.camera] < BETWEEN:
            return
        self._last[report.camera] = now
        words = {"progress": "at", "failed": f"failed: {report.error}; at"}.get(event, event)
        _say(
            f"{report.camera}: {words} segment {report.at} of {report.segments}, "
            f"{report.frames} frames, {report.people} people"
        )

    def close(self) -> None:
        """Do nothing."""


class _Bars:
    """A bar for each camera."""

    def __init__(self) -> None:
        self._bars: dict[str, Any] = {}

    def tell(self, event: str, report: "CameraReport") -> None:
        """Move the bar of the camera."""
        bar = self._bars.get(report.camera)
        if bar is None:
            bar = tqdm(unit=" segments", desc=report.camera, total=report.segments)
            self._bars[report.camera] = bar
        bar.set_postfix(frames=report.frames, people=report.people, refresh=False)
        advance(bar, report.at)
        bar.refresh()

    def close(self) -> None:
        """Close the bars."""
        for bar in self._bars.values():
            bar.close()
