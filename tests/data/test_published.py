"""Published data sets, on small copies in each set's exact layout."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from passerby.data import READERS, CropTable, read, read_any
from passerby.data.cuhk03 import read_cuhk03_old
from passerby.data.published import COUNTS, NOTES, differences
from passerby.errors import InputError

Picture = Callable[..., Path]


def test_every_named_set_has_a_reader() -> None:
    assert set(COUNTS) | set(NOTES) <= set(READERS)


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


def test_published_counts() -> None:
    counts = COUNTS["cuhk03-detected"]
    made = []
    for split, (people, pictures) in counts.items():
        start = {"train": 1}.get(split, 1000)
        identity = start + np.arange(pictures) % people
        made.append((identity, np.full(pictures, split)))
    identity = np.concatenate([i for i, _ in made])
    table = CropTable(
        path=[f"{n}.png" for n in range(len(identity))],
        identity=identity,
        camera=np.ones(len(identity), dtype=int),
        split=np.concatenate([s for _, s in made]),
        name="cuhk03-detected",
    )
    assert differences(table) == []
    lacking = differences(table.select(slice(1, None)))
    assert lacking == ["train has 767 people in 7364 pictures, as published 767 in 7365"]
