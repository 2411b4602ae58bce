"""Read facts of units from GeoJSON properties, CSV and Parquet; nothing is dropped unsaid."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from passerby.city.facts import ASPECTS, Fact
from passerby.city.units import UnitTree
from passerby.data.delimited import read_delimited
from passerby.errors import InputError
from passerby.files import read_table
from passerby.times import format_time, parse_time

OWN = ("code", "parent", "level", "name", "name_zh")  # what a unit itself has
CODES = ("code", "unit", "unit_code", "unit code", "代码", "编码", "单元代码")
LONG = ("name", "value")  # columns of a table with one fact a row
LONGEST_NAME = 128
EXACT = 2**53  # a larger whole number is not exact as a double
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CODE = re.compile(r"[+-]?0\d+")  # such as 0571; as a number it would lose its zero
_WITH_MEASURE = re.compile(r"(.+?)\s*\[([^\[\]]+)\]")


@dataclass
class Reading:
    """Facts that were read, and what was noticed on the way.

    Attributes:
        facts: By unit, name and date; each once.
        counts: What was noticed, with how often.
        said: What was noticed of the whole file.
    """

    facts: dict[tuple[str, str, str], Fact] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """What was noticed, one sentence each."""
        return [*self.said, *(f"{count} {what}" for what, count in self.counts.items() if count)]

    def add(self, fact: Fact, where: str) -> None:
        """Add a fact.

        Raises:
            InputError: Another value is given for the same unit, name and date.
        """
        key = (fact.unit, fact.name, fact.date)
        known = self.facts.setdefault(key, fact)
        if known.value != fact.value:
            raise InputError(
                f"{where} is '{fact.value}', but '{known.value}' was given before for the same "
                f"unit{' and date' if fact.date else ''}; keep one, or give each a date"
            )
        if known is not fact:
            self.counts["facts are given twice, with the same value"] += 1


# values ------------------------------------------------------------------------------------------


def value_of(given: Any, where: str) -> float | str | None:
    """The value of a cell: a number, a text, or None where it is empty or not a number (NaN).

    A boolean becomes "true" or "false". A whole number that a double does not hold exactly becomes
    text.

    Raises:
        InputError: The number is infinite, or the text cannot be stored.
    """
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, int):
        return float(given) if abs(given) <= EXACT else str(given)
    if isinstance(given, float):
        if math.isinf(given):
            raise InputError(f"{where} is infinite; give a number or leave it empty")
        return None if math.isnan(given) else given
    if isinstance(given, date):
        return given.isoformat()
    if given is None or not str(given).strip():
        return None
    return _storable(str(given).strip(), where)


def name_of(given: Any, where: str) -> str:
    """The name of a fact, without spaces around it.

    Raises:
        InputError: It is empty, too long or cannot be stored.
    """
    name = _storable(str(given).strip(), where)
    if not name:
        raise InputError(f"{where} has no name; give it one")
    if len(name) > LONGEST_NAME:
        raise InputError(
            f"{where} has a name of {len(name)} characters ('{name[:40]}...'); "
            f"at most {LONGEST_NAME} are stored: shorten it"
        )
    return name


def date_of(given: Any, where: str) -> str:
    """The date of a fact as text, empty where none is given.

    Raises:
        InputError: It is no date.
    """
    if isinstance(given, datetime):
        if given.tzinfo is None:
            given = given.date()
        else:
            return format_time(parse_time(given))
    if isinstance(given, date):
        return given.isoformat()
    text = "" if given is None else str(given).strip()
    if not text or (_DATE.fullmatch(text) and _is_day(text)):
        return text
    try:
        return format_time(parse_time(text))
    except InputError:
        raise InputError(
            f"{where} has the date '{text}'; write 2020, 2020-11, 2020-11-01 or a time with zone"
        ) from None


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text if len(text) == 10 else f"{text}-01-01"[:10])
    except ValueError:
        return False
    return True


def _storable(text: str, where: str) -> str:
    if "\0" in text or (not text.isascii() and text != text.encode("utf-8", "replace").decode()):
        raise InputError(f"{where} holds characters that are no text; correct the file")
    return text


def number_in(text: str, *, decimal_comma: bool = False) -> Any:
    """The number that a text writes, else the text: "0571" keeps its zero and stays a text."""
    plain = text.strip()
    if decimal_comma and "." not in plain and plain.count(",") == 1:
        plain = plain.replace(",", ".")
    if _CODE.fullmatch(plain) or not _NUMBER.fullmatch(plain):
        return text
    return int(plain) if plain.lstrip("+-").isdigit() else float(plain)


# GeoJSON -----------------------------------------------------------------------------------------


def facts_of_features(features: Iterable[Mapping[str, Any]], source: str) -> Reading:
    """Take every property of units beside their own as a fact.

    A property may be a value; an object with ``value`` and any of ``measure``, ``date`` and
    ``source``, or a list of such objects; another object, whose members become facts named
    ``outer.inner``; or another list, which is kept as JSON text.

    Args:
        features: Features of units.
        source: The source of what names none.

    Raises:
        InputError: A value cannot be stored; the error names unit and property.
    """
    out = Reading()
    for feature in features:
        properties = feature.get("properties") or {}
        unit = str(properties.get("code"))
        for name, given in properties.items():
            if name not in OWN:
                where = f"the property '{name}' of the unit '{unit}'"
                fact = Fact(unit=unit, name=name_of(name, where), value="", source=source)
                _take(out, fact, given, where)
    return out


def _take(out: Reading, fact: Fact, given: Any, where: str) -> None:
    if isinstance(given, Mapping) and "value" in given and given.keys() <= set(ASPECTS):
        value = given["value"]
        if isinstance(value, Mapping | list):
            out.counts["lists or objects are kept as JSON text"] += 1
            value = json.dumps(value, ensure_ascii=False)
        _put(out, fact, {**given, "value": value}, where)
    elif isinstance(given, Mapping):
        out.counts["properties are objects; their members are facts named outer.inner"] += 1
        for name, inner in given.items():
            nested = name_of(f"{fact.name}.{name}", where)
            _take(out, replace(fact, name=nested), inner, f"{where}, member '{name}',")
    elif isinstance(given, list) and given and all(_whole(one) for one in given):
        for one in given:
            _take(out, fact, one, where)
    elif isinstance(given, list):
        out.counts["lists or objects are kept as JSON text"] += 1
        _put(out, fact, {"value": json.dumps(given, ensure_ascii=False)}, where)
    else:
        _put(out, fact, {"value": given}, where)


def _whole(given: Any) -> bool:
    return isinstance(given, Mapping) and "value" in given and given.keys() <= set(ASPECTS)


def _put(out: Reading, fact: Fact, given: Mapping[str, Any], where: str) -> None:
    """Add a fact with the aspects that are given, unless it has no value."""
    value = value_of(given["value"], where)
    if value is None:
        out.counts["empty values are left out"] += 1
        return
    full = replace(
        fact,
        value=value,
        measure=_storable(str(given.get("measure") or fact.measure).strip(), where),
        date=date_of(given.get("date") or fact.date, where),
        source=_storable(str(given.get("source") or fact.source).strip(), where),
    )
    out.add(full, where)


# tables ------------------------------------------------------------------------------------------


def read_facts_file(
    path: Path,
    tree: UnitTree,
    *,
    source: str = "",
    date: str = "",
    skip_unknown: bool = False,
) -> Reading:
    """Read facts from a CSV, Parquet or GeoJSON file.

    A table has a column ``code`` with the units' codes. In a wide one every other column is a
    fact; "density [people/km2]" has its measure in square brackets. A long one has the columns
    ``name`` and ``value``. Both may have ``date`` and ``source``, a long one also ``measure``.

    Args:
        path: The file; its ending decides: .parquet, .geojson or .json, else delimited text.
        tree: The city's units.
        source: The source of what names none; without it the file's name.
        date: The date of what has none.
        skip_unknown: Leave out rows of units that the city does not have, and count them.

    Raises:
        InputError: The file cannot be read, lacks a column, or names a unit that is not there.
    """
    source = source or path.name
    kind = path.suffix.lower()
    if kind in (".geojson", ".json"):
        from passerby.city import geojson

        known = list(_known(geojson.features(path, "units"), tree, path, skip_unknown))
        out = facts_of_features((one for one in known if one), source)
        out.counts["units that this city does not have are left out"] += known.count(None)
    else:
        table = _parquet(path) if kind == ".parquet" else _delimited(path)
        out = _facts_of_table(table, path, tree, source=source, skip_unknown=skip_unknown)
    if date:
        day = date_of(date, "the option date")
        undated = [one for one in out.facts.values() if not one.date]
        for one in undated:
            del out.facts[(one.unit, one.name, "")]
            dated = replace(one, date=day)
            out.add(dated, f"the fact '{one.name}' of the unit '{one.unit}'")
    if not out.facts:
        raise InputError(f"'{path}' holds no fact; it needs a column beside the units' codes")
    return out


def _known(
    features: list[dict[str, Any]], tree: UnitTree, path: Path, skip: bool
) -> Iterator[dict[str, Any] | None]:
    """The features of units that the city has; None for one that is left out."""
    for number, feature in enumerate(features, start=1):
        code = str((feature.get("properties") or {}).get("code", ""))
        if code in tree:
            yield feature
        elif skip:
            yield None
        else:
            raise _unknown(code, f"'{path}' feature {number}", tree)


def _unknown(code: str, where: str, tree: UnitTree) -> InputError:
    some = ", ".join(unit.code for unit, _ in zip(tree, range(8), strict=False))
    return InputError(
        f"{where} names the unit '{code}'; this city has {len(tree)}: {some}"
        f"{' ...' if len(tree) > 8 else ''}; correct it, or leave such rows out: --skip-unknown"
    )


@dataclass(frozen=True, kw_only=True)
class _Table:
    header: list[str]
    rows: Iterable[Sequence[Any]]
    lines: Sequence[int]  # what a row is called in an error
    notes: tuple[str, ...] = ()


def _delimited(path: Path) -> _Table:
    read = read_delimited(path, lambda names: sum(1 for name in names if name.strip()))
    rows = (
        [number_in(cell, decimal_comma=read.decimal_comma) for cell in row] for row in read.rows
    )
    return _Table(header=read.header, rows=_coded(rows, read), lines=read.lines, notes=read.notes)


def _coded(rows: Iterable[list[Any]], read: Any) -> Iterator[list[Any]]:
    """Rows whose codes, dates and names are the texts of the file, not numbers."""
    names = {*CODES, "date", "source", "name", "measure"}
    texts = [at for at, name in enumerate(read.header) if name.strip().lower() in names]
    for row, cells in zip(rows, read.rows, strict=True):
        for at in texts:
            row[at] = cells[at].strip()
        yield row


def _parquet(path: Path) -> _Table:
    table = read_table(path)
    columns = [column.to_pylist() for column in table.columns]
    rows = zip(*columns, strict=True)
    return _Table(header=table.column_names, rows=rows, lines=range(1, table.num_rows + 1))


def _facts_of_table(
    table: _Table, path: Path, tree: UnitTree, *, source: str, skip_unknown: bool
) -> Reading:
    header = [name.strip() for name in table.header]
    at = {name.lower(): column for column, name in enumerate(header)}
    twice = [name for name, count in Counter(map(str.lower, header)).items() if count > 1]
    if twice:
        raise InputError(f"'{path}' has the column '{twice[0]}' twice; rename one")
    code = next((at[name] for name in CODES if name in at), None)
    if code is None:
        raise InputError(
            f"'{path}' has no column 'code' with the units' codes; it has {', '.join(header)}"
        )
    out = Reading(said=list(table.notes))
    take = _long if at.keys() >= {*LONG} else _wide
    extra = at.keys() - {header[code].lower(), *LONG, *ASPECTS}
    if take is _long and extra:
        raise InputError(
            f"'{path}' has one fact a row (columns name and value), and its column "
            f"'{min(extra)}' has no place in one; it may have {', '.join(ASPECTS)}: rename it"
        )
    own = [name for name in header if name.lower() in OWN and name.lower() not in CODES]
    if take is _wide and own:
        out.said.append(f"the columns {', '.join(own)} are the unit's own and are no facts")
    for line, row in zip(table.lines, table.rows, strict=True):
        unit, where = _text(row[code]), f"'{path}' row {line}"
        if unit not in tree:
            if not skip_unknown:
                raise _unknown(unit, where, tree)
            out.counts["rows of units that this city does not have are left out"] += 1
            continue
        take(out, Fact(unit=unit, name="", value="", source=source), header, row, where)
    return out


def _text(given: Any) -> str:
    return "" if given is None else str(given).strip()


def _long(out: Reading, fact: Fact, header: list[str], row: Sequence[Any], where: str) -> None:
    cells = {name.lower(): cell for name, cell in zip(header, row, strict=True)}
    name = name_of(_text(cells["name"]), where)
    if isinstance(cells["value"], str):  # a column of one type holds numbers beside texts
        cells["value"] = number_in(cells["value"])
    _put(out, replace(fact, name=name), cells, f"{where}, fact '{name}',")


def _wide(out: Reading, fact: Fact, header: list[str], row: Sequence[Any], where: str) -> None:
    cells = {name.lower(): cell for name, cell in zip(header, row, strict=True)}
    shared = {"date": cells.get("date"), "source": cells.get("source")}
    for column, given in zip(header, row, strict=True):
        if column.lower() in (*CODES, *OWN, *shared):
            continue
        found = _WITH_MEASURE.fullmatch(column)
        name, measure = found.groups() if found else (column, "")
        place = f"{where}, column '{column}',"
        bare = replace(fact, name=name_of(name, place))
        if isinstance(given, Mapping | list):
            _take(out, bare, given, place)
        else:
            _put(out, bare, {"value": given, "measure": measure, **shared}, place)
