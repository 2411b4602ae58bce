"""Base of what a request may hold: no value that is no text, no number, or too large to work on."""

import math
import re
from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

MOST_DEPTH = 16
MOST_ITEMS = 10_000  # of one list
LARGEST = 2**53  # a larger whole number is not the same in every program

_NO_TEXT = re.compile("[\0\ud800-\udfff]")

Name = Annotated[str, Field(max_length=200)]  # an id, a code
Names = Annotated[list[Name], Field(max_length=MOST_ITEMS)]
Moment = Annotated[str, Field(max_length=64)]  # ISO 8601 with an offset
Number = Annotated[int, Field(ge=1, le=LARGEST)]  # of an entry, of a request


class Wanted(BaseModel):
    """Base of the bodies and queries of requests; :func:`check_plain` looks at the whole value."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        check_plain(value)
        return value


def check_plain(value: Any, where: tuple[Any, ...] = ()) -> None:
    """Refuse what JSON in Python allows and no store keeps.

    Raises:
        ValueError: half a surrogate pair or a zero byte in a text, a number that is not finite or
            beyond 2^53, or lists in lists without end; it says where.
    """
    wrong = ""
    if isinstance(value, str):
        wrong = "holds a character that is none" if _NO_TEXT.search(value) else ""
    elif isinstance(value, float):
        wrong = "" if math.isfinite(value) else "is not finite"
    elif isinstance(value, int):
        wrong = "" if abs(value) <= LARGEST else "is too large"
    elif isinstance(value, list | tuple | dict):
        wrong = "is nested too deep" if len(where) > MOST_DEPTH else ""
    if wrong:
        place = ".".join(str(part)[:40] for part in where)[:120]
        raise ValueError(f"the value at '{place}' {wrong}" if place else f"the value {wrong}")
    if isinstance(value, dict):
        for key, one in value.items():
            check_plain(key, (*where, "a name"))
            check_plain(one, (*where, key))
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            check_plain(one, (*where, number))
