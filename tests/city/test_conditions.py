"""Conditions on units: a small language, checked against plain Python; errors that name things."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.city import City
from passerby.city.conditions import choose_units, read_condition
from passerby.city.facts import Fact, add_facts, set_rule
from passerby.errors import InputError


@pytest.fixture
def known(city: City) -> City:
    people = {"990101": 10, "990102": 20, "990201": 30}  # three streets of four
    facts = [Fact(unit=code, name="people", value=float(n)) for code, n in people.items()]
    facts += [Fact(unit=code, name="land use", value="park") for code in ("9901", "990201")]
    add_facts(city, facts)
    set_rule(city, "people", rule="sum")
    return city


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("level = street and people > 15", ["990102", "990201"]),
        ("level = street and not people > 15", ["990101"]),  # not the one without a value
        ("people >= 30 and level in (district, street)", ["9901", "9902", "990201"]),
        ("'land use' = park", ["9901", "990201"]),
        ("level = street AND within = 9901", ["990101", "990102"]),
        ("level = street and (people = 10 or people = 30)", ["990101", "990201"]),
        ("level = district or level = street and people = 10", ["9901", "9902", "990101"]),
        ("code != 99 and level = city", []),
        ("name = 'Unit 9901'", ["9901"]),
    ],
)
def test_what_a_condition_chooses(known: City, text: str, codes: list[str]) -> None:
    found = [unit.code for unit in choose_units(known, text).units]
    assert sorted(found) == sorted(codes)


def test_a_summary_and_the_outermost_units(known: City) -> None:
    found = choose_units(known, "people >= 30")
    assert {unit.code for unit in found.units} == {"99", "9901", "9902", "990201"}
    assert found.outermost == ("99",)
    # 4 streets, 8 areas, 16 cells: 31 units less 1 + 2 + 3 with a value
    assert found.missing == 25
    assert found.summary() == "1 street, 2 districts, 1 city; 25 units lack people"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rain > 2", "no fact 'rain' in this city; there are 2: land use, people"),
        ("level = road", "no level 'road'; there are city, district, street"),
        ("within = 12", "no unit '12'"),
        ("level > street", "only = != in"),
        ("people > many", "compares 'people' with the text 'many'"),
        ("'land use' > 3", "has the text 'park'; texts have only"),
        ("people >", "ends where a number or a text should stand"),
        ("people > 3 during 08:00", "'during' at character 12, where 'and', 'or' or the end"),
        ("people 3", "'3' at character 8, where one of ="),
        ("(people > 3", "ends where '\\)'"),
        ("people > 3; drop", "';' at character 11"),
        ("__import__('os')", "where one of ="),
        ("", "ends where the name of a fact"),
        ("not " * 60 + "people > 1", "nested deeper than 50"),
        ("(" * 60, "nested deeper than 50"),
        ("x" * 3000, "3000 characters"),
    ],
)
def test_a_wrong_condition_is_refused(known: City, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        choose_units(known, text)


def test_units_that_are_not_looked_at_tell_nothing(known: City) -> None:
    found = choose_units(known, "people > 0", among=["9901"])
    assert {unit.code for unit in found.units} == {"9901", "990101", "990102"}
    add_facts(known, [Fact(unit="9902", name="secret", value=1)])
    with pytest.raises(InputError, match="no fact 'secret' in this city; there are 2"):
        choose_units(known, "secret = 1", among=["9901"])
    for code in ("9902", "77"):
        with pytest.raises(InputError, match=f"no unit '{code}' among those"):
            choose_units(known, f"within = {code}", among=["9901"])


@given(text=st.text(alphabet="ab ()=<>!,'\"andornotin1.;_\\\n", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_condition(text)
    except InputError as error:
        assert str(error)
