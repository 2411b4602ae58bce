from collections.abc import Callable
from pathlib import Path

import pytest

from passerby.data import read, read_any
from passerby.errors import InputError


def test_a_folder_per_person(tmp_path: Path, picture: Callable[..., Path]) -> None:
    for name in (
        "query/ann/c1_x.jpg",
        "gallery/bob/cam12/x.png",
        "gallery/ann/Camera 3 morning.jpg",
        "gallery/ann/plain.jpg",
    ):
        picture(tmp_path / name)
    table = read_any(tmp_path)
    columns = zip(table.identity.tolist(), table.camera.tolist(), table.split, strict=True)
    rows = dict(zip(table.path.tolist(), columns, strict=True))
    assert rows["query/ann/c1_x.jpg"] == (1, 1, "query")
    assert rows["gallery/bob/cam12/x.png"] == (2, 12, "gallery")
    assert rows["gallery/ann/Camera 3 morning.jpg"] == (1, 3, "gallery")
    assert rows["gallery/ann/plain.jpg"] == (1, 0, "gallery")


def test_numbers_and_names_in_one_tree(tmp_path: Path, picture: Callable[..., Path]) -> None:
    picture(tmp_path / "train" / "0042" / "c2.jpg")
    picture(tmp_path / "test" / "0007_c3_9.jpg")
    picture(tmp_path / "probe" / "-1_c3_9.jpg")
    table = read("folder", tmp_path)
    assert dict(zip(table.split.tolist(), table.identity.tolist(), strict=False)) == {
        "train": 42,
        "gallery": 7,
        "query": -1,
    }


def test_pictures_outside_of_splits_are_training_data(
    tmp_path: Path, picture: Callable[..., Path]
) -> None:
    picture(tmp_path / "5" / "cam_2_a.jpg")
    picture(tmp_path / "0006_c1_b.jpg")
    table = read("folder", tmp_path)
    assert table.split.tolist() == ["train", "train"]
    assert table.identity.tolist() == [6, 5]
    assert table.camera.tolist() == [1, 2]


def test_what_lacks_is_named(tmp_path: Path, picture: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="holds no pictures"):
        read("folder", tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        read("folder", tmp_path / "none")
    picture(tmp_path / "query" / "someone.jpg")
    with pytest.raises(InputError, match="does not say who it shows"):
        read("folder", tmp_path)
