"""Which camera took a clip and when, from the clip's path and a pattern."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from passerby.errors import InputError
from passerby.times import format_time, parse_time

# field of a pattern -> what stands in its place
FIELDS = {
    "camera": r"[^/]+",
    "year": r"\d{4}",
    "month": r"\d{2}",
    "day": r"\d{2}",
    "hour": r"\d{2}",
    "minute": r"\d{2}",
    "second": r"\d{2}",
    "millisecond": r"\d{3}",
    "epoch": r"\d{9,10}",  # seconds since 1970, UTC
    "zone": r"Z|[+-]\d{2}:?\d{2}",
}
# names of patterns -> the pattern, and its zone when the names always mean one
PATTERNS: dict[str, tuple[str, str | None]] = {
    "frigate": ("{year}-{month}-{day}/{hour}/{camera}/{minute}.{second}.mp4", "UTC"),
    "stamp": ("{camera}_{year}{month}{day}_{hour}{minute}{second}.*", None),
    "record": (
        "{camera}_{year}{month}{day}_{hour}{minute}{second}_{millisecond}.*",
        "UTC",
    ),
}
DAY = ("year", "month", "day", "hour")
FINEST = {"millisecond": 1, "second": 1000, "epoch": 1000, "minute": 60_000, "hour": 3_600_000}


@dataclass(frozen=True, kw_only=True)
class NamedClip:
    """A clip whose path says when it was taken."""

    path: Path
    camera: str | None
    """None where the pattern has no camera."""
    start: int
    """Milliseconds since the epoch, UTC."""
    notice: str = ""
    """What is uncertain about the time; empty when nothing is."""


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A pattern of paths, compiled; see :func:`read_pattern`."""

    text: str
    expression: re.Pattern[str]
    parts: int
    """How many names of a path it covers, counted from the end."""
    zone: tzinfo | None
    exact: int
    """Milliseconds: the finest step of the times that it can name."""

    @property
    def has_camera(self) -> bool:
        """Whether the path names the camera."""
        return "camera" in self.expression.groupindex

    def read(self, path: Path) -> NamedClip | None:
        """Camera and start of a clip; None when the path does not match.

        Raises:
            InputError: The path matches, but names a time that does not exist.
        """
        found = self.expression.fullmatch("/".join(path.parts[-self.parts :]))
        if found is None:
            return None
        values = found.groupdict()
        start, notice = self._time(values, path)
        return NamedClip(path=path, camera=values.get("camera"), start=start, notice=notice)

    def _time(self, values: dict[str, str], path: Path) -> tuple[int, str]:
        if "epoch" in values:
            return int(values["epoch"]) * 1000, ""
        year, month, day, hour, minute, second, millisecond = (
            int(values.get(name) or 0) for name in (*DAY, "minute", "second", "millisecond")
        )
        try:
            local = datetime(year, month, day, hour, minute, second, millisecond * 1000)
        except ValueError as error:
            raise InputError(f"'{path}' names a time that does not exist: {error}") from None
        if "zone" in values:
            return parse_time(f"{local.isoformat()}{values['zone']}"), ""
        assert self.zone is not None
        return _in_zone(local, self.zone, path)


def _in_zone(local: datetime, zone: tzinfo, path: Path) -> tuple[int, str]:
    """Milliseconds of a local time; the hour that comes twice is taken as the first one."""
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local:
        raise InputError(
            f"'{path}' names {local}, which the clocks of {zone} leave out; if the recorder's "
            "clock does not change in spring, give its offset as the zone, for example +01:00"
        )
    if first.utcoffset() == second.utcoffset():
        return parse_time(first), ""
    return parse_time(first), (
        f"'{path}' names {local}, an hour that comes twice in {zone}; taken as "
        f"{format_time(parse_time(first))}, it may be {format_time(parse_time(second))}"
    )


def read_zone(text: str) -> tzinfo:
    """A time zone by name, such as Europe/Berlin, or by offset, such as +08:00.

    Raises:
        InputError: There is no such zone.
    """
    offset = re.fullmatch(r"([+-])(\d{2}):?(\d{2})", text)
    if offset:
        sign, hours, minutes = offset.groups()
        if int(hours) < 24 and int(minutes) < 60:
            away = timedelta(hours=int(hours), minutes=int(minutes))
            return timezone(-away if sign == "-" else away)
    elif text in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # unknown, not a name, a folder of names
        raise InputError(
            f"there is no time zone '{text}'; write a name such as Europe/Berlin, "
            "an offset such as +08:00, or UTC"
        ) from None


def read_pattern(text: str, zone: str | None = None) -> Pattern:
    """Compile a pattern of paths.

    >>> from pathlib import Path
    >>> pattern = read_pattern("{camera}_{year}{month}{day}_{hour}{minute}{second}.mp4", "+08:00")
    >>> pattern.read(Path("C01_20260501_080000.mp4")).camera
    'C01'

    Args:
        text: A name of :data:`PATTERNS`, or a path with the fields of :data:`FIELDS` in braces.
            ``*`` stands for any characters but a slash. A path matches when its last names do.
        zone: Time zone of the names, see :func:`read_zone`. A pattern with the field zone or epoch
            needs none.

    Raises:
        InputError: A field is unknown, the pattern names no full time, or the zone is missing.
    """
    fixed = None
    if text in PATTERNS:
        text, fixed = PATTERNS[text]
    seen: set[str] = set()
    expression = "".join(_piece(piece, text, seen) for piece in re.split(r"(\{.*?\}|\*)", text))
    if "epoch" not in seen and not seen.issuperset(DAY):
        missing = ", ".join(f"{{{name}}}" for name in DAY if name not in seen)
        raise InputError(f"the pattern '{text}' names no full time; it lacks {missing}")
    zoned = bool(seen & {"epoch", "zone"})
    chosen = zone or fixed
    if chosen is None and not zoned:
        raise InputError(
            f"the pattern '{text}' does not say the time zone; add --zone, for example "
            "--zone Europe/Berlin or --zone UTC"
        )
    return Pattern(
        text=text,
        expression=re.compile(expression),
        parts=text.count("/") + 1,
        zone=None if zoned or chosen is None else read_zone(chosen),
        exact=min(step for name, step in FINEST.items() if name in seen),
    )


def _piece(piece: str, text: str, seen: set[str]) -> str:
    """The regular expression of a part of a pattern."""
    if piece == "*":
        return "[^/]*"
    if not (piece.startswith("{") and piece.endswith("}")):
        return re.escape(piece)
    name = piece[1:-1]
    if name not in FIELDS:
        raise InputError(
            f"the pattern '{text}' has an unknown field {piece}; there are "
            f"{', '.join(FIELDS)}, and the patterns named {', '.join(PATTERNS)}"
        )
    if name in seen:
        return f"(?P={name})"
    seen.add(name)
    return f"(?P<{name}>{FIELDS[name]})"


@dataclass(frozen=True, kw_only=True)
class FoundClips:
    """The clips of a folder."""

    clips: dict[str | None, list[NamedClip]] = field(default_factory=dict)
    """Camera -> its clips in order of time; under None where the pattern has no camera."""
    left_out: dict[str, str] = field(default_factory=dict)
    """File -> why it was left out."""

    @property
    def notices(self) -> list[str]:
        """What the operator should know, one sentence each."""
        said = [clip.notice for clips in self.clips.values() for clip in clips if clip.notice]
        shown = [*said[:3], *([f"{len(said) - 3} more such times"] if len(said) > 3 else [])]
        names = list(self.left_out)
        if names:
            why = "; ".join(self.left_out[name] for name in names[:3])
            more = f"; and {len(names) - 3} more" if len(names) > 3 else ""
            shown.append(f"{len(names)} files were left out: {why}{more}")
        return shown


def find_clips(folder: Path, pattern: Pattern) -> FoundClips:
    """Find the clips of a folder, and of those in it, whose paths match a pattern.

    Hidden files (their name begins with a dot) are not looked at.

    Raises:
        InputError: There is no such folder, or no path matches.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder '{folder}'")
    found = FoundClips()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if not path.is_file() or any(name.startswith(".") for name in inside.parts):
            continue
        try:
            clip = pattern.read(path)
        except InputError as error:
            found.left_out[str(path)] = str(error)
            continue
        if clip is None:
            found.left_out[str(path)] = f"'{path}' does not match '{pattern.text}'"
        else:
            found.clips.setdefault(clip.camera, []).append(clip)
    if not found.clips:
        why = next(iter(found.left_out.values()), "it is empty")
        raise InputError(f"no clip in '{folder}' can be placed by '{pattern.text}': {why}")
    for clips in found.clips.values():
        clips.sort(key=lambda clip: (clip.start, clip.path))
    return found
