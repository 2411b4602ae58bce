"""What the owner of a city decides about its service; kept among the city's settings."""

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
        session_hours: a session ends this long after sign-in, whatever happens.
        idle_minutes: a session ends after this long without a request.
        wide_needs_approval: a wide search needs a supervisor's approval first.
        wide_hours: a longer window (or none) makes a search wide; so does the whole city.
        approval_hours: how long an approval holds after it was given.
        upload_megabytes: the largest request body, and so the largest picture file.
        upload_megapixels: the largest picture, checked before a pixel of it is decoded.
        query_minutes: how long a query picture stays in memory; it is never written to disk.
        most_pictures: query pictures in one search.
        most_results: the longest ranked list.
        secure_cookies: the session's cookie travels over TLS only (behind a proxy).
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

    def __post_init__(self) -> None:
        """Refuse a zone that does not exist and limits that allow nothing."""
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
        """Read a city's settings; what was never set has its default.

        Raises:
            InputError: a setting that does not exist, or a value that cannot be.
        """
        return cls().changed(city.setting(KEY, {}))

    def changed(self, values: dict[str, Any]) -> "Settings":
        """The same settings with some of them changed."""
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
