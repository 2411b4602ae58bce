"""Time: int64 milliseconds since the epoch inside, ISO 8601 with an offset at the borders."""

from datetime import UTC, datetime

from passerby.errors import InputError

DAY_MS = 86_400_000


def parse_time(value: str | int | datetime, what: str = "time") -> int:
    """Milliseconds since the epoch, UTC, of an ISO 8601 string, a datetime or milliseconds.

    Args:
        value: ``"2026-05-01T08:00:00+08:00"``, ``"...Z"``, an aware datetime, or milliseconds.
        what: how the error text calls the value.

    Raises:
        InputError: the text is no ISO 8601 time, or has no time zone.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            raise InputError(
                f"{what} '{value}' is no ISO 8601 time; write it like 2026-05-01T08:00:00+08:00"
            ) from None
    elif isinstance(value, datetime):
        moment = value
    else:
        raise InputError(f"{what} must be an ISO 8601 text with an offset, not {value!r}")
    if moment.utcoffset() is None:
        raise InputError(
            f"{what} '{value}' has no time zone; add the offset, for example +08:00 or Z"
        )
    delta = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def format_time(milliseconds: int) -> str:
    """ISO 8601 text in UTC with milliseconds, the inverse of :func:`parse_time`."""
    seconds, rest = divmod(int(milliseconds), 1000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)
    return moment.isoformat(timespec="milliseconds")


def day_of(milliseconds: int) -> int:
    """Number of the UTC day (days since 1970-01-01) in which a moment lies."""
    return milliseconds // DAY_MS


def day_name(day: int) -> str:
    """``YYYY-MM-DD`` of a UTC day number."""
    return format_time(day * DAY_MS)[:10]
