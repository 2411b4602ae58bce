from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from passerby.data import read, read_any
from passerby.errors import InputError


def test_market_layout(market: Path) -> None:
    table = read("market1501", market)
    assert table.name == "market1501"
    assert table.train.identity.tolist() == [2, 7]
    assert table.train.camera.tolist() == [1, 12]  # two digits, not camera 1
    assert table.query.camera.tolist() == [1, 15]
    assert table.gallery.identity.tolist() == [-1, 0, 1, 3]  # junk and distractor stay
    assert table.query.path.tolist()[0] == "query/0001_c1s1_001051_00.jpg"
    assert all(path.exists() for path in table.paths())


def test_the_published_folder_inside_is_found(tmp_path: Path, market: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    inner = outer / "Market-1501-v15.09.15"
    inner.mkdir()
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (market / folder).rename(inner / folder)
    assert len(read("market1501", outer)) == 8
    assert len(read_any(outer)) == 8
    assert read_any(inner).name == "market1501"


def test_own_pictures_in_that_layout_have_their_folders_name(market: Path) -> None:
    assert read_any(market).name == market.name
    assert read("market1501", market).name == "market1501"
    named = market.rename(market.with_name("Market_1501 copy"))
    assert read_any(named).name == "market1501"


def test_simulated_trees_are_told_apart(market: Path) -> None:
    assert read("auto", market).name == market.name
    (market / "simulation.json").write_text("{}")
    assert read_any(market).name == market.name
    assert read("simcity", market).camera.max() == 15
    assert read("auto", market).name == market.name


def test_a_simulated_tree_knows_its_tracklets(market: Path) -> None:
    (market / "simulation.json").write_text("{}")
    paths = read("simcity", market).path.tolist()
    columns = {
        "path": list(reversed(paths)),
        "time": list(range(len(paths))),
        "tracklet": [f"T{row // 2}" for row in range(len(paths))],
    }
    parquet.write_table(pyarrow.table(columns), market / "sightings.parquet")
    table = read_any(market)
    assert table.time is not None
    assert table.tracklet is not None
    assert table.time.tolist() == list(range(len(paths)))[::-1]
    assert table.tracklet.tolist() == [row // 2 for row in range(len(paths))][::-1]
    cut = pyarrow.table({key: value[1:] for key, value in columns.items()})
    parquet.write_table(cut, market / "sightings.parquet")
    with pytest.raises(InputError, match="lacks the picture"):
        read_any(market)
    (market / "sightings.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot read the sightings"):
        read_any(market)


def test_what_lacks_is_named(market: Path, picture: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        read("market1501", market / "none")
    with pytest.raises(InputError, match="has no folder bounding_box_train and no query"):
        read("market1501", market / "query")
    bad = picture(market / "query" / "person.jpg")
    with pytest.raises(InputError, match=r"person\.jpg' is not named IDENTITY_cCAMERA"):
        read("market1501", market)
    bad.unlink()
    for path in (market / "query").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="has no pictures"):
        read("market1501", market)


def test_names_of_readers(market: Path) -> None:
    with pytest.raises(InputError, match="no data set 'imagenet'; there are: market1501"):
        read("imagenet", market)
    with pytest.raises(InputError, match="there is no data at"):
        read_any(market / "none")
    assert len(read_any(f"market1501:{market}")) == 8
    other = market / "table.txt"
    other.write_text("")
    with pytest.raises(InputError, match=r"neither a folder nor a \.csv"):
        read_any(other)
