"""A contact sheet shows every stored crop of a clip, is audited, and says what is not on it."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from passerby.city import City, Scope
from passerby.city.clips import clips_of
from passerby.cli import main
from passerby.ingest import Detector, contact_sheet, ingest_clip
from passerby.ingest.contact_sheet import CROP, GAP, LINE, WIDTH, write_sheet
from passerby.runtime import Embedder
from passerby.service.audit import Audit
from passerby.service.database import Database

START = "2026-05-01T08:00:00+08:00"


@pytest.fixture
def ingested(city: City, clip: Path, detector: Detector, embedder: Embedder) -> City:
    ingest_clip(city, clip, camera="C01", start=START, detector=detector, embedder=embedder)
    return city


def test_every_crop_is_drawn_once(ingested: City, tmp_path: Path) -> None:
    (record,) = clips_of(ingested)
    found = ingested.gallery.latest(1000, Scope())
    done = write_sheet(ingested, record, tmp_path / "sheet.png")
    assert (done.crops, done.left_out) == (len(found), 0)
    assert done.tracklets == len({one.tracklet for one in found})
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    assert sheet.shape[1] == WIDTH
    rows = sheet.shape[0] // (CROP[1] + 2 * LINE + GAP)
    assert rows >= len(found) * (CROP[0] + GAP) // WIDTH
    for one in found:  # each crop is found on the sheet, pixel for pixel
        with Image.open(ingested.crops.path(one.crop)) as crop:
            crop.thumbnail(CROP)
            wanted = np.asarray(crop.convert("RGB")).astype(int)
        high, wide = wanted.shape[:2]
        tops = range(GAP + LINE, sheet.shape[0] - high, CROP[1] + 2 * LINE + GAP)
        assert any(
            (sheet[y : y + high, x : x + wide] == wanted).all()
            for y in tops
            for x in range(WIDTH - wide)
            if (sheet[y, x] == wanted[0, 0]).all()
        )


def test_what_has_no_room_is_counted(
    ingested: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record,) = clips_of(ingested)
    monkeypatch.setattr(contact_sheet, "MOST", 5)
    done = write_sheet(ingested, record, tmp_path / "sheet.jpg")
    assert (done.crops, done.left_out) == (5, ingested.count() - 5)


def test_the_verb_is_audited_and_wants_a_purpose(
    ingested: City, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (record,) = clips_of(ingested)
    words = ["admin", "clip", "sheet", str(ingested.folder), record.name[:6]]
    out = tmp_path / "sheet.jpg"
    assert main([*words, str(out), "--purpose", " "]) == 2
    assert "--purpose" in capsys.readouterr().err and not out.exists()
    assert main([*words, str(tmp_path / "none" / "a.jpg"), "--purpose", "check"]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert main([*words, str(out), "--purpose", "check the detector", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["crops"] == ingested.count()
    assert out.stat().st_mode & 0o077 == 0, "it shows people"
    with closing(Database.of(ingested)) as database:
        entry = Audit(database, ingested.folder).entries()[0]
    assert entry.action == "clip_sheet_drawn"
    assert entry.details["purpose"] == "check the detector" and entry.account == "(command line)"
