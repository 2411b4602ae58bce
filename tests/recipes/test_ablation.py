import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from passerby.cli import main
from passerby.recipes.grids import GRIDS, fitted

TINY = [
    "--options.backbone", "slim18", "--options.size", "64", "32", "--options.padding", "3",
    "--options.identities", "8", "--options.epochs", "2", "--options.threads", "1",
    "--options.no-progress",
]  # fmt: skip


@pytest.mark.parametrize("name", GRIDS)
def test_every_row_is_made_of_options_its_recipe_has(name: str) -> None:
    whole = GRIDS[name]
    for grid, base in ((whole, whole.base()), (fitted(whole), whole.small())):
        made = [replace(base, **row.changes) for row in grid.rows]
        # no two rows are the same work
        kinds = {
            (str(asdict(config)), str(row.judgement))
            for config, row in zip(made, grid.rows, strict=True)
        }
        assert len(kinds) == len(grid.rows)
        assert len({row.name for row in grid.rows}) == len(grid.rows)
        for row in grid.rows:
            assert all(len(figures) == len(grid.figures) for figures in row.paper.values())


def test_the_last_row_of_the_stacked_tricks_is_the_recipe_itself() -> None:
    grid = GRIDS["D1"]
    assert replace(grid.base(), **grid.rows[-1].changes) == grid.base()
    first = replace(grid.base(), **grid.rows[0].changes)
    assert not any((first.warmup, first.bnneck, first.center_loss, first.last_stride_one))
    assert replace(GRIDS["C3"].base(), **GRIDS["C3"].rows[-1].changes) == GRIDS["C3"].base()


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
