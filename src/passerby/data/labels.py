"""Labels of people and cameras, in any writing, as numbers that keep their names."""

import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.data.table import DISTRACTOR, JUNK, Finding
from passerby.errors import InputError

# what spreadsheets and data frames write for "no value"
BLANK = frozenset({"", "nan", "NaN", "none", "None", "null", "NULL", "N/A", "#N/A", "NA", "<NA>"})
_WHOLE = re.compile(r"[+-]?[0-9]+(\.0*)?")
_FRACTION = re.compile(r"[+-]?[0-9]*[.,][0-9]+|[+-]?inf(inity)?", re.IGNORECASE)
# a spreadsheet writes a long number so, and the digits it leaves out are lost
_SHORTENED = re.compile(r"[+-]?[0-9]([.,][0-9]+)?E[+-]?[0-9]+", re.IGNORECASE)
_EXACT = 2**53  # whole numbers up to here are exact as floats
_LARGEST = 2**63 - 1

Place = Callable[[int], str]
"""Names the place of a row in an error, such as ``'own.csv' line 3``."""


@dataclass(frozen=True)
class Labels:
    """Numbers for labels.

    Attributes:
        numbers: (N,) int64.
        names: Number -> label, where labels are no numbers.
        findings: What was noticed: blank labels, labels that differ in case alone, or are one.
    """

    numbers: NDArray[np.int64]
    names: dict[int, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def number_people(labels: Sequence[Any], place: Place) -> Labels:
    """Number the labels of people.

    -1 (junk) and 0 (distractor) keep their meaning in every writing: ``-1.0``, ``0000``. Blank
    labels are junk, and this is reported. If all others are whole numbers, these are the
    identities. Else the others are numbered from 1 in alphabetical order.

    Raises:
        InputError: No row has a label, or a label is a number that cannot be one of a person.
    """
    texts = [_text(label, row, place, "identity") for row, label in enumerate(labels)]
    blank = [row for row, text in enumerate(texts) if text in BLANK]
    if blank and len(blank) == len(texts):
        raise InputError(
            f"{place(blank[0])} has no identity, and no other row has; fill the column in, "
            "with -1 for unknown people"
        )
    for row in blank:
        texts[row] = str(JUNK)
    found = _number(texts, place, "identity", (JUNK, DISTRACTOR))
    low = np.flatnonzero(found.numbers < JUNK)
    if len(low):
        raise InputError(
            f"{place(int(low[0]))} has the identity {found.numbers[low[0]]}; use -1 for junk, 0 "
            "for distractors, positive numbers or names for people"
        )
    merged = _merged(labels, found.numbers, "identity", (JUNK, DISTRACTOR))
    return Labels(found.numbers, found.names, (*_blank(blank, place), *found.findings, *merged))


def number_cameras(labels: Sequence[Any], place: Place) -> Labels:
    """Number the labels of cameras: as they are, or all from 1 in alphabetical order.

    Raises:
        InputError: A row has no camera, or one that is a fraction.
    """
    texts = [_text(label, row, place, "camera") for row, label in enumerate(labels)]
    blank = next((row for row, text in enumerate(texts) if text in BLANK), None)
    if blank is not None:
        raise InputError(
            f"{place(blank)} has no camera; name its camera, or give all rows 0 if none is known"
        )
    found = _number(texts, place, "camera", ())
    merged = _merged(labels, found.numbers, "camera", ())
    return Labels(found.numbers, found.names, (*found.findings, *merged))


def _number(texts: list[str], place: Place, what: str, kept: tuple[int, ...]) -> Labels:
    whole = [_whole(text) for text in texts]
    if None not in whole:
        return Labels(np.array(whole, dtype=np.int64))
    named = {text for text, number in zip(texts, whole, strict=True) if number not in kept}
    row = next((row for row, text in enumerate(texts) if _FRACTION.fullmatch(text)), None)
    if row is not None and all(_WHOLE.fullmatch(t) or _FRACTION.fullmatch(t) for t in named):
        raise InputError(f"{place(row)} has the {what} {texts[row]}; give a whole number or a name")
    order = {text: number for number, text in enumerate(sorted(named), 1)}
    numbers = [
        number if number in kept and number is not None else order[text]
        for text, number in zip(texts, whole, strict=True)
    ]
    names = {number: text for text, number in order.items()}
    return Labels(np.array(numbers, dtype=np.int64), names, tuple(_alike(list(order), what)))


def _text(label: Any, row: int, place: Place, what: str) -> str:
    """Return a label as text in one writing; a whole float as a whole number."""
    if label is None:
        return ""
    if isinstance(label, float):
        if math.isnan(label):
            return ""
        if label.is_integer() and abs(label) >= _EXACT:
            raise InputError(
                f"{place(row)} has the {what} {label!r}, which a float does not hold exactly; "
                "write the column as whole numbers or text"
            )
        return str(int(label)) if label.is_integer() else repr(label)
    # file names of a Mac write an accent as a letter of its own
    text = unicodedata.normalize("NFC", str(label)).strip()
    if _SHORTENED.fullmatch(text):
        raise InputError(
            f"{place(row)} has the {what} {text}, a number that a spreadsheet has shortened; "
            "format the column as text and save again"
        )
    return text


def _whole(text: str) -> int | None:
    if not _WHOLE.fullmatch(text):
        return None
    number = int(text.partition(".")[0])
    return number if abs(number) <= _LARGEST else None


def _blank(rows: list[int], place: Place) -> list[Finding]:
    if not rows:
        return []
    return [
        Finding(
            level="warning",
            code="blank-identity",
            text=f"{len(rows)} rows have no identity and are read as junk (-1), which counts "
            f"nowhere; the first is {place(rows[0])}; fill them in, or write -1",
            items=tuple(place(row) for row in rows),
        )
    ]


def _merged(
    labels: Sequence[Any], numbers: NDArray[np.int64], what: str, kept: tuple[int, ...]
) -> list[Finding]:
    """Say which labels are read as one: ``0007`` and ``7``, an accent in two encodings."""
    written: dict[int, set[str]] = defaultdict(set)
    for label, number in zip(labels, numbers.tolist(), strict=True):
        if isinstance(label, str) and number not in kept:
            written[number].add(label.strip())
    several = [" / ".join(sorted(ways)) for ways in written.values() if len(ways) > 1]
    if not several:
        return []
    return [
        Finding(
            level="warning",
            code="merged-labels",
            text=f"{len(several)} labels of the column {what} are written in several ways and are "
            f"read as one ({several[0]}); write them differently if they are not one",
            items=tuple(several),
        )
    ]


def _alike(labels: list[str], what: str) -> list[Finding]:
    groups = defaultdict(list)
    for label in labels:
        groups["".join(label.casefold().split())].append(label)
    alike = [" / ".join(group) for group in groups.values() if len(group) > 1]
    if not alike:
        return []
    return [
        Finding(
            level="warning",
            code="similar-labels",
            text=f"{len(alike)} labels of the column {what} differ in case or spaces alone "
            f"({alike[0]}); they are read as different ones: write them alike if they are one",
            items=tuple(alike),
        )
    ]
