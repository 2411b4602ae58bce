"""Folders of own pictures as people keep them: read as meant, or one clear line."""

import hashlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from passerby.cli import main
from passerby.data import read_any
from passerby.data.checks import check
from passerby.data.folder import read_folder
from passerby.data.listing import LeftOut, walk_pictures
from passerby.data.table import CropTable
from passerby.errors import InputError

Make = Callable[..., Path]


def said(table: CropTable) -> str:
    return " | ".join(f"{finding.level}: {finding.text}" for finding in table.findings)


LITTER = (
    "._a.jpg", ".DS_Store", ".thumbnails/a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "Thumbs.db",
    "__MACOSX/gallery/7/a.jpg", "#recycle/a.jpg", "$RECYCLE.BIN/a.jpg", ".git/x.png",
)  # fmt: skip


@pytest.mark.parametrize("name", LITTER)
@pytest.mark.parametrize("inner", ["", "gallery/", "gallery/7/"])
def test_litter_is_left_out_and_counted(
    inner: str, name: str, tmp_path: Path, picture: Make
) -> None:
    picture(tmp_path / "gallery" / "7" / "a_c1_b.jpg")
    litter = tmp_path / inner / name
    litter.parent.mkdir(parents=True, exist_ok=True)
    litter.write_bytes(b"\0\5\x16\7")
    table = read_any(tmp_path)
    assert table.path.tolist() == ["gallery/7/a_c1_b.jpg"]
    assert "note: left out: 1 hidden or of a file manager" in said(table)


def test_files_are_counted_by_reason_and_suffix(tmp_path: Path, picture: Make) -> None:
    for name in ("7/a_c1_b.jpg", "7/b_c1_b.TIF", "7/c_c1_b.gif", "7/d_c1.JPEG", "7/e_c1.WebP"):
        picture(tmp_path / name)
    for name in ("7/a.heic", "7/b.HEIC", "7/c.svg", "7/note.txt", "7/list", "8/e.xml", "8/.x.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    table = read_any(tmp_path)
    assert len(table) == 5
    assert "warning: left out: 3 pictures of a kind that cannot be read (2 .heic, 1 .svg" in said(
        table
    )
    assert "3 no pictures (1 .txt, 1 .xml, 1 no suffix" in said(table)
    found = {finding.code: finding.level for finding in check(table).findings}
    assert (found["left-out"], found["left-out-pictures"]) == ("note", "warning")


def test_an_empty_folder_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no pictures \(it is empty\)"):
        read_any(tmp_path)
    (tmp_path / "a.heic").write_bytes(b"x")
    with pytest.raises(InputError, match=r"holds no pictures .*1 \.heic"):
        read_any(tmp_path)


def test_links(tmp_path: Path, picture: Make) -> None:
    picture(tmp_path / "elsewhere" / "7" / "a_c1_b.jpg")
    root = tmp_path / "own"
    root.mkdir()
    (root / "train").symlink_to(tmp_path / "elsewhere")
    (root / "train" / "7" / "round").symlink_to(root)
    (root / "train" / "7" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    left_out = LeftOut()
    assert list(walk_pictures(root, left_out)) == ["train/7/a_c1_b.jpg"]
    assert sum(left_out.counts.values()) == 2
    assert "2 links that lead nowhere or in a circle" in said(read_any(root))


def test_a_pipe_is_no_picture(tmp_path: Path, picture: Make) -> None:
    picture(tmp_path / "7" / "a_c1_b.jpg")
    os.mkfifo(tmp_path / "7" / "b.jpg")
    assert len(read_any(tmp_path)) == 1


NAMES = {
    "md5": lambda n: hashlib.md5(str(n).encode()).hexdigest(),
    "sha256": lambda n: hashlib.sha256(str(n).encode()).hexdigest(),
    "uuid": lambda n: str(uuid.uuid5(uuid.NAMESPACE_DNS, str(n))),
    "uuid with underscores": lambda n: str(uuid.uuid5(uuid.NAMESPACE_DNS, str(n))).replace(
        "-", "_"
    ),
    "hex in pieces": lambda n: "-".join(
        hashlib.md5(str(n).encode()).hexdigest()[i : i + 4] for i in range(0, 32, 4)
    ),
    "words": lambda n: f"magic3_arc12_{n}",
    "a clock": lambda n: f"2026-05-01_08-00-{n:02d}",
}


@pytest.mark.parametrize("name", NAMES)
def test_no_camera_is_invented(name: str, tmp_path: Path, picture: Make) -> None:
    for number in range(60):
        picture(tmp_path / "gallery" / f"{number % 6}x" / f"{NAMES[name](number)}.jpg")
    table = read_any(tmp_path)
    assert set(table.camera.tolist()) == {0}
    assert "the names of 60 pictures tell no camera" in said(table)


CAMERAS = {
    "7/a_c3_b.jpg": 3,
    "7/a-cam03-b.jpg": 3,
    "7/Camera 3.jpg": 3,
    "7/cam_12.jpg": 12,
    "7/0007_c3s1_000451_03.jpg": 3,
    "7/C3.jpg": 3,
    "7/cam3/b.jpg": 3,
    "7/day 1/c3/b.jpg": 3,
    "7/摄像头3_1.jpg": 3,
}


@pytest.mark.parametrize("name", CAMERAS)
def test_a_camera_between_delimiters_is_read(name: str, tmp_path: Path, picture: Make) -> None:
    picture(tmp_path / name)
    table = read_any(tmp_path)
    assert (table.camera.tolist(), table.identity.tolist()) == ([CAMERAS[name]], [7])
    assert not table.findings


def test_a_camera_that_is_asked_for(tmp_path: Path, picture: Make) -> None:
    picture(tmp_path / "7" / "0000_000_05_0303.jpg")
    assert read_folder(tmp_path, camera=r"\d+_\d+_(\d+)_").camera.tolist() == [5]
    for pattern, words in ((r"x(\d)", "not in '7/"), (r"\d", "no such group"), ("(", "missing")):
        with pytest.raises(InputError, match=words):
            read_folder(tmp_path, camera=pattern)


def test_some_pictures_without_a_camera_are_counted(tmp_path: Path, picture: Make) -> None:
    for name in ("7/a_c1.jpg", "7/b_c2.jpg", "7/c.jpg"):
        picture(tmp_path / name)
    table = read_any(tmp_path)
    assert table.camera.tolist() == [1, 2, 0]
    assert "1 of 3 pictures tell no camera and get camera 0" in said(table)


PEOPLE: dict[str, tuple[list[str], list[int]]] = {
    "numbers": (["0007", "-1", "0000"], [7, -1, 0]),
    "names": (["ann", "-1", "0000"], [1, -1, 0]),
    "names in two cases": (["Ann", "ann", "bob"], [1, 2, 3]),
    "numbers and a name": (["7", "bob", "0"], [1, 2, 0]),
    "Chinese": (["王伟", "李娜", "-1"], [2, 1, -1]),
}


@pytest.mark.parametrize("name", PEOPLE)
def test_junk_keeps_its_meaning(name: str, tmp_path: Path, picture: Make) -> None:
    folders, meant = PEOPLE[name]
    for folder in folders:
        picture(tmp_path / folder / "a_c1.jpg")
    table = read_any(tmp_path)
    found = dict(
        zip((p.split("/")[0] for p in table.path.tolist()), table.identity.tolist(), strict=True)
    )
    assert [found[folder] for folder in folders] == meant


def test_cameras_first(tmp_path: Path, picture: Make) -> None:
    for name in ("cam1/ann/a.jpg", "cam2/ann/a.jpg", "cam2/bob/a.jpg"):
        picture(tmp_path / name)
    table = read_any(tmp_path)
    assert table.identity.tolist() == [1, 1, 2]
    assert table.camera.tolist() == [1, 2, 2]
    assert "read as CAMERA/PERSON" in said(table)


def test_cameras_first_by_name_are_a_question(tmp_path: Path, picture: Make) -> None:
    for name in ("lobby/ann/a.jpg", "gate/ann/a.jpg", "gate/bob/a.jpg"):
        picture(tmp_path / name)
    assert "warning: 3 pictures lie in a folder below the person's" in said(read_any(tmp_path))


REFUSED = {
    ("cam1/a.jpg", "cam2/b.jpg"): "in a folder named like a camera and does not say who",
    ("query/someone.jpg",): "does not say who it shows",
    ("query/7/a.jpg", "8/b.jpg"): "lies beside the folders of splits",
    ("query/7/a.jpg", "0008_c1.jpg"): "lies beside the folders of splits",
    ("set/query/7/a.jpg", "set/gallery/7/a.jpg"): "holds the data set in the folder set",
    ("--1_c1.jpg",): "does not say who it shows",
    ("-2/a.jpg",): "has the identity -2",
    ("2.5/a.jpg",): "has the identity 2.5",
}


@pytest.mark.parametrize("names", REFUSED)
def test_a_folder_is_refused_in_one_line(
    names: tuple[str, ...], tmp_path: Path, picture: Make
) -> None:
    for name in names:
        picture(tmp_path / name)
    with pytest.raises(InputError, match=REFUSED[names]) as caught:
        read_any(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_table_beside_pictures_is_named(tmp_path: Path, picture: Make) -> None:
    picture(tmp_path / "x.jpg")
    (tmp_path / "labels.csv").write_text("path,pid,camid\nx.jpg,1,1\n")
    with pytest.raises(InputError, match=r"or give the table '.*labels\.csv'"):
        read_any(tmp_path)


def test_names_that_are_no_utf8(
    tmp_path: Path, picture: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    for person in (b"b\xe9b", b"ann", b"eve"):
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/set/" + person))
        for name in ("cam1.jpg", "cam2.jpg", "cam1_b.jpg"):
            picture(folder / name)
    given = [str(tmp_path / "set"), "--identities", "2", "--images", "2"]
    assert main(["check", *given]) == 0
    assert "\\udce9" in capsys.readouterr().out
    assert main(["split", str(tmp_path / "set"), "--out", str(tmp_path / "own.csv")]) == 2
    assert "is not UTF-8; rename" in capsys.readouterr().err


def test_folders_that_are_no_split_are_left_out(tmp_path: Path, picture: Make) -> None:
    for name in ("train/7/a_c1.jpg", "val/7/a_c1.jpg", "train_all/7/a_c1.jpg", "query/8/a_c1.jpg"):
        picture(tmp_path / name)
    table = read_any(tmp_path)
    assert sorted(table.split.tolist()) == ["query", "train"]
    assert "1 in the folder train_all, which is no split" in said(table)


def test_litter_in_a_published_layout(market: Path, picture: Make) -> None:
    (market / "query" / "._0001_c1s1_001051_00.jpg").write_bytes(b"x")
    picture(market / "query" / "@eaDir" / "0001_c1s1_001051_00.jpg")
    picture(market / "query" / "more" / "0001_c1s1_001051_00.jpg")
    table = read_any(market)
    assert len(table.query) == 2
    assert "3 hidden or of a file manager" in said(table)  # with Thumbs.db
    assert "1 in a folder below" in said(table)


def test_contradictions_are_errors(tmp_path: Path, picture: Make) -> None:
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "b.jpg")
    lines = [
        "path,identity,camera,split",
        "a.jpg,7,1,train",
        "./a.jpg,8,1,train",
        "b.jpg,7,2,train",
    ]
    (tmp_path / "own.csv").write_text("\n".join(lines))
    found = {f.code: f for f in check(read_any(tmp_path / "own.csv")).findings}
    assert found["contradictory-labels"].level == "error"
    assert found["contradictory-labels"].items == ("a.jpg: 7 / 8",)
    assert found["contradictory-copies"].level == "warning"


def test_a_table_beside_the_wrong_folder(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("path,identity,camera\nin/a.jpg,7,1\nin/b.jpg,7,2\n")
    found = {f.code: f.text for f in check(read_any(tmp_path / "own.csv")).findings}
    assert "none of the 2 pictures is there (looked for" in found["unreadable"]
