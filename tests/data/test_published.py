"""Published data sets, on small copies in each set's exact layout."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from passerby.data import READERS, CropTable, read, read_any
from passerby.data.cuhk03 import read_cuhk03_old
from passerby.data.published import COUNTS, NOTES, TOTALS, differences
from passerby.errors import InputError
from passerby.metrics import evaluate_features

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


# --- CUHK03 ------------------------------------------------------------------------------------

# camera pair -> person -> numbers of the pictures there are (1-5 view 1, 6-10 view 2)
PEOPLE = {
    1: {1: [1, 2, 6, 7], 2: [1, 6, 10], 3: [2, 5, 8]},
    2: {1: [1, 7], 2: [3, 4, 9]},
    3: {1: [5, 6]},
    4: {1: [1, 6]},
    5: {1: [2, 7]},
}
NAMES = sorted(
    f"{pair}_{person:03d}_{1 if n <= 5 else 2}_{n:02d}.png"
    for pair, people in PEOPLE.items()
    for person, numbers in people.items()
    for n in numbers
)


def colour(pair: int, person: int, number: int) -> tuple[int, int, int]:
    return (40 * pair, 60 * person, 20 * number)


def write_release(path: Path) -> None:
    """A file as MATLAB 7.3 writes it: cells of references, arrays in reverse order."""
    h5py = pytest.importorskip("h5py")
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_group("#refs#")

        def put(values: np.ndarray) -> "h5py.Reference":
            item = cells.create_dataset(f"c{len(cells)}", data=values)
            return item.ref

        def put_cells(references: np.ndarray) -> "h5py.Reference":
            item = cells.create_dataset(f"c{len(cells)}", references.shape, dtype=h5py.ref_dtype)
            item[...] = references
            return item.ref

        def picture(pair: int, person: int, number: int) -> "h5py.Reference":
            if number not in PEOPLE[pair][person]:
                return put(np.zeros(2, dtype=np.uint64))  # MATLAB's empty array
            pixels = np.full((20 + number, 10, 3), colour(pair, person, number), dtype=np.uint8)
            pixels[0, 1] = (1, 2, 3)  # tells rows from columns
            return put(pixels.T)

        for boxes in ("detected", "labeled"):
            pairs = []
            for pair, people in PEOPLE.items():
                array = np.empty((10, len(people)), dtype=object)
                for person in people:
                    for number in range(1, 11):
                        array[number - 1, person - 1] = picture(pair, person, number)
                pairs.append(put_cells(array))
            file.create_dataset(boxes, (1, 5), dtype=h5py.ref_dtype)[0] = pairs
        sets = [np.array([[1, 2], [2, 1]]), np.array([[1, 1], [5, 1]])]
        references = [put(test.T.astype(np.float64)) for test in sets]
        file.create_dataset("testsets", (1, 2), dtype=h5py.ref_dtype)[0] = references


def write_config(path: Path) -> None:
    from scipy.io import savemat

    people = sorted({name[:5] for name in NAMES})
    labels = np.array([people.index(name[:5]) + 1 for name in NAMES], dtype=np.uint16)
    cells = np.empty((len(NAMES), 1), dtype=object)
    cells[:, 0] = NAMES
    index = np.arange(1, len(NAMES) + 1, dtype=np.uint16)[:, None]
    train = labels <= 5
    first = np.array([name.endswith(("_01.png", "_06.png")) for name in NAMES])
    savemat(
        path,
        {
            "filelist": cells,
            "labels": labels[:, None],
            "train_idx": index[train],
            "query_idx": index[~train & first],
            "gallery_idx": index[~train & ~first],
        },
    )


@pytest.fixture
def cuhk(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "cuhk03"
    write_release(root / "cuhk03_release" / "cuhk-03.mat")
    for boxes in ("detected", "labeled"):
        write_config(root / f"cuhk03_new_protocol_config_{boxes}.mat")
    yield root


@pytest.mark.parametrize("boxes", ["detected", "labeled"])
def test_cuhk03_new_protocol_from_the_release(cuhk: Path, boxes: str) -> None:
    table = read(f"cuhk03-{boxes}", cuhk.parent)
    assert [path.name for path in sorted((cuhk / f"images_{boxes}").iterdir())] == NAMES
    assert len(table) == len(NAMES)
    assert set(table.train.identity.tolist()) == {1, 2, 3, 4, 5}
    assert set(table.query.identity.tolist()) == {6, 7}
    assert set(table.gallery.identity.tolist()) == {6, 8}
    for path, name in zip(table.paths(), table.path, strict=True):
        pair, person, view, number = map(int, Path(name).stem.split("_"))
        picture = np.asarray(Image.open(path))
        assert picture.shape == (20 + number, 10, 3)
        assert tuple(picture[5, 5]) == colour(pair, person, number)
        assert tuple(picture[0, 1]) == (1, 2, 3)
        assert view == (1 if number <= 5 else 2)
    assert table.camera.tolist() == [int(Path(p).stem.split("_")[2]) for p in table.path]


def test_cuhk03_from_the_tree_of_pictures(cuhk: Path) -> None:
    first = read("cuhk03-detected", cuhk)
    (cuhk / "cuhk03_release" / "cuhk-03.mat").unlink()
    again = read("cuhk03-detected", cuhk)
    assert again.path.tolist() == first.path.tolist()
    assert read_any(cuhk).name == "cuhk03-detected"
    with pytest.raises(InputError, match=r"there is no '.*cuhk-03\.mat'"):
        read("cuhk03-labeled", cuhk)


def test_cuhk03_old_protocol(cuhk: Path) -> None:
    table = read("cuhk03-old-labeled", cuhk)
    assert set(table.query.identity.tolist()) == {10_002, 20_001}
    assert table.query.path.tolist() == table.gallery.path.tolist()
    assert not set(table.train.identity.tolist()) & {10_002, 20_001}
    assert len(table.train) + len(table.query) == len(NAMES)
    other = read_cuhk03_old(cuhk, "detected", 1)
    assert set(other.query.identity.tolist()) == {10_001, 50_001}
    assert len(read("cuhk03-old-detected", cuhk).query) == 5
    with pytest.raises(InputError, match="no split 2; there are 0 to 1"):
        read_cuhk03_old(cuhk, "detected", 2)


def test_cuhk03_old_splits_have_names(cuhk: Path) -> None:
    for split, people in enumerate([{10_002, 20_001}, {10_001, 50_001}]):
        for boxes in ("detected", "labeled"):
            table = read(f"cuhk03-old-{boxes}@{split}", cuhk)
            assert set(table.query.identity.tolist()) == people
            assert table.name == f"cuhk03-old-{boxes}"
    again = read_any(f"cuhk03-old-labeled@1:{cuhk}")
    assert set(again.query.identity.tolist()) == {10_001, 50_001}
    with pytest.raises(InputError, match="no split 7"):
        read("cuhk03-old-labeled@7", cuhk)
    with pytest.raises(InputError, match="no data set 'market1501@1'"):
        read_any(f"market1501@1:{cuhk}")
    with pytest.raises(InputError, match="no data set 'cuhk03-old-labeled@x'"):
        read("cuhk03-old-labeled@x", cuhk)


def test_cuhk03_old_protocol_is_evaluated(cuhk: Path) -> None:
    table = read("cuhk03-old-labeled", cuhk)
    random = np.random.default_rng(0)
    faces = {i: random.normal(size=8) for i in np.unique(table.identity).tolist()}
    query, gallery = (
        np.stack([faces[i] for i in part.identity.tolist()])
        for part in (table.query, table.gallery)
    )
    report = evaluate_features(query, gallery, *table.match_labels(), protocol="cuhk03-old")
    assert report.cmc[1] == 1.0
    assert report.protocol == "cuhk03-old"


def test_cuhk03_in_market_layout(tmp_path: Path, picture: Picture) -> None:
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        picture(tmp_path / "cuhk03-np" / "labeled" / folder / "0001_c1_1.png")
    assert len(read("cuhk03-labeled", tmp_path)) == 3


def test_cuhk03_troubles_are_named(cuhk: Path) -> None:
    (cuhk / "cuhk03_new_protocol_config_labeled.mat").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"cannot read '.*config_labeled\.mat'"):
        read("cuhk03-labeled", cuhk)
    (cuhk / "cuhk03_new_protocol_config_labeled.mat").unlink()
    with pytest.raises(InputError, match="get the new protocol's configuration"):
        read("cuhk03-labeled", cuhk)
    (cuhk / "cuhk03_release" / "cuhk-03.mat").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"cannot read '.*cuhk-03\.mat'"):
        read("cuhk03-detected", cuhk)
    assert not (cuhk / "images_detected").exists()
    (cuhk / "images_detected").mkdir()
    Image.new("RGB", (4, 8)).save(cuhk / "images_detected" / "person.png")
    write_release(cuhk / "other" / "cuhk-03.mat")
    (cuhk / "other" / "cuhk-03.mat").replace(cuhk / "cuhk03_release" / "cuhk-03.mat")
    with pytest.raises(InputError, match=r"named 'person\.png'"):
        read("cuhk03-old-detected", cuhk)


# --- counts ------------------------------------------------------------------------------------


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
