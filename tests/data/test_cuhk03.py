"""CUHK03, on a small copy of its release and of the trees others made of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from passerby.data import read, read_any
from passerby.data.cuhk03 import read_cuhk03_old
from passerby.errors import InputError
from passerby.metrics import evaluate_features

Picture = Callable[..., Path]

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
