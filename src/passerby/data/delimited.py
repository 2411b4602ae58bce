"""Delimited text as spreadsheets write it: any encoding, any delimiter, quotes, blank rows."""

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from passerby.errors import InputError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SEP_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # a spreadsheet's first line


@dataclass(frozen=True)
class Delimited:
    """The rows of a delimited file.

    Attributes:
        header: Names of the columns, as written.
        rows: Fields of each row that is not blank.
        lines: The number of each row as a spreadsheet counts, the header's being 1 as a rule.
        notes: What was recognised: the encoding, the delimiter, blank rows.
        decimal_comma: Whether a comma may be a decimal point.
    """

    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    notes: tuple[str, ...]
    decimal_comma: bool


def read_delimited(path: Path, known: Callable[[Iterable[str]], int]) -> Delimited:
    """Read a delimited file; the delimiter is the one that gives the most ``known`` columns.

    Args:
        path: The file.
        known: Counts the names of a header that mean something.

    Raises:
        InputError: The file cannot be read, is no text, or its rows do not match the header.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the table '{path}': {error.strerror or error}") from None
    text, encoding = decode(data, path)
    heads = [line.strip() for line in re.split(r"[\r\n]+", text[:100_000]) if line.strip()][:2]
    start = _SEP_LINE.fullmatch(heads[0]) if heads else None
    first = heads[-1] if start else "".join(heads[:1])
    found = {d: known(_split([first], d, path)[0][1]) for d in DELIMITERS if first}
    delimiter = start[1] if start else max(found, key=lambda d: found[d], default=",")
    table = [
        (line, row)
        for line, row in _split(io.StringIO(text, newline=""), delimiter, path)
        if not (line == 1 and start)
    ]
    full = [(line, row) for line, row in table if any(field.strip() for field in row)]
    header = [name.strip() for name in full[0][1]] if full else []
    while header and not header[-1]:
        header.pop()
    rows = [(line, _fit(row, header, line, path)) for line, row in full[1:]]
    notes = [encoding] if encoding else []
    if delimiter != ("\t" if path.suffix.lower() == ".tsv" else ","):
        notes.append(f"its columns are separated by {DELIMITERS.get(delimiter, repr(delimiter))}")
    if blank := len(table) - len(full):
        notes.append(f"{blank} blank lines are left out")
    lines = [line for line, _ in rows]
    return Delimited(header, [row for _, row in rows], lines, tuple(notes), delimiter != ",")


def decode(data: bytes, path: Path) -> tuple[str, str]:
    """Decode text by its bytes; return it, and a note where it is not UTF-8.

    UTF-16 is recognised by its mark or its zero bytes. Of the encodings without a mark, GBK (GB
    18030) has its high bytes in pairs as a rule, and Windows-1252 has single ones.

    Raises:
        InputError: The bytes are no text.
    """
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputError(f"'{path}' is a spreadsheet or an archive, not text; save it as CSV UTF-8")
    wide = _utf16(data)
    high = [len(run) for run in re.findall(rb"[\x80-\xff]+", data)]
    # in GB 18030 the second byte of a pair may be a letter's: then a run is odd, in few pairs
    paired = sum(length % 2 for length in high) * 4 <= len(high)
    tries = (
        [wide]
        if wide
        else ["utf-8-sig", *(["gb18030", "cp1252"] if paired else ["cp1252", "gb18030"])]
    )
    for encoding in tries:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        if encoding == "utf-8-sig":
            return text, ""
        sure = "" if wide else "; save it as UTF-8 if names look wrong"
        return text.removeprefix(
            "\ufeff"
        ), f"its text is not UTF-8 and is read as {_NAMES[encoding]}{sure}"
    raise InputError(
        f"'{path}' is not text in UTF-8, UTF-16, GBK or Windows-1252; save it as CSV UTF-8"
    )


_NAMES = {
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "gb18030": "GBK (GB 18030)",
    "cp1252": "Windows-1252",
}


def _utf16(data: bytes) -> str | None:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    head = data[:1000]
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if zeros and zeros.count(0) * 2 > len(zeros):
            return encoding
    return None


def _split(lines: Iterable[str], delimiter: str, path: Path) -> list[tuple[int, list[str]]]:
    # strict: a quote that is never closed would swallow the rest of the file
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            rows.append((len(rows) + 1, row))
    except csv.Error as error:
        if isinstance(lines, list):  # the first line alone, of which a quoted name may go on
            return [(1, lines[0].split(delimiter))]
        line = len(rows) + 1
        raise InputError(
            f"'{path}' line {line} cannot be read: {error}; a quote in it is not closed, or "
            "stands in the middle of a value: write it twice"
        ) from None
    return rows


def _fit(row: list[str], header: list[str], line: int, path: Path) -> list[str]:
    """Bring a row to the header's length where only blank fields are too many."""
    extra = list(itertools.dropwhile(lambda field: not field.strip(), reversed(row[len(header) :])))
    if len(row) < len(header) or extra:
        raise InputError(
            f"'{path}' line {line} has {len(row)} fields, the header {len(header)} "
            f"({', '.join(header)}); quote values that hold a delimiter"
        )
    return row[: len(header)]
