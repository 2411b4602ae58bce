"""``passerby admin doctor``: each part has its line, and each fault is found."""

import io
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from passerby.city import City, Sighting
from passerby.cli import main
from passerby.ingest import create_small_city
from passerby.runtime import Embedder
from passerby.times import now


@pytest.fixture(scope="module")
def default_model() -> str:
    return Embedder.load("default").model_id


@pytest.fixture
def city(tmp_path: Path, default_model: str) -> Path:
    return _city(tmp_path / "city", default_model)


def _city(folder: Path, model: str) -> Path:
    with create_small_city(folder, camera="C01", place=(116.4, 39.9)) as made:
        crop = made.crops.put(_picture())
        made.add_sightings([_sighting(model, crop)])
    folder.chmod(0o700)
    return folder


def _picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (32, 64), (90, 120, 30)).save(out, "JPEG")
    return out.getvalue()


def _sighting(model: str, crop: str) -> Sighting:
    vector = np.ones(256, np.float32)
    return Sighting(
        id="one",
        camera="C01",
        time=now() - 5000,
        model=model,
        vector=vector,
        tracklet="t",
        crop=crop,
    )


def run(capsys: pytest.CaptureFixture[str], city: Path, *more: str) -> tuple[int, dict[str, Any]]:
    status = main(["admin", "doctor", str(city), "--json", *more])
    lines = json.loads(capsys.readouterr().out)
    return status, {one["part"]: (one["state"], one["says"]) for one in lines}


def test_a_whole_city(city: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_size for path in city.rglob("*") if path.is_file()}
    status, found = run(capsys, city, "--queue", "local")
    assert status == 0
    parts = ["folder", "catalogue", "gallery", "network", "crops", "audit", "retention", "queue"]
    assert list(found) == parts
    assert {part: state for part, (state, _) in found.items() if state != "ok"} == {
        "retention": "note"
    }
    kept = {path: path.stat().st_size for path in before if path.exists()}
    assert kept == before, "it changes nothing"
    assert main(["admin", "doctor", str(city)]) == 0
    assert "ok    gallery    1 sightings" in capsys.readouterr().out


def test_faults_are_found(city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.move(city / "crops", tmp_path / "elsewhere")
    (city / "crops").mkdir()
    with City.open(city) as opened:
        opened.set_setting("retention_days", 1 / 86_400)
    city.chmod(0o755)
    status, found = run(capsys, city, "--queue", str(tmp_path / "none" / "jobs.sqlite"))
    assert status == 1
    assert found["crops"][0] == "fault"
    assert "is it mounted" in found["crops"][1]
    assert found["queue"][0] == "fault"
    assert "cannot be used" in found["queue"][1]


def test_another_network_and_another_schema(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], default_model: str
) -> None:
    city = _city(tmp_path / "toy", "toy")
    status, found = run(capsys, city)
    assert (status, found["network"][0]) == (1, "fault")
    assert "'toy'" in found["network"][1]
    assert default_model in found["network"][1]
    with sqlite3.connect(city / "catalogue.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    status, found = run(capsys, city)
    assert (status, found["catalogue"][0]) == (1, "fault")
    assert "schema 0001" in found["catalogue"][1]
    assert "gallery" not in found, "a city that opening would change is not opened"


def test_no_city(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = run(capsys, tmp_path)
    assert status == 1
    assert "no city" in found["folder"][1]
