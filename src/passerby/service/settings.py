"""Limits and policy of a city's service, stored among the city's settings."""

import dataclasses
import re
import typing
import zoneinfo
from dataclasses import dataclass, field
from typing import Any

from passerby.city import City
from passerby.errors import InputError

KEY = "service"
_SYSLOG = re.compile(r"|/\S+|[^\s:/]+:\d{1,5}")
_URL = re.compile(r"|https?://[^\s/]+\S*")


def _limit(default: float, least: float, most: float) -> Any:
    """A number with the least and the greatest value that it may have."""
    return field(default=default, metadata={"least": least, "most": most})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Limits and policy of one city's service.

    Attributes:
        time_zone: IANA zone in which the page shows and reads times.
        session_hours: a session ends at most this long after sign-in.
        idle_minutes: a session ends after this long without a request.
        code_hours: a one-time password that an administrator gave is valid this long.
        wide_needs_approval: whether a wide search needs a supervisor's approval first.
        wide_hours: looking at a camera is wide when the window is open or longer, also when it was
            looked at in several parts for one case.
        wide_share: looking is wide when it reaches more than this share of the city's cameras, or
            of the sightings of the window; what was looked at for the case before counts too.
        approval_hours: an approval is valid this long; what a case looked at counts as long.
        upload_megabytes: the largest request body, and so the largest picture file.
        upload_megapixels: the largest picture; it is checked before a pixel is decoded.
        query_minutes: a query picture stays in memory this long; it is never written to disk.
        most_pictures: the largest number of query pictures in one search.
        most_results: the longest ranked list.
        request_seconds: a request must have arrived in full after this long.
        secure_cookies: whether browsers send the session's cookie over TLS only (behind a proxy).
        keep_scenes: whether ingest keeps a small picture of the whole scene with each sighting.
        play_clips: whether the page may play the seconds around a sighting from its clip.
        audit_syslog: where heads of the audit are sent: HOST:PORT (UDP) or a socket's path.
        audit_url: where heads of the audit are posted, an http or https address.
    """

    time_zone: str = "UTC"
    session_hours: float = _limit(12.0, 0.01, 24 * 30)
    idle_minutes: float = _limit(60.0, 0.1, 60 * 24 * 30)
    code_hours: float = _limit(24.0, 0.01, 24 * 30)
    wide_needs_approval: bool = False
    wide_hours: float = _limit(72.0, 0.001, 24 * 366)
    wide_share: float = _limit(0.5, 0.001, 1.0)
    approval_hours: float = _limit(24.0, 0.01, 24 * 366)
    upload_megabytes: float = _limit(12.0, 0.001, 1024)
    upload_megapixels: float = _limit(40.0, 0.001, 1000)
    query_minutes: float = _limit(120.0, 0.001, 60 * 24)
    most_pictures: int = _limit(8, 1, 100)
    most_results: int = _limit(200, 1, 10_000)
    request_seconds: float = _limit(30.0, 0.1, 3600)
    secure_cookies: bool = False
    keep_scenes: bool = True
    play_clips: bool = True
    audit_syslog: str = ""
    audit_url: str = ""

    def __post_init__(self) -> None:
        """Refuse values of another type, numbers out of their bounds, and a zone that is none."""
        types = typing.get_type_hints(Settings)
        for one in dataclasses.fields(self):
            _check(one, types[one.name], getattr(self, one.name))
        try:
            zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise InputError(
                f"there is no time zone '{self.time_zone[:80]}'; set time_zone to "
                "an IANA name such as 'Europe/Berlin' or 'Asia/Shanghai'"
            ) from None
        if not _SYSLOG.fullmatch(self.audit_syslog):
            raise InputError("the setting audit_syslog is no HOST:PORT and no path of a socket")
        if not _URL.fullmatch(self.audit_url):
            raise InputError("the setting audit_url is no http or https address")

    @classmethod
    def read(cls, city: City) -> "Settings":
        """Read a city's settings; a setting that was never stored has its default.

        Raises:
            InputError: an unknown setting, or a value that is not allowed.
        """
        return cls().changed(stored(city))

    def changed(self, values: dict[str, Any]) -> "Settings":
        """Return the settings with some of them changed.

        Raises:
            InputError: an unknown setting, or a value that is not allowed.
        """
        known = {one.name for one in dataclasses.fields(self)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(
                f"the service has no setting '{unknown[0][:80]}'; "
                f"there are: {', '.join(sorted(known))}"
            )
        return dataclasses.replace(self, **values)

    def write(self, city: City) -> None:
        """Store the settings in the city."""
        city.set_setting(KEY, dataclasses.asdict(self))


def stored(city: City) -> dict[str, Any]:
    """Return what a city stores, unchecked; a version before this one stored any text.

    Raises:
        InputError: it is no set of settings.
    """
    values = city.setting(KEY, {})
    if not isinstance(values, dict):
        raise InputError("the city's settings of the service are damaged; set them anew")
    return values


def _check(one: "dataclasses.Field[Any]", kind: type, value: Any) -> None:
    """Refuse a value of another type than the setting's, or out of its bounds."""
    numeric = kind is float and isinstance(value, int | float) and not isinstance(value, bool)
    if type(value) is not kind and not numeric:
        wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        raise InputError(f"the setting {one.name} is {value!r:.80}; give {wanted[kind]}")
    bounds = one.metadata
    if bounds and not bounds["least"] <= value <= bounds["most"]:  # nor NaN
        raise InputError(
            f"the setting {one.name} is {str(value)[:40]}; "
            f"give a number from {bounds['least']:g} to {bounds['most']:g}"
        )
