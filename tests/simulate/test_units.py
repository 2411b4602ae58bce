import numpy as np
import pytest
import shapely

from passerby.simulate.geometry import METRES_PER_DEGREE
from passerby.simulate.layout import plan
from passerby.simulate.streets import build_streets
from passerby.simulate.units import LEVELS, Unit, build_units
from passerby.simulate.world import World


def check(units: list[Unit]) -> None:
    """Every level tiles the one above, vertex by vertex."""
    children: dict[str, list[Unit]] = {}
    for unit in units:
        if unit.parent is not None:
            children.setdefault(unit.parent, []).append(unit)
    for unit in units:
        assert unit.polygon.geom_type == "Polygon"
        assert unit.polygon.is_valid
        assert unit.polygon.exterior.is_ccw
        own = children.get(unit.code, [])
        assert bool(own) == (unit.level != "cell")
        if own:
            polygons = [child.polygon for child in own]
            assert shapely.coverage_is_valid(polygons)
            assert shapely.coverage_union_all(polygons).equals(unit.polygon)


def test_units_nest_and_tile(world: World) -> None:
    check(world.units)
    for level in LEVELS:
        own = [u for u in world.units if u.level == level]
        assert shapely.coverage_is_valid([u.polygon for u in own])
        assert all(len(u.code) == 2 * (LEVELS.index(level) + 1) for u in own)


@pytest.mark.parametrize("seed", range(3))
def test_units_of_other_cities_nest_and_tile(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layout = plan(1300.0, rng)
    units = build_units(build_streets(layout, rng), layout.river, rng)
    check(units)
    districts = [u.polygon.area for u in units if u.level == "district"]
    assert min(districts) > 0.1 * sum(districts)


def test_codes_extend_the_parent(world: World) -> None:
    codes = [u.code for u in world.units]
    assert codes[0] == "99"
    assert len(set(codes)) == len(codes)
    assert all(u.parent in codes for u in world.units[1:])
    assert codes == sorted(codes)  # parents before children, in order


def test_cells_are_about_ninety_metres(world: World) -> None:
    areas = np.array([u.polygon.area for u in world.units if u.level == "cell"])
    square = 90.0**2 / np.prod(METRES_PER_DEGREE)
    assert areas.min() > 0.25 * square
    assert areas.max() < 2.0 * square


def test_units_have_two_names(world: World) -> None:
    for unit in world.units:
        assert unit.name and unit.name_zh
    for level in ("district", "street", "area"):
        own = [u.name for u in world.units if u.level == level]
        assert len(set(own)) == len(own)
