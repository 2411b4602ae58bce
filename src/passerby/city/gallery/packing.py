"""How facts become bytes: the checksum of a row, and attributes as one text."""

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from passerby.city.sightings import Pairs

_NUMBERS = struct.Struct("<5q5d")
_NOWHERE = (float("-inf"),) * 4


def row_crc(place: int, facts: Sequence[Any]) -> int:
    """CRC32 of (id, time, cell, camera, tracklet, x0, y0, x1, y1, crop, quality, labels) there."""
    name, time, cell, camera, tracklet, x0, y0, x1, y1, crop, quality, labels = facts
    box = _NOWHERE if x0 is None else (x0, y0, x1, y1)
    numbers = _NUMBERS.pack(place, time, cell, camera, labels, *box, quality)
    return zlib.crc32("\0".join((name, tracklet, crop)).encode(), zlib.crc32(numbers))


def label_text(attributes: Pairs) -> str:
    """Attributes as one text, the same for the same attributes; empty for none."""
    if not attributes:
        return ""
    return json.dumps(attributes, ensure_ascii=False, separators=(",", ":"))


def label_pairs(text: str) -> Pairs:
    """The attributes of a text."""
    return tuple((name, value) for name, value in json.loads(text)) if text else ()
