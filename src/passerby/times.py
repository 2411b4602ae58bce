"""Times: whole milliseconds since the epoch inside, ISO 8601 text with an offset outside."""

import time
from datetime import UTC, datetime, timedelta

from passerby.errors import InputError

DAY_MS = 86_400_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = 946_684_800_000  # 2000-01-01; an earlier time is that of a clock that was never set
AHEAD = 600_000  # milliseconds by which a clock may be ahead of this machine's
FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


def now() -> int:
    """The present, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def check_plausible(first: int, last: int, what: str, *, future: bool = False) -> None:
    """Refuse times that cannot be: before 2000, or in the future.

    Args:
        first: The earliest time, milliseconds.
        last: The latest time.
        what: How the error begins, such as "the table 'a' has sightings of".
        future: Times in the future are allowed.

    Raises:
        InputError: The times are not plausible.
    """
    wrong = ""
    if first < EARLIEST:
        wrong = f"{what} {format_time(first)}, before 2000 (seconds in place of milliseconds?)"
    elif last > now() + AHEAD and not future:
        wrong = f"{what} {format_time(last)}, which is in the future"
    if wrong:
        raise InputError(f"{wrong}; correct it, or say --any-time if that is meant")


def parse_time(value: str | int | datetime, what: str = "time") -> int:
    """Milliseconds since the epoch, UTC, of an ISO 8601 text, a datetime or milliseconds.

    Args:
        value: ``"2026-05-01T08:00:00+08:00"``, ``"...Z"``, a datetime with a zone, or milliseconds.
        what: How the error text names the value.

    Raises:
        InputError: The text is not ISO 8601, or the time has no zone.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return _in_range(value, what)
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            raise InputError(
                f"{what} '{value[:80]}' is no ISO 8601 time; "
                "write it like 2026-05-01T08:00:00+08:00"
            ) from None
    if not isinstance(moment, datetime):
        raise InputError(f"{what} must be an ISO 8601 text with an offset, not {value!r}")
    if moment.utcoffset() is None:
        raise InputError(
            f"{what} '{value}' has no time zone; add the offset, for example +08:00 or Z"
        )
    return _in_range((moment - EPOCH) // timedelta(milliseconds=1), what)


def _in_range(milliseconds: int, what: str) -> int:
    """Return the time; refuse one that has no ISO 8601 text in UTC."""
    if not FIRST <= milliseconds <= LAST:
        raise InputError(f"{what} lies outside the years 1 to 9999 in UTC; give another")
    return milliseconds


def format_time(milliseconds: int) -> str:
    """ISO 8601 text in UTC with milliseconds; :func:`parse_time` reads it back."""
    moment = EPOCH + timedelta(milliseconds=int(milliseconds))
    return moment.isoformat(timespec="milliseconds")


def day_of(milliseconds: int) -> int:
    """Number of the UTC day in which a moment lies: days since 1970-01-01."""
    return milliseconds // DAY_MS


def day_name(day: int) -> str:
    """``YYYY-MM-DD`` of a UTC day number."""
    return format_time(day * DAY_MS)[:10]
