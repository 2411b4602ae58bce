"""Conditions on units, such as ``level = street and population > 300``, and the units they choose.

The grammar, of which nothing is evaluated by Python::

    condition: term ("or" term)*        term: factor ("and" factor)*
    factor: "not" factor | "(" condition ")" | name operator value | name "in" "(" value, ... ")"
    operator: = != < <= > >=

A name is that of a fact, or ``code``, ``name``, ``name_zh``, ``level``, ``parent`` (codes), or
``within`` (code of a unit that holds the unit). Names and texts with other signs than letters,
digits and ``_ . : - + %`` stand in quotes. A unit without the fact meets neither a comparison
nor its opposite; such units are counted.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from passerby.city.facts import Fact, fact_names, known_name, unit_facts
from passerby.city.units import LEVELS, Unit, UnitTree
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.city.city import City

OWN = ("code", "name", "name_zh", "level", "parent", "within")
LONGEST = 2_000
DEEPEST = 50
_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"[^"]*"|'[^']*')|(?P<sign><=|>=|!=|==|[=<>(),])|(?P<word>[\w.\-+%:]+))"""
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
Truth = bool | None  # None: the unit lacks what is compared
Test = Callable[[Unit, Mapping[str, Mapping[str, Fact]]], Truth]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A condition that was read.

    Attributes:
        text: As it was written.
        names: The names of facts in it.
        within: Codes of units that ``within`` names.
        test: Whether a unit meets it, given the facts by name and unit; None where a fact lacks.
    """

    text: str
    names: tuple[str, ...]
    within: tuple[str, ...]
    test: Test


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The units that meet a condition.

    Attributes:
        units: All of them, in the order of the tree.
        outermost: Codes of those that lie in no other of them: what a scope needs.
        missing: Number of units that lack a fact of the condition, so that it is not decided.
        names: The names of facts in the condition.
    """

    units: tuple[Unit, ...]
    outermost: tuple[str, ...]
    missing: int
    names: tuple[str, ...]

    def summary(self) -> str:
        """Say how many units of each level were chosen, such as "7 streets"."""
        counts = [
            (level, sum(unit.level == level for unit in self.units)) for level in reversed(LEVELS)
        ]
        plural = {"city": "cities"}
        said = [
            f"{count} {level if count == 1 else plural.get(level, level + 's')}"
            for level, count in counts
            if count
        ]
        without = f"; {self.missing} units lack {' or '.join(self.names)}" if self.missing else ""
        return (", ".join(said) or "no units") + without


def choose_units(city: "City", text: str, among: Iterable[str] | None = None) -> Chosen:
    """The units of a city that meet a condition.

    Args:
        city: The city.
        text: The condition.
        among: Codes of units; only they and the units in them are looked at, and no fact of others
            is read, so that an answer tells nothing about these.

    Raises:
        InputError: The condition cannot be read, or names a fact or level that there is not.
    """
    tree, condition = city.units, read_condition(text)
    looked_at = [unit.code for unit in tree.roots] if among is None else sorted(set(among))
    for code in condition.within:
        if not any(one.startswith(code) or code.startswith(one) for one in looked_at):
            raise InputError(f"there is no unit '{code}' among those to choose from")
        tree[code]
    facts = _facts(city, condition.names, looked_at)
    chosen: dict[str, Unit] = {}
    missing: set[str] = set()
    for code in looked_at:
        for unit in tree.descendants(code):
            truth = condition.test(unit, facts)
            if truth:
                chosen[unit.code] = unit
            elif truth is None:
                missing.add(unit.code)
    return Chosen(
        units=tuple(sorted(chosen.values(), key=lambda unit: unit.number)),
        outermost=_outermost(tree, chosen),
        missing=len(missing),
        names=condition.names,
    )


def _facts(
    city: "City", names: tuple[str, ...], looked_at: list[str]
) -> dict[str, dict[str, Fact]]:
    """Facts by name and unit; a name that no unit looked at has is refused as an unknown one."""
    known = fact_names(city)
    found: dict[str, dict[str, Fact]] = {name: {} for name in names}
    for code in looked_at:
        given = unit_facts(city, [name for name in names if name in known], within=code)
        for name, facts in given.items():
            found[name] |= facts
    if not all(found.values()):
        every = [unit_facts(city, within=code) for code in looked_at]
        there = {name: known[name] for facts in every for name in facts}
        for name in names:
            known_name(there, name)
    return found


def _outermost(tree: UnitTree, chosen: Mapping[str, Unit]) -> tuple[str, ...]:
    return tuple(
        sorted(
            code
            for code in chosen
            if not any(above.code in chosen for above in tree.ancestors(code))
        )
    )


def read_condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        InputError: It cannot be read; the error says where.
    """
    if len(text) > LONGEST:
        raise InputError(f"the condition has {len(text)} characters; at most {LONGEST} are read")
    reader = _Reader(text)
    test = reader.either(0)
    if reader.peek() is not None:
        reader.fail("'and', 'or' or the end")
    names, within = (tuple(dict.fromkeys(found)) for found in (reader.names, reader.within))
    return Condition(text=text, names=names, within=within, test=test)


class _Reader:
    """A recursive descent over the tokens of a condition."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names, self.within = list[str](), list[str]()
        self.tokens: list[tuple[str, bool, int]] = []  # text, whether quoted, position
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                start = at + len(text[at:]) - len(text[at:].lstrip())
                raise InputError(
                    f"the condition has '{text[start]}' at character {start + 1}, which means "
                    "nothing in it; put names and texts with other signs in quotes"
                )
            quoted = found["quoted"] is not None
            token = found["quoted"][1:-1] if quoted else found["sign"] or found["word"]
            self.tokens.append((token, quoted, found.end() - len(found[0].lstrip())))
            at = found.end()
        self.at = 0

    def peek(self) -> str | None:
        """The next token, in small letters unless it is quoted; None at the end."""
        if self.at >= len(self.tokens):
            return None
        token, quoted, _ = self.tokens[self.at]
        return f'"{token}"' if quoted else token.lower()

    def fail(self, wanted: str) -> NoReturn:
        if self.at >= len(self.tokens):
            raise InputError(f"the condition '{self.text}' ends where {wanted} should stand")
        token, _, place = self.tokens[self.at]
        raise InputError(
            f"the condition has '{token}' at character {place + 1}, where {wanted} should stand"
        )

    def take(self, sign: str) -> bool:
        """Go over a sign or word if it is next."""
        if self.peek() != sign:
            return False
        self.at += 1
        return True

    def either(self, depth: int) -> Test:
        tests = [self.both(depth)]
        while self.take("or"):
            tests.append(self.both(depth))
        return tests[0] if len(tests) == 1 else lambda *given: _any([t(*given) for t in tests])

    def both(self, depth: int) -> Test:
        tests = [self.factor(depth)]
        while self.take("and"):
            tests.append(self.factor(depth))
        return tests[0] if len(tests) == 1 else lambda *given: _all([t(*given) for t in tests])

    def factor(self, depth: int) -> Test:
        if depth > DEEPEST:
            raise InputError(f"the condition is nested deeper than {DEEPEST}; write it flatter")
        if self.take("not"):
            inner = self.factor(depth + 1)
            return lambda *given: None if (truth := inner(*given)) is None else not truth
        if self.take("("):
            test = self.either(depth + 1)
            if not self.take(")"):
                self.fail("')'")
            return test
        return self.comparison()

    def comparison(self) -> Test:
        name = self.word("the name of a fact")
        sign = self.peek()
        if sign == "in":
            self.at += 1
            values = self.values()
            tests = [self.compare(name, "=", value) for value in values]
            return lambda *given: _any([t(*given) for t in tests])
        sign = "=" if sign == "==" else sign
        if sign not in _COMPARE:
            self.fail("one of = != < <= > >= in")
        self.at += 1
        return self.compare(name, sign, self.word("a number or a text"))

    def word(self, wanted: str) -> str:
        token = self.peek()
        if token is None or token in {*_COMPARE, "==", "(", ")", ",", "and", "or", "not", "in"}:
            self.fail(wanted)
        self.at += 1
        return self.tokens[self.at - 1][0]

    def values(self) -> list[str]:
        if not self.take("("):
            self.fail("'('")
        found = [self.word("a value")]
        while self.take(","):
            found.append(self.word("a value"))
        if not self.take(")"):
            self.fail("',' or ')'")
        return found

    def compare(self, name: str, sign: str, value: str) -> Test:
        """The test of one comparison."""
        if name in OWN:
            if name == "within":
                self.within.append(value)
            return _own(name, sign, value)
        self.names.append(name)
        number = _number(value)

        def test(unit: Unit, facts: Mapping[str, Mapping[str, Fact]]) -> Truth:
            fact = facts.get(name, {}).get(unit.code)
            if fact is None:
                return None
            if isinstance(fact.value, str):
                if sign not in ("=", "!="):
                    raise InputError(
                        f"the condition compares '{name}' by {sign}, but the unit '{unit.code}' "
                        f"has the text '{fact.value}'; texts have only = != in"
                    )
                return _COMPARE[sign](fact.value, value)
            if number is None:
                raise InputError(
                    f"the condition compares '{name}' with the text '{value}', but the unit "
                    f"'{unit.code}' has the number {fact.value:g}; give a number"
                )
            return _COMPARE[sign](fact.value, number)

        return test


def _own(name: str, sign: str, value: str) -> Test:
    if sign not in ("=", "!="):
        raise InputError(f"the condition compares '{name}' by {sign}; only = != in are possible")
    if name == "level" and value not in LEVELS:
        raise InputError(f"there is no level '{value}'; there are {', '.join(LEVELS)}")
    same = _COMPARE[sign]
    if name == "within":
        return lambda unit, _: same(unit.code.startswith(value), True)
    return lambda unit, _: same(getattr(unit, name) or "", value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _all(truths: list[Truth]) -> Truth:
    return False if False in truths else None if None in truths else True


def _any(truths: list[Truth]) -> Truth:
    return True if True in truths else None if None in truths else False
