"""Charts as inline SVG. Colours are CSS classes of the page, for light, dark and print."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

import numpy as np
from numpy.typing import ArrayLike

WIDTH, HEIGHT = 480, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 12, 42
SHAPES = {
    "circle": "M-4.2 0a4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0-8.4 0Z",
    "square": "M-4.2-4.2H4.2V4.2H-4.2Z",
    "triangle": "M0-5.2L5.2 4.2H-5.2Z",
    "diamond": "M0-6.2L5.2 0L0 6.2L-5.2 0Z",
    "cross": "M-4.2-4.2L4.2 4.2M-4.2 4.2L4.2-4.2",
    "plus": "M-5.2 0H5.2M0-5.2V5.2",
}
"""Shape -> path of a mark around (0, 0), pixels."""
SERIES = 8  # colours in the style, s1 .. s8


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis: the values at its ends, its name with the unit, and its ticks.

    Attributes:
        low: Value at the left or lower end.
        high: Value at the other end; larger.
        label: Name and unit.
        ticks: Values to mark; if empty, round values are chosen.
        percent: Write the ticks, which are fractions, in percent.
    """

    low: float
    high: float
    label: str
    ticks: tuple[float, ...] = ()
    percent: bool = False

    def marks(self) -> list[tuple[float, str]]:
        """Return the ticks with their texts."""
        values = self.ticks or nice_ticks(self.low, self.high)
        return [(v, f"{100 * v:.4g}%" if self.percent else number(v)) for v in values]

    def share(self, values: ArrayLike) -> np.ndarray:
        """Convert values to fractions of the axis length."""
        span = self.high - self.low or 1.0
        return (np.asarray(values, dtype=np.float64) - self.low) / span


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart with its texts.

    Attributes:
        title: Subject of the chart.
        says: How to read it.
        svg: The chart as markup.
        legend: Sample (markup) and text of each kind of mark.
    """

    title: str
    says: str
    svg: str
    legend: tuple[tuple[str, str], ...] = ()


class Chart:
    """A chart to draw on, in the units of its two axes."""

    def __init__(self, x: Axis, y: Axis, *, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.x, self.y, self.width, self.height = x, y, width, height
        self._marks: list[str] = []

    def points(self, xs: ArrayLike, ys: ArrayLike) -> list[tuple[float, float]]:
        """Convert values to pixel positions."""
        across = LEFT + self.x.share(xs) * (self.width - LEFT - RIGHT)
        down = self.height - BOTTOM - self.y.share(ys) * (self.height - TOP - BOTTOM)
        pairs = zip(np.atleast_1d(across).tolist(), np.atleast_1d(down).tolist(), strict=True)
        return list(pairs)

    def line(self, xs: ArrayLike, ys: ArrayLike, series: int, *, dashed: bool = False) -> None:
        """Draw a line through points (n,), (n,)."""
        path = _path(self.points(xs, ys))
        self._marks.append(f'<path class="line s{series}{" dashed" * dashed}" d="{path}"/>')

    def area(self, edges: Sequence[float], heights: Sequence[float], series: int) -> None:
        """Draw a histogram as one stepped area: edges (n + 1,), heights (n,)."""
        xs = np.repeat(np.asarray(edges, dtype=np.float64), 2)
        ys = np.concatenate([[self.y.low], np.repeat(heights, 2), [self.y.low]])
        self._marks.append(f'<path class="area s{series}" d="{_path(self.points(xs, ys))}Z"/>')

    def bar(self, low: float, high: float, value: float, series: int, *, title: str = "") -> None:
        """Draw one vertical bar from ``low`` to ``high``."""
        (left, top), (right, foot) = self.points([low, high], [value, self.y.low])
        hint = f"<title>{escape(title)}</title>" if title else ""
        self._marks.append(
            f'<rect class="bar s{series}" x="{left + 0.5:.1f}" y="{top:.1f}" '
            f'width="{max(right - left - 1, 0.5):.1f}" height="{max(foot - top, 0):.1f}">'
            f"{hint}</rect>"
        )

    def dot(
        self, x: float, y: float, series: int, *, shape: str = "circle", title: str = ""
    ) -> None:
        """Draw one mark."""
        ((across, down),) = self.points([x], [y])
        self._marks.append(mark(across, down, series, shape=shape, title=title))

    def span(self, x: float, low: float, high: float, series: int) -> None:
        """Draw a vertical interval at ``x``."""
        (across, down), (_, up) = self.points([x, x], [low, high])
        self._marks.append(_line(f"span s{series}", across, down, across, up))

    def ring(self, x: float, y: float) -> None:
        """Draw a thin ring around a mark."""
        ((across, down),) = self.points([x], [y])
        self._marks.append(f'<circle class="ring" cx="{across:.1f}" cy="{down:.1f}" r="8"/>')

    def rule(self, *, x: float | None = None, y: float | None = None, text: str = "") -> None:
        """Draw a thin line across the whole chart at ``x`` or ``y``, with a text beside it."""
        ends = [self.x.low, self.x.high] if x is None else [x, x]
        ups = [self.y.low, self.y.high] if y is None else [y, y]
        (x0, y0), (x1, y1) = self.points(ends, ups)
        self._marks.append(_line("rule", x0, y0, x1, y1))
        if text:
            late = x1 > self.width * 0.66
            anchor, shift = ("end", -5) if late or x is None else ("start", 5)
            self._marks.append(_text("note", x1 + shift, y1 + 11, text, anchor))

    def diagonal(self) -> None:
        """Draw a thin line from the lower left to the upper right corner."""
        (x0, y0), (x1, y1) = self.points([self.x.low, self.x.high], [self.y.low, self.y.high])
        self._marks.append(_line("rule", x0, y0, x1, y1))

    def text(
        self, x: float, y: float, words: str, *, anchor: str = "start", lift: float = 0
    ) -> None:
        """Draw a text ``lift`` pixels above a point."""
        ((across, down),) = self.points([x], [y])
        self._marks.append(_text("note", across, down - lift, words, anchor))

    def svg(self, description: str) -> str:
        """Return the whole drawing; ``description`` is for screen readers."""
        return (
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(description, quote=True)}">'
            f"{self._frame()}{''.join(self._marks)}</svg>"
        )

    def _frame(self) -> str:
        """Draw axes, ticks, grid and names."""
        right, foot = self.width - RIGHT, self.height - BOTTOM
        parts = []
        for value, text in self.y.marks():
            ((_, y),) = self.points([self.x.low], [value])
            parts.append(_line("grid", LEFT, y, right, y))
            parts.append(_text("tick", LEFT - 7, y + 4, text, "end"))
        for value, text in self.x.marks():
            ((x, _),) = self.points([value], [self.y.low])
            parts.append(_line("grid", x, foot, x, foot + 4))
            parts.append(_text("tick", x, foot + 17, text, "middle"))
        parts.append(_line("axis", LEFT, foot, right, foot))
        parts.append(_text("name", (LEFT + right) / 2, self.height - 6, self.x.label, "middle"))
        name = _text("name", 0, 0, self.y.label, "middle")
        turn = f"translate(12 {(TOP + foot) / 2}) rotate(-90)"
        return "".join([*parts, f'<g transform="{turn}">{name}</g>'])


def _line(kind: str, x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<line class="{kind}" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'


def _text(kind: str, x: float, y: float, words: str, anchor: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(words)}</text>'


def mark(x: float, y: float, series: int, *, shape: str = "circle", title: str = "") -> str:
    """Draw one mark of a scatter plot, centred at pixels (x, y)."""
    hint = f"<title>{escape(title)}</title>" if title else ""
    stroke = " stroke" if shape in ("cross", "plus") else ""
    return (
        f'<path class="mark{stroke} s{series}" transform="translate({x:.1f} {y:.1f})" '
        f'd="{SHAPES[shape]}">{hint}</path>'
    )


def swatch(series: int, kind: str = "line") -> str:
    """Draw a legend's sample: ``"line"``, ``"dashed"``, ``"area"``, or a shape of ``SHAPES``."""
    inner = (
        mark(10, 7, series, shape=kind)
        if kind in SHAPES
        else (
            f'<rect class="area s{series}" x="2" y="2" width="16" height="10"/>'
            if kind == "area"
            else f'<path class="line s{series}{" dashed" * (kind == "dashed")}" d="M1 7L19 7"/>'
        )
    )
    return f'<svg class="swatch" viewBox="0 0 20 14" aria-hidden="true">{inner}</svg>'


def nice_ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """Return about ``count`` round values from ``low`` to ``high``, in steps of 1, 2, 5 * 10^n."""
    span = high - low
    if not (isfinite(span) and span > 0):
        return (low,)
    rough = span / count
    power = 10.0 ** floor(log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = ceil(low / step - 1e-9)
    last = floor(high / step + 1e-9)
    return tuple(round(k * step, 12) for k in range(first, last + 1))


def number(value: float) -> str:
    """Format a tick: short numbers as they are, larger ones with k (thousand) or M (million)."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (abs(value) >= size and letter == "M"):
            return f"{value / size:.4g}{letter}"
    if value and abs(value) < 1e-3:
        mantissa, power = f"{value:.0e}".split("e")
        return f"{mantissa}e{int(power)}"
    return f"{value:.6g}"


def _path(points: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
