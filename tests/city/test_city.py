import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from passerby.city import City, Scope, Sighting
from passerby.errors import InputError

Maker = Callable[..., list[Sighting]]
JPEG = b"\xff\xd8\xff\xe0 a picture"


def test_a_city_is_read_back(city: City, map_files: dict[str, Any]) -> None:
    again = City.open(city.folder)
    assert list(again.units) == list(city.units)
    assert again.cameras == city.cameras
    assert again.streets.streets == city.streets.streets
    assert again.units.to_geojson()["features"] == sorted(
        map_files["units"]["features"], key=lambda feature: feature["properties"]["code"]
    )
    again.close()


def test_cameras_find_their_cells(city: City) -> None:
    for camera in city.cameras.values():
        assert city.units[camera.unit].level == "cell"
        assert city.units.locate(*camera.place) == city.units[camera.unit]
    assert len({camera.unit for camera in city.cameras.values()}) == 16


def test_sightings_get_the_unit_of_their_camera(city: City, sightings_of: Maker) -> None:
    many = sightings_of(30)
    assert city.add_sightings(many) == 30
    assert city.add_sightings(many) == 0
    for one in city.gallery.get([one.id for one in many]):
        assert one.unit == city.camera(one.camera).unit
    by_unit = sum(city.count(Scope(units=(unit.code,))) for unit in city.units.leaves())
    assert by_unit == city.count() == 30


def test_coverage_names_the_silent(city: City, sightings_of: Maker) -> None:
    many = [one for one in sightings_of(60) if one.camera != "C03"]
    city.add_sightings(many)
    coverage = {one.camera: one.sightings for one in city.coverage()}
    assert set(coverage) == set(city.cameras)
    assert coverage["C03"] == 0
    inside = {one.camera for one in city.coverage(Scope(units=("9901",)))}
    assert inside == {c.id for c in city.cameras.values() if c.unit.startswith("9901")}


def test_errors_are_clear(city: City, sightings_of: Maker, map_files: dict[str, Any]) -> None:
    one = sightings_of(1)[0]
    with pytest.raises(InputError, match="no camera 'Z1' in this city; there are 16"):
        city.add_sightings([replace(one, camera="Z1")])
    with pytest.raises(InputError, match="no unit '98'"):
        city.add_sightings([replace(one, unit="98")])
    with pytest.raises(InputError, match="no unit '98'"):
        city.count(Scope(units=("98",)))
    with pytest.raises(InputError, match="already"):
        City.create(city.folder, **map_files)
    with pytest.raises(InputError, match="no city"):
        City.open(city.folder / "nowhere")
    assert city.count() == 0


def test_a_broken_map_makes_no_city(tmp_path: Path, map_files: dict[str, Any]) -> None:
    features = map_files["cameras"]["features"]
    bad = {"type": "FeatureCollection", "features": [*features, features[0]]}
    with pytest.raises(InputError, match="given twice"):
        City.create(tmp_path / "c", units=map_files["units"], cameras=bad)
    assert not (tmp_path / "c").exists()
    far = {
        "type": "Feature",
        "properties": {"id": "far", "number": 99},
        "geometry": {"type": "Point", "coordinates": [50, 50]},
    }
    bad["features"] = [*features, far]
    with pytest.raises(InputError, match="outside every unit"):
        City.create(tmp_path / "c", units=map_files["units"], cameras=bad)
    City.create(tmp_path / "c", units=map_files["units"], cameras=map_files["cameras"]).close()


def test_crops_go_with_their_sightings(city: City, sightings_of: Maker) -> None:
    many = sightings_of(9)
    crops = [city.crops.put(JPEG + bytes([i // 3])) for i in range(9)]
    city.add_sightings([replace(one, crop=crop) for one, crop in zip(many, crops, strict=True)])
    city.delete([one.id for one in many[:4]])
    city.compact()
    assert crops[0] in city.crops  # young: its sighting might still be on its way
    for name in set(crops):
        os.utime(city.crops.path(name), (0, 0))
    city.compact()
    assert crops[0] not in city.crops
    assert crops[4] in city.crops  # another sighting shows the same picture
    city.drop_before(max(one.time for one in many) + 1)
    assert city.compact() > 0
    assert not any(name in city.crops for name in crops)


def test_settings_are_json(city: City) -> None:
    assert city.setting("retention_days") is None
    city.set_setting("retention_days", 30)
    city.set_setting("retention_days", 14.5)
    city.set_setting("names", {"en": "Town", "zh": "城"})
    with City.open(city.folder) as again:
        assert again.setting("retention_days") == 14.5
        assert again.setting("names") == {"en": "Town", "zh": "城"}
