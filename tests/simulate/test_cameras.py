import numpy as np
import pytest
import shapely

from passerby.errors import InputError
from passerby.simulate.cameras import place_cameras
from passerby.simulate.geometry import direction, to_degrees
from passerby.simulate.options import Difficulty
from passerby.simulate.world import World


def test_cameras_stand_in_their_cell_and_in_every_district(world: World) -> None:
    by_code = {u.code: u for u in world.units}
    for camera in world.cameras:
        point = shapely.Point(to_degrees(camera.place))
        assert by_code[camera.unit].level == "cell"
        assert by_code[camera.unit].polygon.contains(point)
    districts = {u.code for u in world.units if u.level == "district"}
    assert {camera.unit[:4] for camera in world.cameras} == districts


def test_cameras_are_numbered_and_sane(world: World) -> None:
    assert [camera.number for camera in world.cameras] == list(range(1, 9))
    assert [camera.id for camera in world.cameras][:2] == ["C01", "C02"]
    for camera in world.cameras:
        assert 2.8 <= camera.height <= 6.0
        assert 8.0 <= camera.range <= 30.0
        assert 0.0 <= camera.heading < 360.0
        assert 30.0 < camera.field_of_view < 100.0
        assert camera.near < camera.range


def test_projection(world: World) -> None:
    camera = world.cameras[0]
    width, height = camera.frame
    axis = camera.height / np.tan(camera.sensor.tilt)
    middle = camera.project(camera.place + axis * direction(camera.heading))
    np.testing.assert_allclose(middle, [width / 2, height / 2], atol=1e-6)
    ahead = camera.place + 10.0 * direction(camera.heading)
    right = ahead + direction(camera.heading + 90.0)
    assert camera.project(right)[0] > width / 2
    assert camera.project(ahead, 1.7)[1] < camera.project(ahead, 0.0)[1]
    feet = camera.project(camera.place + camera.near * direction(camera.heading))
    assert feet[1] == pytest.approx(height, abs=0.5)
    edge = camera.place + axis * direction(camera.heading)
    edge = edge + direction(camera.heading + 90.0) * np.tan(
        np.radians(camera.field_of_view / 2)
    ) * np.hypot(axis, camera.height)
    assert camera.project(edge)[0] == pytest.approx(width, abs=1e-6)


def test_too_many_cameras(world: World) -> None:
    with pytest.raises(InputError, match="cameras do not fit"):
        place_cameras(
            world.streets,
            world.units,
            count=5000,
            rng=np.random.default_rng(0),
            difficulty=Difficulty(),
        )
