"""Bulk adds from Parquet, and a gallery embedded anew from its crops."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from passerby.city import City, Sighting
from passerby.city.gallery.embedded import EmbeddedGallery
from passerby.city.gallery.records import Batch
from passerby.city.reembedding import reembed
from passerby.errors import InputError
from passerby.ingest.vectors import read_sightings, rows_in
from passerby.models import ModelCard, build, save
from passerby.runtime import Embedder
from tests.city.gallery_contract import many, matrix

COLUMNS = ("id", "camera", "unit", "time", "model", "tracklet", "crop", "quality")


def table_of(sightings: list[Sighting]) -> pa.Table:
    columns = {name: [getattr(one, name) for one in sightings] for name in COLUMNS}
    for number, side in enumerate(("x0", "y0", "x1", "y1")):
        columns[side] = [one.box[number] if one.box else None for one in sightings]
    attributes = pa.array(
        [list(one.attributes) for one in sightings], pa.map_(pa.string(), pa.string())
    )
    vectors = pa.array(list(matrix(sightings)), pa.list_(pa.float32()))
    return pa.table({**columns, "attributes": attributes, "vector": vectors})


def test_a_table_comes_back_as_it_was(tmp_path: Path) -> None:
    few = [*many(50), replace(many(1, first=50)[0], box=None)]
    parquet.write_table(table_of(few), tmp_path / "t.parquet")
    assert rows_in(tmp_path / "t.parquet") == 51
    parts = list(read_sightings(tmp_path / "t.parquet", at_once=20))
    assert [len(part) for part in parts] == [20, 20, 11]
    read = [one for part in parts for one in part]
    assert read == few
    np.testing.assert_array_equal(matrix(read), matrix(few))


def test_columns_are_stored_as_objects_are(tmp_path: Path) -> None:
    few = [*many(60), replace(many(1, first=60)[0], box=None, attributes=()), *many(2, first=5)]
    parquet.write_table(table_of(few), tmp_path / "t.parquet")
    (batch,) = read_sightings(tmp_path / "t.parquet")
    columns, objects = Batch.of(batch), Batch.of(few)
    assert len(columns) == 61  # an id that comes again is left out
    assert columns.records() == objects.records()
    np.testing.assert_array_equal(columns.vectors, objects.vectors)
    galleries = [EmbeddedGallery(tmp_path / name) for name in ("columns", "objects")]
    for gallery, given in zip(galleries, (batch, few), strict=True):
        assert gallery.add(given) == 61
        assert gallery.add(given) == 0
        assert gallery.add(given, replace=True) == 0
        assert gallery.verify() == []
    everything = [gallery.latest(100) for gallery in galleries]
    assert everything[0] == everything[1]
    names = [one.id for one in everything[0]]
    stored = [gallery.vectors(names) for gallery in galleries]
    np.testing.assert_array_equal(stored[0], stored[1])


@pytest.mark.parametrize(
    ("column", "values", "text"),
    [
        ("unit", ["", "11", "11", "11"], "'s000000' lacks an id, a camera or a unit"),
        ("quality", [1.0, float("nan"), 1.0, 1.0], "'s000001' has the quality nan"),
        ("time", [1, 2, (1 << 62) + 1, 3], "'s000002' has the time"),
        ("model", ["toy", "toy", "other", "toy"], "models other, toy"),
        ("attributes", [[("", "red")], None, None, None], "attributes of sighting 's000000'"),
        ("vector", [[1.0], [0.0], [1.0], [1.0]], "vector of sighting 's000001' is zero"),
    ],
)
def test_columns_with_faults_are_refused(
    tmp_path: Path, column: str, values: list[Any], text: str
) -> None:
    table = table_of(many(4))
    at = table.column_names.index(column)
    table = table.set_column(at, column, pa.array(values, table.schema.field(at).type))
    parquet.write_table(table, tmp_path / "t.parquet")
    gallery = EmbeddedGallery(tmp_path / "gallery")
    with pytest.raises(InputError, match=text):
        gallery.add(next(read_sightings(tmp_path / "t.parquet")))
    assert gallery.count() == 0


def test_a_city_fills_in_the_units_of_columns(city: City, tmp_path: Path) -> None:
    few = many(30)
    table = table_of(few)
    at = table.column_names.index("unit")
    empty = pa.array([None, "", *(one.unit for one in few[2:])], pa.string())
    parquet.write_table(table.set_column(at, "unit", empty), tmp_path / "t.parquet")
    assert city.add_sightings(next(read_sightings(tmp_path / "t.parquet"))) == 30
    found = city.gallery.get([one.id for one in few])
    assert [one.unit for one in found[:2]] == [city.camera(one.camera).unit for one in few[:2]]
    assert found[2:] == few[2:]
    unknown = table.set_column(1, "camera", pa.array(["nowhere"] * 30))
    parquet.write_table(unknown, tmp_path / "t.parquet")
    with pytest.raises(InputError, match="nowhere"):
        city.add_sightings(next(read_sightings(tmp_path / "t.parquet")))


@pytest.mark.parametrize("kind", [pa.list_(pa.float16()), pa.list_(pa.float64(), 16)])
def test_vectors_of_any_float_and_times_with_a_zone(tmp_path: Path, kind: pa.DataType) -> None:
    few = many(9)
    half = matrix(few).astype(np.float16)
    values = half.astype(np.float64) if kind.value_type == pa.float64() else half
    table = pa.table(
        {
            "id": [one.id for one in few],
            "camera": [one.camera for one in few],
            "time": pa.array([one.time for one in few], pa.timestamp("ms", "Asia/Shanghai")),
            "vector": pa.array(list(values), kind),
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    read = [one for part in read_sightings(tmp_path / "t.parquet", model="toy") for one in part]
    assert [one.time for one in read] == [one.time for one in few]
    assert {one.model for one in read} == {"toy"}
    np.testing.assert_array_equal(matrix(read), half.astype(np.float32))
    with pytest.raises(InputError, match="lacks the columns model"):
        next(read_sightings(tmp_path / "t.parquet"))


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    good = table_of(many(4))
    path = tmp_path / "t.parquet"
    with pytest.raises(InputError, match="no table"):
        next(read_sightings(path))
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match="Parquet"):
        next(read_sightings(path))
    naive = good.set_column(3, "time", pa.array([1, 2, 3, 4], pa.timestamp("ms")))
    ragged = good.set_column(
        good.num_columns - 1, "vector", pa.array([[1.0], [1.0, 2.0], [1.0], [1.0]])
    )
    for table, text in (
        (good.drop_columns(["vector", "camera"]), "camera, vector"),
        (naive, "no zone"),
        (ragged, "one length"),
    ):
        parquet.write_table(table, path)
        with pytest.raises(InputError, match=text):
            next(read_sightings(path))


def embedder_at(folder: Path, seed: int) -> Embedder:
    torch.manual_seed(seed)
    network = build("slim18")
    card = ModelCard(architecture="slim18", dimension=network.dimension, input_size=(64, 32))
    save(network, card, folder / f"{seed}.safetensors")
    return Embedder.load(folder / f"{seed}.safetensors")


def jpeg(number: int) -> bytes:
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (8, 4, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.kron(coarse, np.ones((8, 8, 1), np.uint8))).save(file, "JPEG")
    return file.getvalue()


def test_embedding_a_city_anew_from_its_crops(city: City, tmp_path: Path) -> None:
    old, new = embedder_at(tmp_path, 0), embedder_at(tmp_path, 1)
    assert old.model_id != new.model_id
    pictures = [jpeg(number) for number in range(24)]
    vectors = old.embed(pictures)
    base = many(24)
    city.add_sightings(
        replace(one, vector=vector, model=old.model_id, crop=city.crops.put(picture))
        for one, vector, picture in zip(base, vectors, pictures, strict=True)
    )
    lost = replace(base[0], id="lost", vector=vectors[0], model=old.model_id, crop="")
    city.add_sightings([lost])
    told: list[int] = []
    with pytest.raises(InputError, match="'lost'"):
        reembed(city.gallery, city.crops, new, at_once=10)
    assert city.gallery.model_id == old.model_id
    work = reembed(
        city.gallery,
        city.crops,
        new,
        drop_lost=True,
        at_once=10,
        on_progress=lambda work: told.append(work.done),
    )
    assert work.dropped == 1
    assert told[-1] == work.done <= 24
    assert city.gallery.model_id == new.model_id
    ids = [one.id for one in base]
    np.testing.assert_allclose(city.gallery.vectors(ids), new.embed(pictures), atol=2e-3)
    with pytest.raises(InputError, match="already"):
        reembed(city.gallery, city.crops, new)
