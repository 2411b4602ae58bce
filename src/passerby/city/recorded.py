"""When a camera recorded: what tells "nobody seen" from "not recorded"."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from passerby.city.cameras import nearest_version
from passerby.city.catalogue import ClipRow
from passerby.city.city import City
from passerby.city.clips import ClipRecord, Span
from passerby.city.sightings import Scope
from passerby.times import format_time

SEGMENT_GAP = 2_000  # milliseconds between two clips of one recording


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """When one camera recorded within a window.

    Attributes:
        camera: Its id.
        spans: [from, to) in true time, in order; None where it is not known, because the camera's
            sightings came from tables or folders.
        share: 0..1, the recorded part of the window; None where it is not known.
    """

    camera: str
    spans: tuple[Span, ...] | None
    share: float | None

    def during(self, start: int, end: int) -> bool | None:
        """Return whether anything of [start, end] was recorded; None where it is not known."""
        if self.spans is None:
            return None
        return any(a <= end and b > start for a, b in self.spans)

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        spans = None
        if self.spans is not None:
            spans = [[format_time(a), format_time(b)] for a, b in self.spans]
        share = None if self.share is None else round(self.share, 4)
        return {"camera": self.camera, "share": share, "spans": spans}


def recorded(city: City, scope: Scope) -> dict[str, Recording]:
    """Return when each camera of a scope recorded within the scope's window.

    A window without bounds is that from the first to the last recorded moment of the city. A camera
    without a clip is taken as not recorded where other cameras have clips and this one has never
    had a sighting either. A camera that stood elsewhere, not yet or no more did not record.
    """
    views = city.views_in(scope)
    names = list(dict.fromkeys(view.id for view in views))
    every = _timelines(city)
    if not every:
        return {name: Recording(camera=name, spans=None, share=None) for name in names}
    start = min(spans[0][0] for spans in every.values()) if scope.start is None else scope.start
    end = max(spans[-1][1] for spans in every.values()) if scope.end is None else scope.end
    out = {}
    for name in names:
        spans = every.get(name)
        if spans is None and city.gallery.count(Scope(cameras=(name,))):
            out[name] = Recording(camera=name, spans=None, share=None)
            continue
        inside = tuple(
            (max(a, start), min(b, end)) for a, b in spans or () if a < end and b > start
        )
        share = sum(b - a for a, b in inside) / max(end - start, 1)
        out[name] = Recording(camera=name, spans=inside, share=min(share, 1.0))
    return out


def shares(city: City, scope: Scope) -> dict[str, float | None]:
    """Return the recorded part of a scope's window by camera, 0..1; None where it is not known."""
    return {
        name: None if one.share is None else round(one.share, 4)
        for name, one in recorded(city, scope).items()
    }


def share_words(parts: Mapping[str, float | None]) -> str:
    """Return in words which cameras did not record, or not all of the time; empty for none."""
    away = [name for name, part in parts.items() if part == 0]
    partly = [f"{name} {part:.0%}" for name, part in parts.items() if part and part < 1]
    words = [f"{len(away)} of {len(parts)} cameras did not record: {_some(away)}"] if away else []
    words += [f"{len(partly)} recorded a part of the time: {_some(partly)}"] if partly else []
    return "; ".join(words)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")


def _timelines(city: City) -> dict[str, list[Span]]:
    """What each camera recorded, in true time, in order and merged; only cameras with clips."""
    columns = (ClipRow.camera, ClipRow.first, ClipRow.last, ClipRow.gaps)
    with Session(city.engine) as session:
        rows = session.execute(select(*columns).where(ClipRow.first.is_not(None))).all()
    spans: dict[str, list[Span]] = {}
    for camera, first, last, gaps in rows:
        history = city.history.get(camera)
        record = ClipRecord(name="", first=first, last=last, gaps=tuple((a, b) for a, b in gaps))
        for begin, end in record.spans:
            clock = nearest_version(history, begin).clock if history else 0
            spans.setdefault(camera, []).append((begin + clock, end + clock))
    return {camera: _merged(sorted(own)) for camera, own in spans.items()}


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, those that nearly touch as one."""
    merged: list[Span] = []
    for begin, end in spans:
        if merged and begin <= merged[-1][1] + SEGMENT_GAP:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged
