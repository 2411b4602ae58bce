"""The file as a whole: complete in itself, escaped, and holding what was asked for."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from passerby.data import CropTable
from passerby.errors import InputError
from passerby.metrics import Reranking
from passerby.models import ModelCard, build
from passerby.visual import ReportOptions, Results, Subject, collect_results, write_report
from tests.visual.conftest import Embed

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags close, and keeps what a page could load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        self.sources += [str(values[key]) for key in ("src", "data", "srcset") if key in values]
        self.links += [str(values["href"])] if "href" in values else []
        self.ids |= {str(values["id"])} if "id" in values else set()
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def subject() -> Subject:
    card = ModelCard(
        architecture="slim18",
        dimension=256,
        input_size=(64, 32),
        training={"recipe": "bag-of-tricks", "options": {"seed": 5}},
        calibration={"slope": 9.0, "intercept": -4.5},
        notes="<script>alert('card')</script>",
    )
    return Subject(
        card=card,
        model="net.safetensors",
        model_id="slim18-0123456789ab",
        runtime="torch",
        data="<img src=x onerror=alert(1)>",
        commit="abc123",
        date="2030-05-06 08:00+08:00",
        machine="a computer",
    )


def test_a_report_is_complete_in_itself(
    results: Results, subject: Subject, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "report.html"
    sections: list[str] = []
    left_out = write_report(
        out,
        results,
        subject,
        options=ReportOptions(top=5, queries=6, people=4, activation_maps=2),
        network=build("slim18").eval(),
        log=folder / "log.jsonl",
        on_section=sections.append,
    )
    text = out.read_text("utf-8")
    page = Page(text)
    assert left_out == ()
    assert "script" not in page.tags
    assert page.sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert {
        "lists",
        "cameras",
        "failures",
        "map",
        "activation-maps",
        "training",
        "card",
    } <= page.ids
    assert not re.search(r"https?://|url\(|@import", text)
    assert f"{100 * results.report.mAP:.1f}" in text
    for said in ("abc123", "2030-05-06 08:00+08:00", "a computer", "slim18-0123456789ab"):
        assert said in text
    assert "&lt;img src=x" in text
    assert "&lt;script&gt;alert" in text
    assert sections[0] == "rank lists"
    assert list(out.parent.iterdir()) == [out]


def test_what_cannot_be_shown_is_said(results: Results, subject: Subject, tmp_path: Path) -> None:
    bare = replace(subject, card=replace(subject.card, calibration=None))
    options = ReportOptions(top=3, rows=(0, 5), people=2, activation_maps=1)
    said = " ".join(write_report(tmp_path / "r.html", results, bare, options=options))
    for reason in ("OpenVINO", "calibration", "--run"):
        assert reason in said
    text = (tmp_path / "r.html").read_text("utf-8")
    page = Page(text)
    assert not {"activation-maps", "training"} & page.ids
    assert "Chosen queries" in text
    assert "no calibration" in text


def test_a_reranked_report_shows_both_scores(
    results: Results, subject: Subject, table: CropTable, embed: Embed, tmp_path: Path
) -> None:
    again = collect_results(table, embed, reranking=Reranking(k1=6, k2=3))
    write_report(tmp_path / "r.html", again, subject, options=ReportOptions(top=3, queries=3))
    text = (tmp_path / "r.html").read_text("utf-8")
    Page(text)
    assert f"{100 * results.report.mAP:.1f}% before re-ranking" in text
    assert "Re-ranking changes mAP by" in text


def test_a_place_that_cannot_be_written_leaves_nothing(
    results: Results, subject: Subject, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    options = ReportOptions(top=1, queries=1, people=2)
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tmp_path / "file" / "r.html", results, subject, options=options)
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tmp_path, results, subject, options=options)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}.*"))


def test_a_missing_crop_is_named(results: Results, subject: Subject, tmp_path: Path) -> None:
    lost = replace(results, gallery=replace(results.gallery, root=tmp_path))
    with pytest.raises(InputError, match=r"g\d+_\d_\d\.jpg"):
        write_report(tmp_path / "r.html", lost, subject, options=ReportOptions(top=2, queries=1))
