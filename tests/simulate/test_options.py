import pytest

from passerby.errors import InputError
from passerby.simulate.options import SimulationOptions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"people": 1}, "people is 1; it must be a whole number from 2"),
        ({"cameras": 0}, "cameras is 0"),
        ({"hours": 0.0}, "hours is 0.0; it must lie between"),
        ({"hours": float("nan")}, "hours is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"extent": 10.0}, "extent is 10.0"),
        ({"train_share": 1.5}, "train-share is 1.5"),
        ({"crops_per_passage": 0}, "crops-per-passage is 0"),
        ({"clips": 13}, "clips is 13"),
        ({"start": "yesterday"}, "no ISO 8601 time"),
        ({"start": "2030-05-06T08:00:00"}, "has no time zone"),
    ],
)
def test_ranges(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SimulationOptions(**change)


def test_start_is_utc_milliseconds() -> None:
    assert SimulationOptions(start="1970-01-01T08:00:01+08:00").start_ms == 1000


def test_extent_grows_with_the_cameras() -> None:
    sizes = [SimulationOptions(cameras=n).metres for n in (2, 12, 60, 500)]
    assert sizes == sorted(sizes) and sizes[0] > 1200.0 and sizes[-1] == 2500.0
    assert SimulationOptions(extent=800.0).metres == 800.0
