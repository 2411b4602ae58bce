from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from passerby.data import CropTable
from passerby.data.table import concatenate, merge
from passerby.errors import InputError

ROWS = {
    "path": ["a.jpg", "b.jpg", "c.jpg"],
    "identity": [7, -1, 0],
    "camera": [1, 2, 3],
    "split": ["train", "query", "gallery"],
}


def table(**changes) -> CropTable:
    return CropTable(**{**ROWS, "root": "data", **changes})


def test_columns_have_their_types() -> None:
    made = table(time=[1, 2, 3], box=np.zeros((3, 4)), place=[[114.0, 22.5]] * 3)
    assert made.identity.dtype == made.camera.dtype == made.time.dtype == np.int64
    assert (made.box.dtype, made.place.dtype) == (np.float32, np.float64)
    assert made.paths()[0] == Path("data/a.jpg")
    assert set(made.columns()) == {"path", "identity", "camera", "split", "time", "box", "place"}
    assert made.tracklet is None


def test_splits_and_selection() -> None:
    made = table(time=[10, 20, 30])
    assert (len(made.train), len(made.query), len(made.gallery)) == (1, 1, 1)
    assert made.gallery.time.tolist() == [30]
    assert made.select(made.camera > 1).identity.tolist() == [-1, 0]
    assert made.select([2, 0]).path.tolist() == ["c.jpg", "a.jpg"]
    assert made.select(slice(0, 2)).camera.tolist() == [1, 2]
    assert len(made.select([])) == 0
    assert len(made.select([]).train) == 0
    assert "1 train, 1 query, 1 gallery" in repr(made)


def test_labels_are_contiguous() -> None:
    assert table(identity=[40, 7, 40]).labels().tolist() == [1, 0, 1]


def test_concatenate_keeps_shared_columns() -> None:
    joined = concatenate([table(time=[1, 2, 3]), table()], name="both", root="data")
    assert (len(joined), joined.name, joined.time) == (6, "both", None)
    with pytest.raises(InputError, match="no parts"):
        concatenate([], name="none", root=".")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"identity": [1, 2]}, "column 'identity' has the shape"),
        ({"identity": ["a", "b", "c"]}, "column 'identity' is not int64"),
        ({"identity": [1.5, 2, 3]}, "column 'identity' is not int64"),
        ({"identity": [1, -2, 3]}, "row 1 has identity -2"),
        ({"split": ["train", "val", "query"]}, "split 'val'; there are: train, query, gallery"),
        ({"box": np.zeros((3, 3))}, "column 'box'"),
        ({"camera": None}, "has no column 'camera'"),
    ],
)
def test_bad_columns_are_named(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        table(**changes)


def test_sets_are_merged_with_people_and_cameras_apart(tmp_path: Path) -> None:
    one = CropTable(
        path=["a", "b", "c"],
        identity=[1, 5, -1],
        camera=[1, 2, 2],
        split=["train", "train", "gallery"],
        root=tmp_path / "one",
        name="one",
        people_names={1: "ann", 5: "bob"},
    )
    two = replace(one, root=tmp_path / "two", name="two", identity=[1, 0, 2], people_names={})
    both = merge([one, two])
    assert both.name == "one+two"
    assert both.identity.tolist() == [1, 5, -1, 6, 0, 7]
    assert both.camera.tolist() == [1, 2, 2, 4, 5, 5]
    assert both.people_names == {1: "one/ann", 5: "one/bob"}
    assert both.paths()[4] == tmp_path / "two" / "b"
    with pytest.raises(InputError, match="given twice"):
        merge([one, one])
