"""Options of an architecture beyond its name; the architecture itself checks them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from passerby.errors import InputError

Value = int | float | str | bool
Structure = Mapping[str, Value]
Options = TypeVar("Options")


def plain_values(texts: Mapping[str, str]) -> dict[str, Value]:
    """Read options as written on a command line: numbers and truth values; other text stays."""
    return {name: _read(text) for name, text in texts.items()}


def check_range(options: object, **ranges: tuple[int, int]) -> None:
    """Check that attributes of ``options`` lie between two numbers, both included.

    Raises:
        InputError: A value is out of its range; the message names the option.
    """
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if not low <= value <= high:
            raise InputError(f"structure option '{name}' {value} is not {low}..{high}")


def check_probability(options: object, name: str) -> None:
    """Check that an attribute of ``options`` is a probability below 1.

    Raises:
        InputError: The value is below 0, or 1 or more.
    """
    value = getattr(options, name)
    if not 0.0 <= value < 1.0:
        raise InputError(f"structure option '{name}' {value} is not 0 to below 1")


class StructureReader:
    """Gives each part of a network its own options and finds the unknown ones.

    A part declares its options as a frozen dataclass. The fields are ``bool``, ``int``, ``float``,
    ``str`` or a ``Literal`` of strings. Numbers and truth values may be given as text.
    """

    def __init__(self, structure: Structure | None = None) -> None:
        self._left: dict[str, Value] = dict(structure or {})
        self._known: list[str] = []

    def take(self, kind: type[Options]) -> Options:
        """Take the options of one part: the given values, checked, and defaults for the rest.

        Raises:
            InputError: A value has another type or is not among the choices.
        """
        hints = get_type_hints(kind)
        names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
        self._known += names
        given = {name: self._left.pop(name) for name in names if name in self._left}
        return kind(**{name: _checked(name, v, hints[name]) for name, v in given.items()})

    def finish(self, architecture: str) -> None:
        """Refuse options that no part has taken.

        Raises:
            InputError: Options are left; the message names the known ones.
        """
        if self._left:
            known = ", ".join(sorted(self._known)) or "none"
            raise InputError(
                f"the architecture '{architecture}' has no option '{min(self._left)}'; "
                f"its options are: {known}"
            )


def _checked(name: str, value: Value, kind: Any) -> Value:
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            choices = ", ".join(map(str, get_args(kind)))
            raise InputError(f"structure option '{name}' is {value!r}; choose from {choices}")
        return value
    if isinstance(value, str) and kind is not str:
        value = _read(value)  # from a command line
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"structure option '{name}' is {value!r}, not of type {kind.__name__}")
    return cast(Value, value)


def _read(text: str) -> Value:
    """Read a number or a truth value; return any other text as it is."""
    words = {"true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
