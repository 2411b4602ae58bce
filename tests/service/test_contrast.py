"""Text can be read in both themes: WCAG 2.2, contrast of at least 4.5."""

import re
from pathlib import Path

import pytest

import passerby.service

CSS = Path(passerby.service.__file__).parent / "static" / "css" / "tokens.css"
PLAIN = ("ground", "surface", "sunken", "raised")
PAIRS = {
    "text": PLAIN,
    "text-2": (*PLAIN, "accent-soft", "warn-soft", "bad-soft", "good-soft"),
    "text-3": PLAIN,
    "accent": (*PLAIN, "accent-soft"),
    "good": ("surface", "good-soft"),
    "bad": ("surface", "bad-soft"),
    "warn": ("surface", "warn-soft"),
    "on-accent": ("accent", "accent-strong"),
    "on-path": ("path",),
}


def tokens(theme: str) -> dict[str, str]:
    """The colours of a theme; the dark one changes some of the light one."""
    light, dark = CSS.read_text(encoding="utf-8").split(':root[data-theme="dark"]')
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    if theme == "dark":
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark))
    return found


def brightness(colour: str) -> float:
    """The relative luminance of "#rrggbb"."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((brightness(one), brightness(other)))
    return (light + 0.05) / (dark + 0.05)


def test_black_on_white() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_stand_out(theme: str) -> None:
    colours = tokens(theme)
    weak = {
        (front, back): round(contrast(colours[front], colours[back]), 2)
        for front, backs in PAIRS.items()
        for back in backs
        if contrast(colours[front], colours[back]) < 4.5
    }
    assert weak == {}
