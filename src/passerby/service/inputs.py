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


def check_plain(value: Any, depth: int = 0) -> None:
    """Refuse what JSON in Python allows and no store keeps.

    Raises:
        ValueError: half a surrogate pair or a zero byte in a text, a number that is not finite or
            beyond 2^53, or lists in lists without end.
    """
    if isinstance(value, str):
        if _NO_TEXT.search(value):
            raise ValueError("a text holds a character that is none")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a number is not finite")
    elif isinstance(value, int):
        if abs(value) > LARGEST:
            raise ValueError("a number is too large")
    elif isinstance(value, list | tuple | dict):
        if depth > MOST_DEPTH:
            raise ValueError("values are nested too deep")
        for one in [*value, *value.values()] if isinstance(value, dict) else value:
            check_plain(one, depth + 1)
