import io
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from passerby.cli import main
from passerby.data import CropTable
from passerby.data.checks import Check, check
from passerby.data.inspection import open_picture

Rows = list[tuple[int, int, str]]


def table(rows: Rows, **changes) -> CropTable:
    identity, camera, split = (list(column) for column in zip(*rows, strict=True))
    path = changes.pop("path", [f"{i}.jpg" for i in range(len(rows))])
    return CropTable(path=path, identity=identity, camera=camera, split=split, **changes)


def sound(people: int = 20, each: int = 6) -> Rows:
    rows: Rows = [(i, 1 + k % 3, "train") for i in range(1, people + 1) for k in range(each)]
    for i in range(100, 110):
        rows += [(i, 1, "query"), (i, 2, "gallery"), (i, 3, "gallery")]
    return [*rows, (0, 1, "gallery"), (-1, 1, "gallery")]


def codes(rows: Rows, **options) -> dict[str, str]:
    result = check(table(rows), pictures=False, **options)
    return {finding.code: finding.level for finding in result.findings}


def test_a_sound_set_has_no_findings() -> None:
    result = check(table(sound()), pictures=False)
    assert result.ok
    assert result.findings == ()
    assert result.counts["gallery"] == {
        "pictures": 22,
        "people": 10,
        "distractors": 1,
        "junk": 1,
        "cameras": 3,
    }
    assert result.cameras[1] == {"train": 40, "query": 10, "gallery": 2}
    assert "no errors" in result.text()


def without(rows: Rows, split: str) -> Rows:
    return [row for row in rows if row[2] != split]


def moved(rows: Rows, changes: dict[str, str]) -> Rows:
    return [(i, c, changes.get(s, s)) for i, c, s in rows]


CASES: dict[str, tuple[Rows, dict[str, str]]] = {
    "no training": (without(sound(), "train"), {"no-training": "error"}),
    "no query": (without(sound(), "query"), {"no-test": "error"}),
    "training alone": (
        without(without(sound(), "query"), "gallery"),
        {"no-test": "warning"},
    ),
    "one query without match": ([*sound(), (999, 1, "query")], {"no-match": "warning"}),
    "own camera alone": (
        [(i, 1 if s == "gallery" else c, s) for i, c, s in sound()],
        {"no-match": "error", "one-camera": "error"},
    ),
    "query and gallery swapped": (
        moved(sound(), {"query": "gallery", "gallery": "query"}),
        {"no-match": "warning", "swapped": "warning", "swapped-junk": "warning"},
    ),
    "training and gallery swapped": (
        moved(sound(), {"train": "gallery", "gallery": "train"}),
        {
            "training-nobody": "error",
            "few-people": "error",
            "few-pictures": "warning",
            "no-match": "error",
            "swapped-training": "error",
            "shared-people": "error",
        },
    ),
    "shared people": (
        [*sound(), (100, 2, "train"), (100, 3, "train")] * 4,
        {"shared-people": "error"},
    ),
    "people of one camera": (
        [(i, 1 if i == 7 and s == "train" else c, s) for i, c, s in sound()],
        {"one-camera-people": "warning"},
    ),
    "junk in training": ([*sound(), (-1, 1, "train")], {"training-nobody": "error"}),
    "numbered from zero": (
        [(max(i - 100, -1) if i >= 100 else i, c, s) for i, c, s in without(sound(), "train")],
        {"no-training": "error", "numbered-from-zero": "error", "no-match": "warning"},
    ),
    "few people": (sound(people=5), {"few-people": "error"}),
    "one person": (sound(people=1), {"few-people": "error", "one-person": "error"}),
    "few pictures": (sound(each=3), {"few-pictures": "warning"}),
    "one training camera": (
        [(i, 1 if s == "train" else c, s) for i, c, s in sound()],
        {"one-training-camera": "warning"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_trouble_is_found_and_nothing_else(name: str) -> None:
    rows, expected = CASES[name]
    assert codes(rows) == expected


def test_training_numbered_from_zero_is_told() -> None:
    rows = [(i - 1 if s == "train" else i, c, s) for i, c, s in sound()]
    finding = check(table(rows), pictures=False).findings[0]
    assert finding.code == "training-nobody"
    assert "number people from 1" in finding.text


def test_reasons_are_counted() -> None:
    rows = [*sound(), (999, 1, "query"), (998, 1, "query"), (100, 2, "query"), (-1, 1, "query")]
    rows = [row for row in rows if row != (100, 3, "gallery")]
    finding = next(f for f in check(table(rows), pictures=False).findings if f.code == "no-match")
    assert "4 of 14 queries" in finding.text
    assert "1 are junk" in finding.text
    assert "2 show a person who is not in the gallery" in finding.text
    assert "1 show a person whom the gallery has only from the query's own camera" in finding.text
    assert len(finding.items) == 4


def test_batches_to_come_are_considered() -> None:
    assert codes(sound(), identities=21) == {"few-people": "error"}
    assert codes(sound(), images=7) == {"few-pictures": "warning"}


def test_published_sets_are_counted_and_described() -> None:
    result = check(table(sound(), name="dukemtmc-reid"), pictures=False)
    assert [f.code for f in result.findings] == ["counts", "counts", "counts", "about"]
    assert "as published 702 in 16522" in result.findings[0].text
    assert "withdrawn" in result.text()


def pictures(result: Check) -> dict[str, tuple[str, ...]]:
    return {finding.code: finding.items for finding in result.findings}


def test_pictures_are_opened(tmp_path: Path, picture: Callable[..., Path]) -> None:
    rows = sound(people=1, each=2)
    made = table(rows, root=tmp_path)
    for number, path in enumerate(made.paths()):
        picture(path, (number, 0, 0), size=(16, 32))
    names = made.path.tolist()
    (tmp_path / names[2]).write_bytes(b"")
    (tmp_path / names[3]).write_bytes((tmp_path / names[4]).read_bytes()[:150])
    (tmp_path / names[5]).unlink()
    (tmp_path / names[6]).write_bytes((tmp_path / names[0]).read_bytes())
    picture(tmp_path / names[7], size=(4, 9))
    found = pictures(check(made))
    assert [item.partition(" ")[0] for item in found["unreadable"]] == names[2:4] + names[5:6]
    assert "no such file" in found["unreadable"][2]
    assert found["copies"] == (names[6],)
    assert found["small"] == (f"{names[7]} (4 x 9)",)
    assert "wide" not in found
    for path in made.paths():
        picture(path, size=(64, 32))
    assert len(pictures(check(made))["wide"]) == len(made)


FORMATS = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".bmp": "BMP", ".webp": "WEBP"}


@given(
    st.sampled_from(sorted(FORMATS)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
    st.floats(0, 1),
)
@settings(max_examples=150, deadline=None)
def test_no_damaged_file_stops_the_check(
    suffix: str, changes: list[tuple[float, int]], kept: float
) -> None:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (32, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, FORMATS[suffix])
    content = bytearray(stream.getvalue())
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    content = content[: max(1, int((0.5 + kept) * len(content)))]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        path = Path(folder) / f"a{suffix}"
        path.write_bytes(content)
        opened = open_picture(path)
    assert bool(opened.reason) != bool(opened.content)


def test_what_a_decoder_raises_is_a_reason(
    tmp_path: Path, picture: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", fail)
    assert open_picture(picture(tmp_path / "a.jpg")).reason == "MemoryError"


def test_unreadable_files_are_all_listed(
    market: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    names = []
    for number in range(25):
        name = f"query/0001_c2s1_{number:06d}_09.jpg"
        (market / name).write_bytes(b"nothing")
        names.append(name)
    assert main(["check", str(market), "--files", "3"]) == 1
    shown = capsys.readouterr().out
    assert all(name in shown for name in names)
    assert "25 of 33 pictures cannot be read" in shown
    assert main(["check", str(market), "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    listed = next(f["items"] for f in findings if f["code"] == "unreadable")
    assert [item.partition(" ")[0] for item in listed] == names


def test_a_picture_listed_twice() -> None:
    names = ["a.jpg", "a.jpg", "b.jpg", *(f"{i}.jpg" for i in range(len(sound()) - 3))]
    result = check(table(sound(), path=names), pictures=False)
    assert pictures(result)["listed-twice"] == ("a.jpg",)


def test_the_verb(market: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["check", str(market)]) == 1
    shown = capsys.readouterr().out
    assert "error: 2 people cannot fill batches of 16" in shown
    assert main(["check", str(market), "--identities", "2", "--json", "--images", "1"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ok"]
    assert result["counts"]["query"]["people"] == 2
    assert main(["check", str(market / "none")]) == 2
    assert "there is no data at" in capsys.readouterr().err
