import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.cli import main
from passerby.data import CropTable, read_any
from passerby.data.checks import check
from passerby.data.splitting import divide
from passerby.errors import InputError


def table(seed: int = 0, people: int = 40, cameras: int = 6, rows: int = 600) -> CropTable:
    random = np.random.default_rng(seed)
    return CropTable(
        path=[f"{n}.jpg" for n in range(rows)],
        identity=random.integers(-1, people + 1, rows),
        camera=random.integers(1, cameras + 1, rows),
        split=["train"] * rows,
        time=1_767_312_000_000 + random.permutation(rows) * 60_000,
    )


@given(st.integers(0, 50), st.sampled_from(["identities", "cameras", "time"]))
@settings(max_examples=40, deadline=None)
def test_what_is_divided_can_be_trained_and_tested(seed: int, by: str) -> None:
    whole = table(seed)
    made = divide(whole, by=by, seed=seed)
    found = check(made, pictures=False, identities=4, images=2)
    assert found.ok
    assert "no-match" not in {finding.code for finding in found.findings}
    train, test = made.train, made.select(made.split != "train")
    assert not set(train.identity) & set(test.identity)
    assert (train.identity > 0).all()
    left_out = len(whole) - len(made)
    if by == "identities":
        assert left_out == 0
    else:
        assert made.findings[-1].text.startswith(f"{left_out} of {len(whole)} pictures")
    if by == "cameras":
        assert not set(train.camera) & set(test.camera)
    if by == "time":
        assert train.time.max() < test.time.min()


def test_one_seed_is_one_division() -> None:
    first, again, other = (divide(table(), by="identities", seed=seed) for seed in (1, 1, 2))
    assert first.split.tolist() == again.split.tolist() != other.split.tolist()


def test_one_query_of_each_camera_and_single_pictures_stay() -> None:
    rows = [(1, 1)] * 3 + [(1, 2)] + [(2, 1), (2, 2), (2, 3)] + [(3, 1)] * 9
    identity, camera = zip(*rows, strict=True)
    own = CropTable(
        path=[f"{n}" for n in range(len(rows))],
        identity=identity,
        camera=camera,
        split=["gallery"] * len(rows),
    )
    made = divide(own, by="identities", share=0.6)  # person 3 is seen by one camera
    queries = list(zip(made.query.identity.tolist(), made.query.camera.tolist(), strict=True))
    assert queries == [(1, 1), (2, 1)]
    assert set(made.train.identity.tolist()) == {3}


@pytest.mark.parametrize(
    ("changes", "by", "words"),
    [
        ({"camera": [1] * 600}, "identities", "0 are seen by two cameras"),
        ({"camera": [1, 2] * 300}, "cameras", "has 2 cameras"),
        ({"time": None}, "time", "has no times"),
        ({"identity": [1] * 600}, "identities", "1 people"),
    ],
)
def test_what_cannot_be_divided_is_said(changes: dict, by: str, words: str) -> None:
    given = {**table().columns(), **changes}
    with pytest.raises(InputError, match=words):
        divide(CropTable(**given), by=by)


def test_the_verb(
    tmp_path: Path, picture: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for person in ("ann", "bob", "eve", "王伟"):
        for camera in (1, 2):
            for shot in range(3):
                picture(tmp_path / "set" / person / f"{shot}_v{camera}.jpg")
    out = tmp_path / "tables" / "own.csv"
    given = ["split", str(tmp_path / "set"), "--out", str(out), "--json"]
    assert main([*given, "--camera", r"_v(\d)\."]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["train"]["people"], facts["query"]["people"]) == (2, 2)
    assert main(["check", str(out), "--identities", "2", "--images", "2"]) == 0
    made = read_any(out)
    assert set(made.people_names.values()) == {"ann", "bob", "eve", "王伟"}
    assert all(path.is_file() for path in made.paths())
    assert main(["split", str(out), "--out", str(tmp_path / "x.txt")]) == 2
    assert main(["split", str(tmp_path / "set"), "--out", str(out)]) == 2  # no camera is told
    with pytest.raises(InputError, match="more than 0"):
        divide(made, by="identities", share=1.0)
