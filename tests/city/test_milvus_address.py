"""What a Milvus gallery does without a server: addresses, expressions, rows, ties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.city import Scope
from passerby.city.gallery import AwayError, is_milvus
from passerby.city.gallery.milvus import rescored
from passerby.city.gallery.milvus_link import Link, MilvusAddress
from passerby.city.gallery.milvus_rows import expression, rows, sighting
from passerby.city.gallery.records import Batch
from passerby.errors import InputError
from tests.city.gallery_contract import many
from tests.city.milvus_server import with_settings


def test_an_address_and_its_text() -> None:
    text = "milvus+tls://db.example:19531/city?district=6&replicas=2&consistency=Bounded"
    address = MilvusAddress.parse(text)
    assert (address.host, address.port, address.name) == ("db.example", 19531, "city")
    assert (address.district, address.replicas, address.consistency) == (6, 2, "Bounded")
    assert address.uri == "https://db.example:19531"
    assert str(address) == text
    plain = MilvusAddress.parse("milvus://db.example")
    assert (plain.port, plain.name, str(plain)) == (
        19530,
        "passerby",
        "milvus://db.example:19530/passerby",
    )
    assert is_milvus(text)
    assert not is_milvus("a/folder")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("milvus://h/name?colour=red", "no option 'colour'"),
        ("milvus://h/name?replicas=many", "cannot be read"),
        ("milvus://h/name?replicas=0", "replicas=0"),
        ("milvus://h/a-b", "cannot name"),
        ("milvus://h/n?consistency=Sometimes", "no consistency level"),
        ("milvus://me:secret@h/n", "must not hold a password"),
        ("milvus:///n", "needs a host"),
        ("milvus://h:port/n", "cannot be read"),
        ("http://h/n", "no Milvus address"),
    ],
)
def test_bad_addresses(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        MilvusAddress.parse(text)
    assert "secret" not in str(error.value)


def test_nobody_at_the_address() -> None:
    pytest.importorskip("pymilvus")
    with pytest.raises(AwayError, match=r"127\.0\.0\.1:9 does not answer"):
        Link(MilvusAddress.parse("milvus://127.0.0.1:9/none?patience=0.3"))


def test_expressions() -> None:
    assert expression(Scope(), 4) == ""
    assert expression(Scope(units=("9902", "9901", "9902")), 4) == (
        'district in ["9901", "9902"] and ((unit >= "9901" and unit < "9902") or '
        '(unit >= "9902" and unit < "9903"))'
    )
    assert expression(Scope(units=("99",)), 4) == '((unit >= "99" and unit < "9:"))'
    assert expression(Scope(units=("9901",)), 0) == '((unit >= "9901" and unit < "9902"))'
    assert expression(Scope(cameras=('a "b"',), start=5, end=7, quality=0.3), 4) == (
        'camera in ["a \\"b\\""] and time >= 5 and time < 7 and quality >= 0.3'
    )
    assert expression(Scope(attributes=(("up", "red"), ("up", "blue"), ("bag", "no"))), 4) == (
        '(attributes["bag"] == "no") and (attributes["up"] == "blue" or attributes["up"] == "red")'
    )


codes = st.text("0129", min_size=1, max_size=6)


@given(units=st.lists(codes, min_size=1, max_size=6), code=codes)
def test_the_expression_of_units_holds_for_what_begins_with_one(
    units: list[str], code: str
) -> None:
    """The expression of units happens to be one of Python too."""
    found = expression(Scope(units=tuple(units)), 4)
    assert eval(found, {"unit": code, "district": code[:4]}) == code.startswith(tuple(units))


def test_a_row_and_back() -> None:
    batch = Batch.of(many(40))
    for row, one in zip(rows(batch, 4), batch, strict=True):
        assert row["district"] == one.unit[:4]
        assert sighting(row, "toy") == one
    from dataclasses import replace

    long = Batch.of([replace(many(1)[0], camera="C" * 200)])
    with pytest.raises(InputError, match="camera of sighting 's000000' is longer than the 128"):
        rows(long, 4)


def test_ties_at_the_end_are_not_rescored() -> None:
    query = np.array([1.0, 0.0])
    near = {"entity": {"vector": [1.0, 0.0]}, "distance": 1.0}
    far = {"entity": {"vector": [0.0, 1.0]}, "distance": 0.0}
    assert rescored([{"id": "b", **near}, {"id": "a", **near}], query, 1, 2) is None
    hits = rescored([{"id": "b", **near}, {"id": "a", **near}, {"id": "c", **far}], query, 1, 3)
    assert hits is not None
    assert hits.ids == ("a",)
    hits = rescored([{"id": "b", **near}, {"id": "a", **near}], query, 1, 3)
    assert hits is not None
    assert hits.ids == ("a",)


def test_settings_of_the_server() -> None:
    text = "a:\n  b: 1\n  c:\n    d: 2\ne:\n  b: 3\n"
    changed = with_settings(text, {"e.b": "9", "a.c.x": "4", "a.n.m": "5", "a.c.d": "6"})
    assert changed == "a:\n  n:\n    m: 5\n  b: 1\n  c:\n    x: 4\n    d: 6\ne:\n  b: 9\n"
