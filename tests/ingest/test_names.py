"""Camera and start from a path: fields, zones, the two days on which clocks change."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from passerby.errors import InputError
from passerby.ingest.names import find_clips, read_pattern, read_zone


def ms(*when: int) -> int:
    return round(datetime(*when, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("pattern", "zone", "path", "camera", "start"),
    [
        ("frigate", None, "r/2026-05-01/08/yard/59.07.mp4", "yard", ms(2026, 5, 1, 8, 59, 7)),
        ("stamp", "UTC", "C01_20260501_080000.mp4", "C01", ms(2026, 5, 1, 8)),
        ("stamp", "Europe/Berlin", "a_b_20260501_080000.mkv", "a_b", ms(2026, 5, 1, 6)),
        ("stamp", "+08:00", "C01_20260501_080000.ts", "C01", ms(2026, 5, 1)),
        (
            "{camera}/{year}{month}{day}T{hour}*",
            "UTC",
            "x/20260501T23abc.avi",
            "x",
            ms(2026, 5, 1, 23),
        ),
        ("{camera}-{epoch}.mp4", None, "C1-1777593600.mp4", "C1", 1_777_593_600_000),
        (
            "{year}-{month}-{day}_{hour}{zone}.mp4",
            None,
            "2026-05-01_08+0200.mp4",
            None,
            ms(2026, 5, 1, 6),
        ),
        (
            "{camera}/{camera}_{year}{month}{day}{hour}.ts",
            "Z",
            "C/C_2026050108.ts",
            "C",
            ms(2026, 5, 1, 8),
        ),
    ],
)
def test_a_path_says_camera_and_start(
    pattern: str, zone: str | None, path: str, camera: str | None, start: int
) -> None:
    found = read_pattern(pattern, zone).read(Path(path))
    assert found is not None
    assert (found.camera, found.start, found.notice) == (camera, start, "")


@pytest.mark.parametrize(
    "path",
    ["C01_20260501.mp4", "C01_2026050_080000.mp4", "C/D_2026050108.ts", "_20260501_080000.mp4"],
)
def test_another_path_does_not_match(path: str) -> None:
    assert read_pattern("stamp", "UTC").read(Path(path)) is None
    same = read_pattern("{camera}/{camera}_{year}{month}{day}{hour}.ts", "UTC")
    assert same.read(Path(path)) is None


@pytest.mark.parametrize(
    ("pattern", "zone", "why"),
    [
        ("stamp", None, "add --zone"),
        ("stamp", "Mars/Olympus", "no time zone 'Mars/Olympus'"),
        ("stamp", "+99:00", "no time zone"),
        ("{camera}_{hour}", "UTC", r"lacks \{year\}, \{month\}, \{day\}"),
        ("{camera}_{yaer}", "UTC", "unknown field {yaer}"),
    ],
)
def test_a_wrong_pattern_says_what_is_wrong(pattern: str, zone: str | None, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_pattern(pattern, zone)


def test_the_hour_that_comes_twice_is_said_and_the_one_left_out_is_refused() -> None:
    berlin = read_pattern("stamp", "Europe/Berlin")
    twice = berlin.read(Path("C_20261025_023000.mp4"))
    assert twice is not None
    assert twice.start == ms(2026, 10, 25, 0, 30)  # still summer time
    assert "may be 2026-10-25T01:30" in twice.notice
    with pytest.raises(InputError, match="leave out"):
        berlin.read(Path("C_20260329_023000.mp4"))
    with pytest.raises(InputError, match="does not exist"):
        berlin.read(Path("C_20260231_023000.mp4"))
    assert read_zone("-03:30").utcoffset(None).total_seconds() == -12_600  # type: ignore[union-attr]


def test_files_that_cannot_be_placed_are_counted_and_named(tmp_path: Path) -> None:
    names = ["C2_20260501_080000.mp4", "C1_20260501_090000.mp4", "C1_20260501_080000.mp4"]
    wrong = ["notes.txt", "C1_20260329_023000.mp4", "C1_20261025_023000.mp4"]
    for name in [*names, *wrong, ".hidden"]:
        (tmp_path / name).touch()
    found = find_clips(tmp_path, read_pattern("stamp", "Europe/Berlin"))
    assert {camera: len(clips) for camera, clips in found.clips.items()} == {"C1": 3, "C2": 1}
    starts = [clip.start for clip in found.clips["C1"]]
    assert starts == sorted(starts)
    assert sorted(Path(path).name for path in found.left_out) == [wrong[1], wrong[0]]
    assert any("comes twice" in notice for notice in found.notices)
    assert any("2 files were left out" in notice for notice in found.notices)
    with pytest.raises(InputError, match="no clip in"):
        find_clips(tmp_path, read_pattern("frigate"))
    with pytest.raises(InputError, match="no folder"):
        find_clips(tmp_path / "none", read_pattern("frigate"))
