import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from passerby.city import City, Sighting
from passerby.cli import adapt, main
from passerby.cli.adapt import of_folder, pictures
from passerby.data import read
from passerby.models import load
from passerby.recipes.bag_of_tricks import BagOfTricks, run
from tests.recipes.tiny import tiny

SMALL = ["--epochs", "1", "--iterations", "2", "--k1", "6", "--min-samples", "3"]
SMALL += ["--identities", "4", "--images", "2"]


@pytest.fixture(autouse=True)
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 takes many times as long where the processor does not have it."""
    recipe = adapt.recipe
    monkeypatch.setattr(adapt, "recipe", lambda given: replace(recipe(given), precision="fp32"))


@pytest.fixture(scope="module")
def weights(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that has learned a little about the drawn people."""
    out = tmp_path_factory.mktemp("runs") / "start"
    config = tiny(BagOfTricks(), out=out, epochs=4, warmup=1)
    run(config, read("market1501", market))
    return out / "model.safetensors"


def test_a_folder_of_unlabelled_pictures(
    market: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    (folder / "cam2").mkdir(parents=True)
    for number, path in enumerate(sorted((market / "bounding_box_train").glob("*.jpg"))):
        place = folder / "cam2" if "_c2" in path.name else folder
        shutil.copy(path, place / f"{number:03d}.jpg")
    table = of_folder(folder)
    assert set(table.identity) == {-1}
    assert sorted(set(table.camera)) == [-1, 2]
    out = tmp_path / "run"
    given = ["adapt", str(folder), "--model", str(weights), "--out", str(out), *SMALL]
    assert main([*given, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["pictures"] == len(table) == 144
    assert answer["epochs"][0]["clusters"] >= 2
    network, card = load(out / "model.safetensors")
    start, _ = load(weights)
    assert card.input_size == (64, 32)
    key = "backbone.layer1.0.conv1.weight"
    assert not np.array_equal(network.state_dict()[key], start.state_dict()[key])
    assert main(given) == 0
    assert "evaluate it" in capsys.readouterr().out


def test_a_citys_own_crops(market: Path, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    square = [[[0, 0], [0.02, 0], [0.02, 0.01], [0, 0.01], [0, 0]]]
    parts = {
        "units": ({"code": "99", "level": "city"}, "Polygon", square),
        "cameras": ({"id": "C1", "number": 1}, "Point", [0.004, 0.005]),
        "streets": ({"name": "High"}, "LineString", [[0, 0.005], [0.02, 0.005]]),
    }
    for name, (properties, kind, coordinates) in parts.items():
        feature = {
            "type": "Feature",
            "properties": properties,
            "geometry": {"type": kind, "coordinates": coordinates},
        }
        collection = {"type": "FeatureCollection", "features": [feature]}
        (maps / f"{name}.geojson").write_text(json.dumps(collection))
    place = tmp_path / "city"
    assert main(["admin", "create", str(place), "--simulated", str(maps)]) == 0
    with pytest.raises(Exception, match="has stored no crops"):
        pictures(place, 10)
    files = sorted((market / "bounding_box_train").glob("*.jpg"))[:6]
    with City.open(place) as city:
        city.add_sightings(
            Sighting(
                id=f"s{number}",
                camera="C1",
                time=1_777_593_600_000 + number,
                vector=np.eye(8, dtype=np.float32)[number],
                model="some",
                crop=city.crops.put(path.read_bytes()),
            )
            for number, path in enumerate(files)
        )
    table = pictures(place, 4)
    assert len(table) == 4
    assert all(path.is_file() for path in table.paths())
    assert set(table.camera) == {0}
    assert set(table.identity) == {-1}
    # whose pictures were used for what is in the audit
    assert main(["admin", "audit", "verify", str(place)]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nothing at 'nowhere'"),
        (["{empty}"], "holds no pictures"),
        (["{market}", "--model", "none.safetensors"], "none.safetensors"),
        (["{market}", "--k1", "6", "--min-samples", "900", *SMALL[:4]], "nothing clusters"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    market: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    known = {"{market}": str(market), "{empty}": str(tmp_path)}
    given = [known.get(word, word) for word in words]
    assert main(["adapt", *given, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert message in error
