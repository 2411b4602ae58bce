"""Settings: typed, bounded, refused by name, set together."""

from typing import Any

import pytest

from passerby.city import City
from passerby.cli import main
from passerby.errors import InputError
from passerby.service.settings import KEY, Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wide_needs_approval", "perhaps"),
        ("wide_needs_approval", 1),
        ("secure_cookies", "no"),
        ("wide_hours", True),
        ("wide_hours", "5"),
        ("wide_hours", float("nan")),
        ("wide_hours", float("inf")),
        ("wide_hours", 10**400),
        ("wide_hours", -1),
        ("wide_hours", None),
        ("wide_share", 1.5),
        ("most_pictures", 2.5),
        ("most_pictures", 0),
        ("most_pictures", 10**30),
        ("most_results", [200]),
        ("session_hours", {"a": 1}),
        ("session_hours", 1e300),
        ("time_zone", 5),
        ("time_zone", "Mars/One"),
        ("time_zone", "../../etc/passwd"),
        ("audit_url", "file:///etc/passwd"),
        ("audit_syslog", "somewhere"),
        ("no_such", 1),
        ("__class__", 1),
    ],
)
def test_a_wrong_setting_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name if name != "__class__" else "no setting"):
        Settings().changed({name: value})


def run(city: City, *words: str) -> int:
    return main(["admin", "settings", str(city.folder), *words])


def test_several_settings_are_set_together_or_not_at_all(
    city: City, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(city, "--set", "wide_hours=5", "--set", "most_pictures=3", "idle_minutes=7") == 0
    now = Settings.read(city)
    assert (now.wide_hours, now.most_pictures, now.idle_minutes) == (5, 3, 7)
    for wrong in (
        ["--set", "wide_hours=6", "--set", "wide_hours=7"],
        ["--set", "wide_hours=6", "most_pictures=2.5"],
        ["--set", "wide_hours=6", "--set", "nothing"],
        ["--set", "wide_hours=" + "[" * 5000],
    ):
        capsys.readouterr()
        assert run(city, *wrong) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert Settings.read(city) == now


def test_a_wrong_setting_of_an_older_version_can_be_set_anew(city: City) -> None:
    city.set_setting(KEY, {"upload_megabytes": "abc", "wide_hours": 5})
    with pytest.raises(InputError, match="upload_megabytes"):
        Settings.read(city)
    assert run(city, "--set", "upload_megabytes=8") == 0
    assert (Settings.read(city).upload_megabytes, Settings.read(city).wide_hours) == (8, 5)


def test_settings_of_no_kind_are_refused(city: City) -> None:
    city.set_setting(KEY, [1])
    with pytest.raises(InputError, match="damaged"):
        Settings.read(city)
