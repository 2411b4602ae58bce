"""The table is well formed, says nothing it cannot know, and fits what the converter says."""

import copy
import tomllib
from dataclasses import fields
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

import pytest

from passerby.errors import InputError
from passerby.models import ModelCard, zoo
from passerby.models.zoo import table

# names that package managers install from; a network comes from its authors' own pages
REGISTRIES = ("pypi", "pythonhosted", "npmjs", "crates.io", "conda", "ghcr", "docker")


def test_every_network_has_a_source_terms_and_a_page() -> None:
    entries = zoo.entries()
    assert len(entries) >= 100
    for entry in entries.values():
        assert bool(entry.files) != bool(entry.by_hand), entry.name
        assert entry.trained_on, entry.name
        assert all(entry.data_terms.values()), entry.name
        assert entry.licence
        addresses = [entry.page, entry.code, *(f.address for f in entry.files), entry.by_hand]
        for address in filter(None, addresses):
            parts = urlsplit(address)
            assert parts.scheme == "https", address
            assert not any(name in parts.netloc for name in REGISTRIES), address
        for mean_ap, rank1 in entry.published.values():
            assert 0 < mean_ap < rank1 + 1 < 101, entry.name


def test_no_address_is_used_twice_but_archives() -> None:
    seen: dict[str, str] = {}
    for entry in zoo.entries().values():
        places = [f.address for f in entry.files] or ([] if entry.inside else [entry.by_hand])
        for place in places:
            assert place not in seen, f"{entry.name} and {seen.get(place)}"
            seen[place] = entry.name


def test_facts_make_a_card() -> None:
    names = {field.name for field in fields(ModelCard)}
    for entry in zoo.entries().values():
        assert entry.card.keys() <= names
        ModelCard(**{"architecture": "any", "dimension": 8, **entry.card})


def test_facts_of_each_toolbox() -> None:
    """Mistakes that many users make."""
    assert zoo.find("person-reidentification-retail-0288").card["colour_order"] == "BGR"
    assert zoo.find("fastreid-bot-r50-market").card["interpolation"] == "bicubic"
    assert zoo.find("fastreid-bot-r50-market").card["input_size"] == (256, 128)
    assert zoo.find("fastreid-sbs-r50-market").card["input_size"] == (384, 128)
    assert zoo.find("osnet-x1-0-market").card["interpolation"] == "bilinear"
    assert zoo.find("transreid-vit-market").card["mean"] == (0.5, 0.5, 0.5)
    assert zoo.find("solider-swin-base-luperson").card["input_size"] == (384, 128)


def test_no_such_network() -> None:
    with pytest.raises(InputError, match="did you mean osnet-x1-0-market"):
        zoo.find("osnet-x1-0-markt")
    with pytest.raises(InputError, match="passerby models list"):
        zoo.find("?")


def first_table() -> tuple[dict[str, Any], dict[str, str]]:
    here = resources.files(zoo.__name__)
    read = tomllib.loads((here / "tables" / "torchreid.toml").read_text(encoding="utf-8"))
    terms = tomllib.loads((here / "data_terms.toml").read_text(encoding="utf-8"))
    return {**read, "networks": read["networks"][:1]}, terms


def test_a_table_with_a_fault_is_told() -> None:
    good, terms = first_table()
    assert table.read_table(good, terms)
    faults: list[tuple[dict[str, Any], str]] = [
        ({"digest": "sha256:unknown"}, "not a digest"),
        ({"file": ""}, "either files or a page|not an HTTPS"),
        ({"name": "Not A Name"}, "lower-case"),
        ({"drive": "abc"}, "either files or a page"),
        ({"card": {"dpi": 3}}, "'dpi'"),
    ]
    for fault, message in faults:
        bad = copy.deepcopy(good)
        bad["networks"][0].update(fault)
        if fault.get("file") == "":
            bad["base"] = "http://example.org/"
        with pytest.raises(ValueError, match=message):
            table.read_table(bad, terms)
