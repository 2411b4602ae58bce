"""One thing to know about a data set."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found, how bad it is, and what to do.

    Attributes:
        level: ``"error"``: training or evaluation cannot work or would mislead; ``"warning"``:
            probably not what was meant; ``"note"``: good to know.
        code: A short name that does not change.
        text: What was found and what to do.
        items: The files concerned, all of them.
    """

    level: Literal["error", "warning", "note"]
    code: str
    text: str
    items: tuple[str, ...] = ()
