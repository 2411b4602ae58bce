import json
from pathlib import Path

import pytest

from passerby.cli import main
from passerby.errors import InputError
from passerby.simulate.options import BENCHMARKS, ensure

SIZE = ["--people", "6", "--cameras", "3", "--hours", "0.5", "--extent", "650", "--workers", "1"]


def test_simulate_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "city"
    arguments = ["simulate", str(out), *SIZE, "--seed", "4", "--crops-per-passage", "1", "--json"]
    assert main(arguments) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["counts"]["crops"]["train"] == len(list((out / "bounding_box_train").iterdir()))
    assert record["options"]["seed"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--people", "0"], "people is 0"),
        (["--hours", "99"], "hours is 99.0"),
        (["--start", "2030-01-01T00:00:00"], "no time zone"),
        (["--workers", "0"], "workers is 0"),
        (["--cameras", "1500", "--extent", "700"], "cameras do not fit"),
    ],
)
def test_bad_options_end_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["simulate", str(tmp_path / "city"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_full_folder_ends_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["simulate", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_named_sets(tmp_path: Path) -> None:
    assert {"simcity-s", "simcity-m"} <= set(BENCHMARKS)
    made = tmp_path / "simcity-s"
    made.mkdir()
    (made / "simulation.json").write_text("{}")
    assert ensure("simcity-s", tmp_path) == made  # what is there is not made again
    with pytest.raises(InputError, match="no simulated data set 'simcity-x'; there are: simcity-s"):
        ensure("simcity-x", tmp_path)
