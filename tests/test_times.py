from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.city.sightings import Scope
from passerby.errors import InputError
from passerby.times import day_name, day_of, format_time, parse_time


@given(st.integers(-(10**12), 4 * 10**12))
def test_times_survive_the_border(moment: int) -> None:
    assert parse_time(format_time(moment)) == moment


def test_offsets_are_respected() -> None:
    assert parse_time("2026-05-01T08:00:00+08:00") == parse_time("2026-05-01T00:00:00Z")
    assert parse_time(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)) == 1000
    assert day_name(day_of(parse_time("2026-05-01T07:59:59+08:00"))) == "2026-04-30"


@pytest.mark.parametrize("value", ["2026-05-01T08:00:00", datetime(2026, 5, 1)])
def test_a_time_without_zone_is_refused(value: str | datetime) -> None:
    with pytest.raises(InputError, match="time zone"):
        parse_time(value)


@pytest.mark.parametrize("value", ["yesterday", "", "2026-13-01T00:00:00Z"])
def test_nonsense_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="ISO 8601"):
        parse_time(value)


def test_a_window_must_not_end_before_it_starts() -> None:
    with pytest.raises(InputError, match="before it starts"):
        Scope.parse(start="2026-05-02T00:00:00Z", end="2026-05-01T00:00:00Z")
