"""search, trace and admin on a small city, with a network of random weights."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from passerby.city import City, Sighting
from passerby.city.facts import Fact, add_facts
from passerby.cli import main
from passerby.models import ModelCard, build, save
from passerby.models.attention_files import AttentionCard, save_attention
from passerby.runtime import Embedder

START = 1_777_593_600_000
FROM, TO = "2026-05-01T08:00:00+08:00", "2026-05-01T10:00:00+08:00"


def collection(kind: str, items: list[tuple[dict[str, Any], Any]]) -> dict[str, Any]:
    features = [
        {"type": "Feature", "properties": p, "geometry": {"type": kind, "coordinates": c}}
        for p, c in items
    ]
    return {"type": "FeatureCollection", "features": features}


def square(x0: float, x1: float) -> list[Any]:
    return [[[x0, 0], [x1, 0], [x1, 0.01], [x0, 0.01], [x0, 0]]]


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    units = [
        ({"code": "99", "level": "city"}, square(0, 0.02)),
        ({"code": "9901", "parent": "99", "level": "district"}, square(0, 0.01)),
        ({"code": "9902", "parent": "99", "level": "district"}, square(0.01, 0.02)),
    ]
    cameras = [({"id": f"C{i}", "number": i}, [0.004 * i, 0.005]) for i in range(1, 5)]
    for name, data in (
        ("units", collection("Polygon", units)),
        ("cameras", collection("Point", cameras)),
        ("streets", collection("LineString", [({"name": "High"}, [[0, 0.005], [0.02, 0.005]])])),
    ):
        (folder / f"{name}.geojson").write_text(json.dumps(data))
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = build("slim18")
    card = ModelCard(architecture="slim18", dimension=network.dimension, input_size=(64, 32))
    path = tmp_path_factory.mktemp("weights") / "slim18.safetensors"
    save(network, card, path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    out = []
    for index in range(4):
        coarse = rng.integers(0, 256, (8, 4, 3)).astype(np.uint8)
        path = folder / f"{index}.png"
        Image.fromarray(np.kron(coarse, np.ones((16, 16, 1), np.uint8))).save(path)
        out.append(path)
    return out


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, maps: Path, weights: Path, pictures: list[Path]
) -> Path:
    """A city whose four people pass the four cameras a few minutes apart."""
    place = tmp_path_factory.mktemp("made") / "city"
    assert main(["admin", "create", str(place), "--simulated", str(maps)]) == 0
    embedder = Embedder.load(weights)
    vectors = embedder.embed(pictures)
    with City.open(place) as city:
        city.add_sightings(
            Sighting(
                id=f"p{person}c{camera}",
                camera=f"C{camera}",
                time=START + 400_000 * camera + 1000 * person,
                vector=vectors[person],
                model=embedder.model_id,
                tracklet=f"p{person}c{camera}",
            )
            for person in range(4)
            for camera in range(1, 5)
        )
    return place


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "city"))


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return status, out, err


def test_search(
    folder: Path, weights: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search", folder, pictures[2], "--model", weights, "--from", FROM, "--to", TO]
    status, out, _ = run(capsys, *words, "-k", "4", "--no-rerank", "--json")
    answer = json.loads(out)
    assert status == 0
    assert answer["searched"] == 16
    assert not answer["space_time"]
    assert [match["id"] for match in answer["matches"]] == [f"p2c{i}" for i in range(1, 5)]
    for word, expected in (("--space-time", True), ("--no-space-time", False)):
        answer = json.loads(run(capsys, *words, word, "-k", "4", "--json")[1])
        assert answer["space_time"] is expected
        assert len(answer["matches"]) == 4
    status, out, _ = run(capsys, *words, "--unit", "9902", "--no-rerank", "-k", "2")
    assert status == 0
    assert "8 sightings in scope" in out
    assert "p2c3" in out
    assert "p2c1" not in out


def test_search_in_units_that_meet_a_condition(
    folder: Path, weights: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with City.open(folder) as city:
        add_facts(city, [Fact(unit=f"990{n}", name="people", value=float(n)) for n in (1, 2)])
    words = ["search", folder, pictures[2], "--model", weights, "--no-rerank", "--json"]
    named = json.loads(run(capsys, *words, "--unit", "9902")[1])
    status, out, said = run(capsys, *words, "--where", "people > 1")
    assert status == 0
    assert "where: 1 district; 1 units lack people; 8 sightings" in said
    assert json.loads(out)["matches"] == named["matches"]
    assert run(capsys, "admin", "audit", "show", folder, "--json")[1].count("people > 1") == 1
    status, _, said = run(capsys, *words, "--where", "people > 9")
    assert status == 2 and "no unit meets the condition 'people > 9'" in said


def test_search_with_a_second_stage(
    folder: Path,
    weights: Path,
    pictures: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with City.open(folder) as city:
        assert city.gallery.model_id is not None
        card = AttentionCard(model_id=city.gallery.model_id, dimension=256, ratio=64, length=16.0)
    save_attention(card.build(), card, tmp_path / "own.safetensors")
    other = replace(card, model_id="slim18-of-others")
    save_attention(other.build(), other, tmp_path / "other.safetensors")
    words = ["search", folder, pictures[2], "--model", weights, "--json", "--second-stage"]
    status, out, _ = run(capsys, *words, tmp_path / "own.safetensors")
    assert status == 0
    assert json.loads(out)["second_stage"]
    for file, text in (("other.safetensors", "slim18-of-others"), ("none.safetensors", "none")):
        status, out, err = run(capsys, *words, tmp_path / file)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert text in err


def test_trace(
    folder: Path,
    weights: Path,
    pictures: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["trace", folder, pictures[1], "--model", weights, "--confirmed", "p1c1"]
    words += ["--confirmed", "p1c4", "--geojson", tmp_path / "path.geojson"]
    status, out, _ = run(capsys, *words, "--json")
    assert status == 0
    answer = json.loads(out)
    assert [visit["camera"] for visit in answer["visits"]] == ["C1", "C2", "C3", "C4"]
    assert re.match(r"445 m in \d+ s = 1\.1 m/s", answer["legs"][0]["reason"])
    drawn = json.loads((tmp_path / "path.geojson").read_text())
    assert len(drawn["features"]) == 7
    status, out, _ = run(capsys, *words)
    assert status == 0
    assert "confidence" in out


def test_every_question_is_in_the_audit(
    folder: Path, weights: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    audit = pytest.importorskip("passerby.service.audit")
    database = pytest.importorskip("passerby.service.database")
    words = ["search", folder, pictures[0], "--model", weights, "--purpose", "a test", "--json"]
    _, out, _ = run(capsys, *words)
    catalogue = database.Database(folder / "catalogue.sqlite")
    entries = audit.Audit(catalogue, folder).entries()
    assert entries[0].number == json.loads(out)["audit"]
    assert entries[0].action == "search"
    assert entries[0].details["purpose"] == "a test"
    assert len(entries[0].details["pictures"][0]) == 64
    catalogue.close()


@pytest.mark.parametrize("verb", ["search", "trace"])
def test_a_dark_picture_is_brightened_on_request(
    folder: Path, weights: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    audit = pytest.importorskip("passerby.service.audit")
    database = pytest.importorskip("passerby.service.database")
    dark = folder / "dark.png"
    Image.fromarray(np.asarray(Image.open(pictures[2])) // 12).save(dark)
    words = [verb, folder, pictures[2], dark, "--model", weights, "--json"]
    _, plain, hint = run(capsys, *words)
    status, bright, said = run(capsys, *words, "--enhance")
    assert status == 0
    assert json.loads(plain)["enhanced"] == [False, False]
    assert json.loads(bright)["enhanced"] == [False, True]
    assert (hint.count("dark.png"), said.count("dark.png")) == (1, 1)
    assert "--enhance brightens it" in hint
    assert "brightened to" in said
    catalogue = database.Database(folder / "catalogue.sqlite")
    entries = audit.Audit(catalogue, folder).entries()
    assert [one.details["enhanced"] for one in entries[:2]] == [[False, True], [False, False]]
    catalogue.close()
    if verb == "search":
        scores = [
            [match["similarity"] for match in json.loads(out)["matches"]] for out in (plain, bright)
        ]
        assert scores[0] != scores[1]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--unit", "77"], "no unit '77'"),
        (["--camera", "X9"], "no camera 'X9'"),
        (["--from", "2026-05-01T08:00:00"], "no time zone"),
        (["--from", "tomorrow"], "ISO 8601"),
        (["--from", TO, "--to", FROM], "before it starts"),
        (["--model", "/no/such.safetensors"], "such.safetensors"),
        (["--case", "no-such-case"], "no such case"),
    ],
)
def test_bad_questions(
    made: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str], words: Any, text: str
) -> None:
    for verb in ("search", "trace"):
        status, out, err = run(capsys, verb, made, pictures[0], *words)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert text in err


def test_bad_pictures(
    made: Path, maps: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, text in (
        ([maps / "none.png"], "none.png"),
        ([maps / "units.geojson"], "units.geojson"),
        ([], "picture"),
    ):
        status, out, err = run(capsys, "search", made, *words, "--model", weights)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert text in err


def test_no_city_and_no_sightings(
    maps: Path, tmp_path: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(capsys, "search", tmp_path, pictures[0])
    assert status == 2
    assert "no city" in err
    run(capsys, "admin", "create", tmp_path / "bare", "--simulated", maps)
    status, _, err = run(capsys, "search", tmp_path / "bare", pictures[0])
    assert status == 2
    assert "empty" in err


def test_admin(
    folder: Path, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(capsys, "admin", "stats", folder, "--json")
    assert status == 0
    assert json.loads(out)["sightings"] == 16
    assert run(capsys, "admin", "verify", folder)[:2] == (0, "16 sightings, 0 faults\n")
    assert run(capsys, "admin", "snapshot", folder, tmp_path / "copy")[0] == 0
    assert run(capsys, "admin", "retention", folder)[0] == 2
    assert run(capsys, "admin", "retention", folder, "--days", "-1")[0] == 2
    assert run(capsys, "admin", "create", folder, "--simulated", maps)[0] == 2
    assert run(capsys, "admin", "create", tmp_path / "x")[0] == 2
    assert run(capsys, "admin", "fly", folder)[0] == 2
    assert run(capsys, "admin")[0] == 0
    victim = folder / "gallery" / "gallery.sqlite"
    content = bytearray(victim.read_bytes())
    content[-100] ^= 1  # the last page is one of a chunk
    victim.write_bytes(content)
    status, out, err = run(capsys, "admin", "verify", folder)
    assert (status, out) == (1, "16 sightings, 2 faults\n")  # SQLite's own check, and the chunk
    assert victim.name in err
    assert "chunk" in err


def test_retention_deletes_what_is_old(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "admin", "retention", folder, "--days", "1", "--dry-run")
    assert status == 0
    assert out.startswith("16 sightings")
    status, out, _ = run(capsys, "admin", "retention", folder, "--days", "1")
    assert out.startswith("16 sightings")
    assert run(capsys, "admin", "compact", folder)[0] == 0
    with City.open(folder) as city:
        assert city.count() == 0
        assert city.setting("retention_days") == 1


def test_the_gallery_verbs(
    folder: Path,
    weights: Path,
    pictures: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    status, out, _ = run(capsys, "admin", "gallery", "check", folder, "--full", "--json")
    assert (status, json.loads(out)["problems"]) == (0, [])
    with City.open(folder) as city:
        model, vector = city.gallery.model_id, city.gallery.vectors(["p0c1"])[0]
    rows = {
        "id": [f"n{number}" for number in range(5)],
        "camera": ["C2"] * 5,
        "time": [START + number for number in range(5)],
        "model": [model] * 5,
        "vector": [vector] * 5,
    }
    parquet.write_table(pa.table(rows), tmp_path / "t.parquet")
    for new in (5, 0):
        status, out, _ = run(capsys, "admin", "gallery", "add", folder, tmp_path / "t.parquet")
        assert (status, out) == (0, f"{new} sightings added, 21 in all\n")
    words = ["search", folder, pictures[0], "--model", weights, "--from", FROM, "--to", TO]
    status, out, _ = run(capsys, *words, "--group", "visit", "--candidates", "21", "--json")
    assert status == 0
    matches = json.loads(out)["matches"]
    assert sum(1 + len(match["members"]) for match in matches) == 21
    # no crop was kept: a new network stops, and may be given up
    status, _, err = run(capsys, "admin", "gallery", "reembed", folder)
    assert status == 2
    assert "no readable crop" in err
    status, out, _ = run(capsys, "admin", "gallery", "reembed", folder, "--give-up")
    assert status == 0
    assert model is not None
    assert model in out
    status, out, _ = run(capsys, "admin", "gallery", "compact", folder)
    assert (status, out.split()[1]) == (0, "bytes")


def test_the_zone_of_a_city_is_chosen_when_it_is_made(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--simulated", maps)
    status, _, err = run(capsys, "admin", "create", tmp_path / "a", *words, "--zone", "Mars/Base")
    assert status == 2 and "no time zone 'Mars/Base'" in err and not (tmp_path / "a").exists()
    assert run(capsys, "admin", "create", tmp_path / "a", *words, "--zone", "Asia/Shanghai")[0] == 0
    with City.open(tmp_path / "a") as city:
        assert city.setting("service")["time_zone"] == "Asia/Shanghai"
    err = run(capsys, "admin", "create", tmp_path / "b", *words)[2]
    assert "shows times in UTC" in err and "--zone" in err
