"""Scopes are narrowed to the grants: never wider, never unlimited, the same answer for all else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.city import Scope, UnitTree
from passerby.service.access import Access, Refusal

CODES = [
    "99",
    *[f"99{d:02d}" for d in (1, 2)],
    *[f"99{d:02d}{s:02d}" for d in (1, 2) for s in (1, 2)],
    *[f"99{d:02d}{s:02d}01" for d in (1, 2) for s in (1, 2)],
    *[f"99{d:02d}{s:02d}01{c:02d}" for d in (1, 2) for s in (1, 2) for c in (1, 2)],
]
LEVELS = {2: "city", 4: "district", 6: "street", 8: "area", 10: "cell"}
LEAVES = [code for code in CODES if len(code) == 10]
CAMERAS = {f"C{i:02d}": leaf for i, leaf in enumerate(LEAVES, start=1)}


@pytest.fixture(scope="module")
def tree() -> UnitTree:
    ring = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    features = [
        {
            "type": "Feature",
            "properties": {
                "code": code,
                "parent": code[:-2] or None,
                "level": LEVELS[len(code)],
                "name": code,
            },
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        for code in CODES
    ]
    return UnitTree.from_geojson({"type": "FeatureCollection", "features": features})


def leaves_of(units: tuple[str, ...]) -> set[str]:
    """The oracle: a leaf is in a unit when its code starts with the unit's."""
    return {leaf for leaf in LEAVES if any(leaf.startswith(unit) for unit in units)}


grants = st.lists(st.sampled_from(CODES), min_size=1, max_size=4).map(tuple)
wishes = st.lists(st.sampled_from([*CODES, "98", "9909"]), max_size=3).map(tuple)


@settings(max_examples=300, deadline=None)
@given(granted=grants, wanted=wishes)
def test_narrowed_is_what_is_wanted_and_granted(
    tree: UnitTree, granted: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    access = Access.of(tree, granted, CAMERAS)
    expected = leaves_of(granted) & leaves_of(wanted) if wanted else leaves_of(granted)
    hopeless = any(not (leaves_of((w,)) & leaves_of(granted)) for w in wanted)
    if hopeless:
        with pytest.raises(Refusal) as refused:
            access.narrow(Scope(units=wanted))
        assert refused.value.status == 404
        return
    narrow = access.narrow(Scope(units=wanted))
    assert narrow.units, "an empty tuple would mean the whole city"
    assert leaves_of(narrow.units) == expected


def test_unknown_and_forbidden_units_get_the_same_answer(tree: UnitTree) -> None:
    access = Access.of(tree, ("9901",), CAMERAS)
    answers = []
    for code in ("9902", "9977", "x"):
        with pytest.raises(Refusal) as refused:
            access.narrow(Scope(units=(code,)))
        answers.append((refused.value.status, refused.value.error, refused.value.what_to_do))
    assert len(set(answers)) == 1


def test_grants_that_no_longer_exist_grant_nothing(tree: UnitTree) -> None:
    access = Access.of(tree, ("77",), CAMERAS)
    with pytest.raises(Refusal):
        access.narrow(Scope())
    assert access.visible_units() == []


def test_a_camera_outside_is_unknown(tree: UnitTree) -> None:
    access = Access.of(tree, ("9901",), CAMERAS)
    outside = next(camera for camera, leaf in CAMERAS.items() if leaf.startswith("9902"))
    with pytest.raises(Refusal) as refused:
        access.narrow(Scope(cameras=(outside,)))
    assert outside not in refused.value.error


def test_the_way_down_to_a_grant_is_shown_but_not_granted(tree: UnitTree) -> None:
    access = Access.of(tree, ("990102",), CAMERAS)
    shown = {unit.code: access.sees(unit.code) for unit in access.visible_units()}
    assert shown["99"] is False
    assert shown["9901"] is False
    assert shown["990102"] is True
    assert not any(code.startswith("9902") or code.startswith("990101") for code in shown)
