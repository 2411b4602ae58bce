"""Published data sets, on small copies in each set's exact layout."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from passerby.data import READERS, CropTable, read, read_any
from passerby.data.published import COUNTS, NOTES, TOTALS, differences
from passerby.errors import InputError

Picture = Callable[..., Path]


def test_every_named_set_has_a_reader() -> None:
    assert set(COUNTS) | set(TOTALS) | set(NOTES) <= set(READERS)
    assert set(COUNTS) | set(TOTALS) == set(NOTES)


def rows(table: CropTable, split: str) -> list[tuple[str, int, int]]:
    part = table.select(table.split == split)
    return list(zip(part.path.tolist(), part.identity.tolist(), part.camera.tolist(), strict=True))


# --- DukeMTMC-reID -----------------------------------------------------------------------------


def test_duke(tmp_path: Path, picture: Picture) -> None:
    tree = tmp_path / "DukeMTMC-reID"
    picture(tree / "bounding_box_train" / "0001_c2_f0046182.jpg")
    picture(tree / "query" / "0005_c2_f0046985.jpg")
    picture(tree / "bounding_box_test" / "0005_c8_f0054176.jpg")
    with pytest.warns(UserWarning, match="withdrawn by its authors in 2019"):
        table = read("dukemtmc-reid", tmp_path)
    assert rows(table, "gallery") == [("bounding_box_test/0005_c8_f0054176.jpg", 5, 8)]
    for path in (tmp_path, tree):
        with pytest.warns(UserWarning, match="withdrawn"):
            assert read_any(path).name == "dukemtmc-reid"


# --- MSMT17 ------------------------------------------------------------------------------------

MSMT_LISTS = {
    "list_train.txt": [
        "0000/0000_000_01_0303morning_0008_0.jpg 0",
        "0001/0001_000_12_0303noon_0008_1.jpg 1",
    ],
    "list_val.txt": ["0001/0001_001_15_0303noon_0009_0.jpg 1"],
    "list_query.txt": ["0000/0000_000_10_0303afternoon_0100_0.jpg 0"],
    "list_gallery.txt": [
        "0000/0000_001_01_0303afternoon_0101_0.jpg 0",
        "0001/0001_000_02_0303morning_0102_0.jpg 1",
    ],
}


@pytest.fixture(params=["MSMT17_V1", "MSMT17_V2"])
def msmt(request: pytest.FixtureRequest, tmp_path: Path, picture: Picture) -> Path:
    folder = tmp_path / request.param
    train, test = {
        "MSMT17_V1": ("train", "test"),
        "MSMT17_V2": ("mask_train_v2", "mask_test_v2"),
    }[request.param]
    for name, lines in MSMT_LISTS.items():
        inner = train if name in ("list_train.txt", "list_val.txt") else test
        for line in lines:
            picture(folder / inner / line.split(" ")[0])
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def test_msmt17(msmt: Path) -> None:
    table = read("msmt17", msmt)
    assert [(i, c) for _, i, c in rows(table, "train")] == [(1, 1), (2, 12), (2, 15)]
    # people are numbered from 0 in either list; here none is 0, and none has another's number
    assert [(i, c) for _, i, c in rows(table, "query")] == [(3, 10)]
    assert [(i, c) for _, i, c in rows(table, "gallery")] == [(3, 1), (4, 2)]
    assert all(path.exists() for path in table.paths())
    assert len(read("msmt17-train-list", msmt).train) == 2
    assert read_any(msmt.parent).name == read_any(msmt).name == "msmt17"


def test_msmt17_in_market_layout(tmp_path: Path, picture: Picture) -> None:
    picture(tmp_path / "bounding_box_train" / "0000_c12_0001.jpg")
    picture(tmp_path / "query" / "0000_c1_0001.jpg")
    picture(tmp_path / "bounding_box_test" / "0000_c15_0002.jpg")
    table = read("msmt17", tmp_path)
    assert table.identity.tolist() == [1, 2, 2]
    assert table.camera.tolist() == [12, 1, 15]


def test_msmt17_troubles_are_named(msmt: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds neither MSMT17_V1"):
        read("msmt17", msmt / "none")
    (msmt / "list_val.txt").write_text("0000/0000.jpg 1\n")
    with pytest.raises(InputError, match=r"list_val\.txt' line 1 is '0000/0000\.jpg 1'"):
        read("msmt17", msmt)
    (msmt / "list_query.txt").unlink()
    with pytest.raises(InputError, match="No such file"):
        read("msmt17-train-list", msmt)


# --- PersonX -----------------------------------------------------------------------------------


def test_personx(tmp_path: Path, picture: Picture) -> None:
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        picture(tmp_path / "PersonX" / folder / "0000_c12s1_001.jpg")
        picture(tmp_path / "PersonX" / folder / "0007_c3s1_002.jpg")
    table = read("personx", tmp_path)
    assert [(i, c) for _, i, c in rows(table, "query")] == [(1, 12), (8, 3)]  # nobody is 0


def test_personx_456(tmp_path: Path, picture: Picture) -> None:
    for background in "456":
        for folder in ("bounding_box_train", "query", "bounding_box_test"):
            tree = tmp_path / "PersonX_v1" / background
            picture(tree / folder / f"0002_c{background}s1_001.jpg")
    table = read("personx-456", tmp_path)
    assert [c for _, _, c in rows(table, "gallery")] == [4, 5, 6]
    assert all(path.exists() for path in table.paths())
    with pytest.raises(InputError, match="give the folder PersonX_v1"):
        read("personx-456", tmp_path / "PersonX_v1" / "4")


def counted(name: str, splits: dict[str, tuple[int, int]]) -> CropTable:
    """A table with so many people and pictures in each split."""
    identity, split = [], []
    for part, (people, pictures) in splits.items():
        start = {"train": 1}.get(part, 10_000)
        identity.append(start + np.arange(pictures) % people)
        split += [part] * pictures
    count = len(split)
    return CropTable(
        path=np.char.add(np.arange(count).astype(str), ".png"),
        identity=np.concatenate(identity),
        camera=np.ones(count, dtype=int),
        split=split,
        name=name,
    )


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(name: str) -> None:
    table = counted(name, COUNTS[name])
    assert differences(table) == []
    people, pictures = COUNTS[name]["train"]
    assert differences(table.select(slice(1, None))) == [
        f"train has {people} people in {pictures - 1} pictures, as published {people} in {pictures}"
    ]


@pytest.mark.parametrize("name", TOTALS)
def test_published_totals(name: str) -> None:
    people, pictures = TOTALS[name]
    table = counted(name, {"train": (people, pictures)})
    assert differences(table) == []
    both = CropTable(  # the same picture as query and as gallery counts once
        **{c: np.concatenate([v, v[:5]]) for c, v in table.columns().items()}, name=name
    )
    assert differences(both) == []
    (text,) = differences(table.select(slice(1, None)))
    assert text == (
        f"there are {people} people in {pictures - 1} pictures, as published {people} in {pictures}"
    )


def test_the_counts_agree_with_each_other() -> None:
    market = sum(pictures for _, pictures in COUNTS["market1501"].values())
    assert market == 12_936 + 3_368 + 19_732 - 3_819
    assert sum(pictures for _, pictures in COUNTS["msmt17"].values()) == 126_441
    assert sum(pictures for _, pictures in COUNTS["personx"].values()) == 45_792
    assert sum(pictures for _, pictures in COUNTS["dukemtmc-reid"].values()) == 36_411
    for boxes, pictures in (("detected", 14_097), ("labeled", 14_096)):
        assert sum(n for _, n in COUNTS[f"cuhk03-{boxes}"].values()) == pictures


@pytest.mark.slow
def test_market1501_as_it_is_unpacked(tmp_path: Path) -> None:
    """All 36,036 files of the three folders, by name: junk and distractors counted as published."""
    root = tmp_path / "Market-1501-v15.09.15"

    def fill(folder: str, numbers: dict[int, int]) -> None:
        (root / folder).mkdir(parents=True)
        for identity, pictures in numbers.items():
            for n in range(pictures):
                label = "-1" if identity == -1 else f"{identity:04d}"
                (root / folder / f"{label}_c{1 + n % 6}s1_{n:06d}_00.jpg").touch()
        (root / folder / "Thumbs.db").touch()

    def spread(people: range, pictures: int) -> dict[int, int]:
        each, more = divmod(pictures, len(people))
        return {p: each + (i < more) for i, p in enumerate(people)}

    fill("bounding_box_train", spread(range(2, 753), 12_936))
    fill("query", spread(range(753, 1503), 3_368))
    people = spread(range(753, 1503), 13_115)
    fill("bounding_box_test", {-1: 3_819, 0: 2_798, **people})
    table = read_any(tmp_path)
    assert differences(table) == []
    assert len(table.gallery) == 19_732
    assert table.name == "market1501"


def test_msmt17_as_it_is_listed(tmp_path: Path) -> None:
    """The four lists at full length; training and test people share their numbers."""
    root = tmp_path / "MSMT17_V2"
    for folder in ("mask_train_v2", "mask_test_v2"):
        (root / folder).mkdir(parents=True)
    lengths = {"train": (1041, 30_248), "val": (1041, 2_373), "query": (3060, 11_659)}
    for name, (people, pictures) in {**lengths, "gallery": (3060, 82_161)}.items():
        lines = [
            f"{p:04d}/{p:04d}_{n:03d}_{1 + n % 15:02d}_0303morning_{n:04d}_{name[0]}.jpg {p}"
            for n, p in ((n, n % people) for n in range(pictures))
        ]
        (root / f"list_{name}.txt").write_text("\n".join(lines))
    table = read("msmt17", tmp_path)
    assert differences(table) == []
    assert set(np.unique(table.camera).tolist()) == set(range(1, 16))
    test = set(table.query.identity.tolist()) | set(table.gallery.identity.tolist())
    assert not test & set(table.train.identity.tolist())
    (root / "list_val.txt").unlink()
    assert differences(read("msmt17-train-list", tmp_path)) == []
