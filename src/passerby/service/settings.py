"""Limits and policy of a city's service, stored among the city's settings."""

import dataclasses
import zoneinfo
from dataclasses import dataclass
from typing import Any

from passerby.city import City
from passerby.errors import InputError

KEY = "service"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Limits and policy of one city's service.

    Attributes:
        time_zone: IANA zone in which the page shows and reads times.
        session_hours: a session ends at most this long after sign-in.
        idle_minutes: a session ends after this long without a request.
        wide_needs_approval: whether a wide search needs a supervisor's approval first.
        wide_hours: a search is wide when its window is longer or open, or it covers the whole city.
        approval_hours: an approval is valid this long.
        upload_megabytes: the largest request body, and so the largest picture file.
        upload_megapixels: the largest picture; it is checked before a pixel is decoded.
        query_minutes: a query picture stays in memory this long; it is never written to disk.
        most_pictures: the largest number of query pictures in one search.
        most_results: the longest ranked list.
        secure_cookies: whether browsers send the session's cookie over TLS only (behind a proxy).
        keep_scenes: whether ingest keeps a small picture of the whole scene with each sighting.
        play_clips: whether the page may play the seconds around a sighting from its clip.
    """

    time_zone: str = "UTC"
    session_hours: float = 12.0
    idle_minutes: float = 60.0
    wide_needs_approval: bool = False
    wide_hours: float = 72.0
    approval_hours: float = 24.0
    upload_megabytes: float = 12.0
    upload_megapixels: float = 40.0
    query_minutes: float = 120.0
    most_pictures: int = 8
    most_results: int = 200
    secure_cookies: bool = False
    keep_scenes: bool = True
    play_clips: bool = True

    def __post_init__(self) -> None:
        """Refuse a zone that does not exist and limits that are not positive."""
        try:
            zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            raise InputError(
                f"there is no time zone '{self.time_zone}'; "
                "give an IANA name such as 'Europe/Berlin' or 'Asia/Shanghai'"
            ) from None
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, (bool, str)) and value <= 0:
                raise InputError(f"the setting {field.name} is {value}; give more than zero")

    @classmethod
    def read(cls, city: City) -> "Settings":
        """Read a city's settings; a setting that was never stored has its default.

        Raises:
            InputError: an unknown setting, or a value that is not allowed.
        """
        return cls().changed(city.setting(KEY, {}))

    def changed(self, values: dict[str, Any]) -> "Settings":
        """Return the settings with some of them changed.

        Raises:
            InputError: an unknown setting, or a value that is not allowed.
        """
        known = {field.name for field in dataclasses.fields(self)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(
                f"the service has no setting '{unknown[0]}'; there are: {', '.join(sorted(known))}"
            )
        return dataclasses.replace(self, **values)

    def write(self, city: City) -> None:
        """Store the settings in the city."""
        city.set_setting(KEY, dataclasses.asdict(self))
