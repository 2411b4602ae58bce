"""Charts are well-formed and stand where their axes say."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.visual.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    SHAPES,
    TOP,
    WIDTH,
    Axis,
    Chart,
    nice_ticks,
    number,
    swatch,
)


def chart() -> Chart:
    return Chart(Axis(low=0, high=10, label="x <&>"), Axis(low=-1, high=1, label='"y"'))


def test_corners_are_where_the_axes_end() -> None:
    assert chart().points([0, 10], [-1, 1]) == [
        (LEFT, HEIGHT - BOTTOM),
        (WIDTH - RIGHT, TOP),
    ]


def test_every_mark_is_well_formed_and_texts_are_escaped() -> None:
    drawn = chart()
    drawn.line([0, 5, 10], [0, 1, 0], 1, dashed=True)
    drawn.area([0, 5, 10], [0.2, 0.4], 2)
    drawn.bar(1, 2, 0.5, 3, title="<b>")
    drawn.span(3, 0, 1, 4)
    drawn.ring(3, 0)
    drawn.rule(x=9, text="late & <late>")
    drawn.rule(y=0.5, text="high")
    drawn.diagonal()
    drawn.text(1, 1, "a < b")
    for series, shape in enumerate(SHAPES, start=1):
        drawn.dot(series, 0, series, shape=shape, title="person <1>")
    root = ET.fromstring(drawn.svg('say "this" & <that>'))
    assert root.attrib["aria-label"] == 'say "this" & <that>'
    words = {text.text for text in root.iter("text")}
    assert {"x <&>", '"y"', "late & <late>", "a < b"} <= words
    for kind in ("line", "dashed", "area", *SHAPES):
        ET.fromstring(swatch(1, kind))


@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-6, 1e6),
)
def test_ticks_are_few_and_inside(low: float, span: float) -> None:
    high = low + span
    ticks = nice_ticks(low, high)
    slack = 1e-6 * span + 1e-9
    assert len(ticks) <= 12
    assert all(low - slack <= tick <= high + slack for tick in ticks)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (1500, "1500"), (20000, "20k"), (3e6, "3M"), (5e-5, "5e-5")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_a_flat_axis_draws_nothing_infinite() -> None:
    flat = Chart(Axis(low=1, high=1, label="x"), Axis(low=0, high=1, label="y"))
    assert np.isfinite(flat.points([1], [0.5])).all()
    assert "nan" not in flat.svg("flat")
