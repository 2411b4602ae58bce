"""Options of an architecture beyond its name, checked by the architecture itself."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from passerby.errors import InputError

Value = int | float | str | bool
Structure = Mapping[str, Value]
Options = TypeVar("Options")


def plain_values(texts: Mapping[str, str]) -> dict[str, Value]:
    """Options as written on a command line: numbers and truth values are read, text stays."""
    return {name: _read(text) for name, text in texts.items()}


class StructureReader:
    """Hands each part of a network its own options and finds those that nobody knows.

    A part declares its options as a frozen dataclass whose fields are ``bool``, ``int``,
    ``float``, ``str`` or a ``Literal`` of strings. Numbers and truth values may come as text.
    """

    def __init__(self, structure: Structure | None = None) -> None:
        self._left: dict[str, Value] = dict(structure or {})
        self._known: list[str] = []

    def take(self, kind: type[Options]) -> Options:
        """The options of one part: given values checked, the rest at their defaults.

        Raises:
            InputError: If a value is of another type or not among the choices.
        """
        hints = get_type_hints(kind)
        names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
        self._known += names
        given = {name: self._left.pop(name) for name in names if name in self._left}
        return kind(**{name: _checked(name, v, hints[name]) for name, v in given.items()})

    def finish(self, architecture: str) -> None:
        """Refuse what no part has taken.

        Raises:
            InputError: If options are left; it names the known ones.
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
    return value


def _read(text: str) -> Value:
    """A number or a truth value written out; anything else stays as it is."""
    words = {"true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
