"""Dark query pictures: brightened unless switched off, shown before, and in the audit."""

import io
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image

from passerby.ingest.enhancement import TARGET, brightness


def dark_person(ann: Any, person: Any, share: int = 12) -> str:
    """Upload a dark picture of person 1 and return its id."""
    pixels = np.asarray(person(1, 99).convert("RGB")) // share
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, "PNG")
    answer = ann.post("/api/pictures", files={"file": ("q.png", out.getvalue(), "image/png")})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def search(ann: Any, *choices: dict[str, Any]) -> dict[str, Any]:
    answer = ann.post("/api/searches", json={"case": "A-1", "pictures": list(choices)})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_dark_picture_is_brightened_and_the_audit_says_so(
    ann: Any, app: FastAPI, person: Any
) -> None:
    dark, bright = dark_person(ann, person), ann.add_picture()
    both = search(ann, {"id": bright}, {"id": dark})
    off = search(ann, {"id": bright}, {"id": dark, "enhance": "off"})
    assert both["enhanced"] == [False, True]
    assert off["enhanced"] == [False, False]
    similarities = [[one["similarity"] for one in found["matches"]] for found in (both, off)]
    assert similarities[0] != similarities[1]
    searched = [one for one in app.state.service.audit.entries() if one.action == "searched"]
    assert [one.details["enhanced"] for one in searched] == [[False, False], [False, True]]
    assert ann.get(f"/api/searches/{both['id']}").json()["enhanced"] == [False, True]


def test_the_search_can_be_looked_at_before(ann: Any, bob: Any, person: Any) -> None:
    address = f"/api/pictures/{dark_person(ann, person)}/enhanced"
    shown = ann.get(address)
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/jpeg")
    whole = np.asarray(Image.open(io.BytesIO(shown.content)))
    assert whole.shape == (256, 128, 3)
    assert brightness(whole) == pytest.approx(TARGET, abs=5)
    box = {"box": [10, 20, 90, 220]}
    part = Image.open(io.BytesIO(ann.get(address, params=box).content))
    assert part.size == (80, 200)
    assert ann.get(f"/api/pictures/{ann.add_picture()}/enhanced").status_code == 204
    assert bob.get(address).status_code == 404
    for wrong in ([1, 2, 3], [0, 0, 5, 5]):
        refused = ann.get(address, params={"box": wrong})
        assert refused.status_code == 422
        assert "box" in refused.json()["error"]
    answer = ann.get(address, params={"box": ["nan", 0, 90, 200]})
    assert answer.status_code == 422


def test_a_wrong_wish_is_refused(ann: Any, person: Any) -> None:
    choice = {"id": dark_person(ann, person), "enhance": "yes"}
    answer = ann.post("/api/searches", json={"case": "A-1", "pictures": [choice]})
    assert answer.status_code == 422
