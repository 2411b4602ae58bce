"""``passerby admin units``: list the units; their facts: list, add, set a rule, export, remove."""

import csv
import io
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from passerby.cli.common import BY, OfCity, Result, aligned, audited
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.city import City
    from passerby.city.facts import Fact, FactName

Name = Annotated[str, tyro.conf.Positional]
File = Annotated[Path, tyro.conf.Positional]
COLUMNS = ("unit", "name", "value", "measure", "date", "source")


@dataclass(frozen=True, kw_only=True)
class ListUnits(Result, OfCity):
    """List the units, or those that meet a condition on their facts.

    A condition has comparisons (= != < <= > >=, in (a, b)) of facts and of code, name, level,
    parent or within, joined by and, or, not and parentheses: "level = street and people > 300".
    Names and texts with spaces stand in quotes.
    """

    where: str = ""
    """The condition. Without it: all units."""

    def main(self) -> None:
        """Print code, level and name of each, and how many there are."""
        from passerby.city.conditions import choose_units

        with self.open() as city:
            if self.where:
                found = choose_units(city, self.where)
                units, said = list(found.units), found.summary()
            else:
                units, said = list(city.units), f"{len(city.units)} units"
        rows = [[unit.code, unit.level, unit.name] for unit in units]
        facts = {"summary": said, "units": [unit.properties() for unit in units]}
        self.show(facts, "\n".join([aligned(rows), said] if rows else [said]))


@dataclass(frozen=True, kw_only=True)
class ListFacts(Result, OfCity):
    """List what is known of the units: the names of the facts, or their values.

    Without --unit, --name and --level: the names. A derived value says of how many units it is.
    """

    unit: str = ""
    """Code of a unit: only its facts."""
    name: tuple[str, ...] = ()
    """Only these facts."""
    level: str = ""
    """Only units of this level: city, district, street, area or cell."""

    def main(self) -> None:
        """Print names or values."""
        from passerby.city.facts import fact_names, unit_facts
        from passerby.city.units import LEVELS

        if self.level and self.level not in LEVELS:
            raise InputError(f"there is no level '{self.level}'; there are {', '.join(LEVELS)}")
        with self.open() as city:
            if not (self.unit or self.name or self.level):
                names = list(fact_names(city).values())
                self.show([asdict(one) for one in names], names_table(names))
                return
            if self.unit:
                city.units[self.unit]
            found = [
                fact
                for by_unit in unit_facts(city, self.name or None).values()
                for code, fact in by_unit.items()
                if self.unit in ("", code) and self.level in ("", city.units[code].level)
            ]
        rows = [["unit", "fact", "value", "", "date", "source", ""], *map(_row, found)]
        self.show([one.as_dict() for one in found], aligned(rows) if found else "no facts")


def names_table(names: "list[FactName]") -> str:
    """Lay out the names of facts with measure, rule and counts."""
    from passerby.city.facts import RULES

    if not names:
        return "no facts; add some: passerby admin units facts add CITY FILE"
    head = ["fact", "measure", "units", "numbers", "texts", "in the units above"]
    counted = [
        [one.name, one.measure, str(one.units), str(one.numbers), str(one.texts), RULES[one.rule]]
        for one in names
    ]
    return aligned([head, *counted])


def _row(fact: "Fact") -> list[str]:
    value = str(fact.as_dict()["value"])
    part = f", {fact.missing} without a value" if fact.missing else ""
    said = f"from {fact.units} units{part}" if fact.derived else ""
    return [fact.unit, fact.name, value, fact.measure, fact.date, fact.source, said]


@dataclass(frozen=True, kw_only=True)
class AddFacts(Result, OfCity):
    """Add facts of units from a CSV, Parquet or GeoJSON file; newer ones replace older ones.

    A table has the column code. Every other column is a fact, or each row is one: name, value and
    where known measure, date and source.
    """

    file: File
    """The file."""
    source: str = ""
    """Who published it, for facts that do not say so. Without it: the file's name."""
    date: str = ""
    """Date of facts that have none: 2020, 2020-11, 2020-11-01 or a time with zone."""
    skip_unknown: bool = False
    """Leave out rows of units that the city does not have, and count them."""

    def main(self) -> None:
        """Read and store the file; say what was stored and what was noticed."""
        from passerby.city.fact_files import read_facts_file
        from passerby.city.facts import add_facts, fact_names

        with audited(self.city, changing=True) as (city, _, audit):
            read = read_facts_file(
                self.file,
                city.units,
                source=self.source,
                date=self.date,
                skip_unknown=self.skip_unknown,
            )
            done = add_facts(city, read.facts.values())
            names = sorted({fact.name for fact in read.facts.values()})
            every = fact_names(city)
            facts = {"file": self.file.name, "names": names, **asdict(done)}
            units = tuple(sorted({fact.unit for fact in read.facts.values()}))
            audit.append("facts_added", account=BY, units=units, details=facts)
        for note in read.notes:
            print(f"passerby admin units facts add: {note}", file=sys.stderr)
        words = (
            f"{done.added} facts added, {done.replaced} replaced, {done.unchanged} as they were: "
            f"{', '.join(names)}"
        )
        without = [name for name in names if every[name].rule == "none" and every[name].numbers]
        if without:
            words += f"\n{unruled(without)}"
        self.show({**facts, "notes": read.notes, "without_rule": without}, words)


def unruled(names: list[str]) -> str:
    """Say that numbers are not rolled up, and how to change that."""
    return (
        f"not rolled up to the units above: {', '.join(names)}; say how with "
        "'passerby admin units facts rule CITY NAME --rule sum'"
    )


@dataclass(frozen=True, kw_only=True)
class Rule(OfCity):
    """Say how a fact is rolled up to the units above, and in which unit of measure it is."""

    name: Name
    """Name of the fact."""
    rule: Literal["none", "sum", "mean", "area"] | None = None
    """sum (such as population), mean, area (mean weighted by area, such as density), or none."""
    measure: str | None = None
    """Unit of measure, such as people/km2."""

    def main(self) -> None:
        """Store it, and say how many units have a value now."""
        from passerby.city.facts import RULES, set_rule, unit_facts

        if self.rule is None and self.measure is None:
            raise InputError("nothing would change; give --rule or --measure")
        with audited(self.city, changing=True) as (city, _, audit):
            new = set_rule(city, self.name, rule=self.rule, measure=self.measure)
            values = unit_facts(city, [self.name])[self.name].values()
            roots = tuple(unit.code for unit in city.units.roots)
            details = {"name": new.name, "rule": new.rule, "measure": new.measure}
            audit.append("fact_rule_set", account=BY, units=roots, details=details)
        derived = sum(fact.derived for fact in values)
        print(
            f"{self.name}{f' [{new.measure}]' if new.measure else ''}: {RULES[new.rule]}; "
            f"{len(values) - derived} units have a value, {derived} a derived one"
        )


@dataclass(frozen=True, kw_only=True)
class RemoveFacts(OfCity):
    """Delete all facts of a name, with its rule."""

    name: Name
    """Name of the fact."""

    def main(self) -> None:
        """Delete them, and say how many."""
        from passerby.city.facts import remove_facts

        with audited(self.city, changing=True) as (city, _, audit):
            gone = remove_facts(city, self.name)
            roots = tuple(unit.code for unit in city.units.roots)
            details = {"name": self.name, "count": gone}
            audit.append("facts_removed", account=BY, units=roots, details=details)
        print(f"{gone} facts '{self.name}' deleted")


@dataclass(frozen=True, kw_only=True)
class ExportFacts(OfCity):
    """Write the facts to a .csv, .parquet or .geojson file, which `add` and `create` read again.

    GeoJSON holds the units with their facts as properties. Tables have one fact a row.
    """

    file: File
    """The new file."""
    name: tuple[str, ...] = ()
    """Only these facts."""
    derived: bool = False
    """The newest value of every unit, also rolled up. Without it: the facts as they were given."""

    def main(self) -> None:
        """Write the file, and say how many facts are in it."""
        from passerby.city.facts import stored_facts, unit_facts
        from passerby.files import write_bytes

        with self.open() as city:
            if self.derived:
                found = unit_facts(city, self.name or None).values()
                facts = [fact for by_unit in found for fact in by_unit.values()]
            else:
                facts = stored_facts(city, self.name or None)
            write_bytes(self.file, _written(city, facts, self.file))
        print(f"{self.file}: {len(facts)} facts of {len({one.unit for one in facts})} units")


def _written(city: "City", facts: "list[Fact]", file: Path) -> bytes:
    rows = [{name: one.as_dict()[name] for name in COLUMNS} for one in facts]
    kind = file.suffix.lower()
    if kind == ".geojson":
        from passerby.city.facts import features_with_facts

        return json.dumps(features_with_facts(city.units, facts), ensure_ascii=False).encode()
    if kind == ".csv":
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue().encode("utf-8-sig")
    if kind == ".parquet":
        return _parquet(rows)
    raise InputError(f"'{file}' must end with .csv, .parquet or .geojson")


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    """Rows as Parquet; values are texts, as one column has one type."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        from passerby.errors import MissingExtraError

        raise MissingExtraError("pyarrow", "tables") from None
    columns = {name: [str(row[name]) for row in rows] for name in COLUMNS}
    out = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()
