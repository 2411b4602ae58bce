"""One checksum of one sighting, the same in every store."""

import json
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.city.sightings import Sighting


def checksum(one: Sighting, vector: NDArray[Any]) -> int:
    """CRC32 of all facts of a sighting and of its (D,) vector at half precision."""
    facts = [
        one.id,
        one.camera,
        one.time,
        one.model,
        one.unit,
        one.tracklet,
        None if one.box is None else [float(value) for value in one.box],
        one.crop,
        float(one.quality),
        one.attributes,
    ]
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    half = np.ascontiguousarray(vector, dtype="<f2")
    return zlib.crc32(half.tobytes(), zlib.crc32(text.encode()))
