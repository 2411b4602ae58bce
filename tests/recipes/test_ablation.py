import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from passerby.cli import main
from passerby.errors import InputError
from passerby.recipes.ablation import grids

TINY = [
    "--options.backbone", "slim18", "--options.size", "64", "32", "--options.padding", "3",
    "--options.identities", "8", "--options.epochs", "1", "--options.threads", "1",
    "--options.precision", "fp32", "--options.no-progress",
]  # fmt: skip


@pytest.mark.parametrize("name", grids())
def test_every_row_is_made_of_options_its_recipe_has(name: str) -> None:
    grid = grids()[name]
    made = [replace(grid.options, **row.changes) for row in grid.rows]
    # no two rows are the same work
    kinds = {
        (str(asdict(config)), str(row.evaluation))
        for config, row in zip(made, grid.rows, strict=True)
    }
    assert len(kinds) == len(grid.rows)
    assert len({row.name for row in grid.rows}) == len(grid.rows)
    for row in grid.rows:
        assert all(len(figures) == len(grid.figures) for figures in row.paper.values())


def test_every_table_of_the_papers_is_there() -> None:
    rows = {
        "A1": 5, "B1": 2, "B2": 6, "B3": 11, "C1": 6, "C2": 4, "C3": 4, "C4": 7, "D1": 7,
        "D1-single": 7, "D2": 5, "D3": 10, "D4": 4, "D5": 8, "E1": 11, "E2": 5, "E3": 7,
    }  # fmt: skip
    assert {name: len(grids()[name].rows) for name in rows} == rows
    small = [f"{name}-small" for name in rows]
    assert sorted(grids()) == sorted([*rows, *small, "B1-separate"])


def test_the_last_row_of_the_stacked_tricks_is_the_recipe_itself() -> None:
    for name, all_on in (("D1", -1), ("D1-small", -1), ("D5", -2), ("C3", -1)):
        grid = grids()[name]
        assert replace(grid.options, **grid.rows[all_on].changes) == grid.options
    off = grids()["D1"].rows[0].changes
    assert off == {
        "warmup": 0, "erasing": 0.0, "smoothing": 0.0, "last_stride": 2, "bnneck": False,
        "center_weight": 0.0,
    }  # fmt: skip
    # a trick comes on as the options have it, whatever was given
    third = grids()["D1"].rows[2].changes
    assert third == {key: off[key] for key in off if key not in ("warmup", "erasing")}
    alone = grids()["D1-single"].rows[2].changes
    assert alone == {key: off[key] for key in off if key != "erasing"}


def test_an_option_that_the_recipe_does_not_have_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
        [X1]
        title = "typed wrongly"
        recipe = "bag-of-tricks"
        rows = [{ name = "no smoothing", changes = { label_smoothing = 0.0 } }]
    """
    (tmp_path / "x.toml").write_text(text)
    monkeypatch.setattr("passerby.recipes.ablation.FOLDER", tmp_path)
    with pytest.raises(InputError, match="'no smoothing': bag-of-tricks has no 'label_smoothing'"):
        grids.__wrapped__()


def test_a_grid_is_run_once_and_set_beside_the_paper(
    market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ablation"
    given = ["ablate", "D2-small", "--options.data", str(market), "--out", str(out), *TINY]
    given += ["--seeds", "3", "4", "--rows", "1", "2", "5"]
    assert main(given) == 0
    printed = capsys.readouterr().out
    assert "| f_t, Euclidean | 94.2 / 85.5 | 85.7 / 74.4 |" in printed
    assert printed == (out / "table.md").read_text() + "\n"
    # rows 2 and 5 differ in the test alone: two trainings for each of two seeds
    runs = sorted((out / "runs").iterdir())
    assert len(runs) == 4
    table = json.loads((out / "table.json").read_text())
    assert [row["name"] for row in table["rows"]] == [
        "f (no neck), Euclidean", "f_t, Euclidean", "f_i, cosine",
    ]  # fmt: skip
    assert [len(row["ours"]) for row in table["rows"]] == [2, 2, 2]
    seconds = [path.stat().st_mtime_ns for path in (out / "runs").rglob("*.safetensors")]
    assert main([*given, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["rows"] == table["rows"]
    assert seconds == [p.stat().st_mtime_ns for p in (out / "runs").rglob("*.safetensors")]


def test_other_sets_are_tested_too(
    market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(market, other)
    for path in (other / "query").glob("*_c2*"):
        path.unlink()
    given = ["ablate", "D5-small", "--options.data", str(market), "--also", str(other), *TINY]
    given += ["--out", str(tmp_path / "out"), "--seeds", "0", "--rows", "8", "--json"]
    assert main(given) == 0
    ours = json.loads(capsys.readouterr().out)["rows"][0]["ours"]
    assert [result["data"] for result in ours] == [str(market), str(other)]
    assert ours[0]["mAP"] != ours[1]["mAP"]


def test_a_row_that_the_network_does_not_allow_is_left_out(
    market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["ablate", "B3", "--options.data", str(market), "--out", str(tmp_path), "--seeds", "0"]
    given += ["--options.epochs", "1", "--options.identities", "8", "--options.threads", "1"]
    given += ["--options.no-progress", "--rows", "9", "10"]
    assert main([*given, "--json"]) == 0
    answer = capsys.readouterr()
    assert [len(row["ours"]) for row in json.loads(answer.out)["rows"]] == [1, 0]
    assert "row 'r = 512', seed 0, is not run: ratio 512 does not divide 256" in answer.err
    assert "| r = 512 | not run |" in (tmp_path / "table.md").read_text()
    # when no row can run, the ablation fails
    assert main([*given[:-2], "10"]) == 2
    assert "ratio 512 does not divide 256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ablate", "Z9"], "no grid 'Z9'"),
        (["ablate", "D1-small", "--options.data", "nowhere"], "there is no data at 'nowhere'"),
        (["ablate", "D1-small", "--options.data", "{market}", "--rows", "9"], "no row 9"),
        (["ablate", "D1-small", "--options.data", "{market}", "--seeds", "1", "1"], "different"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    market: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([part.replace("{market}", str(market)) for part in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_several_processes_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["ablate", "D1-small"]) == 2
    assert "start it without torchrun" in capsys.readouterr().err
