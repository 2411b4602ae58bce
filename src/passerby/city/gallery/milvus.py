"""A gallery on a Milvus server: for more sightings than one machine holds.

A gallery is an *alias*, the name in its address, of one collection; another model's vectors are
staged in a second collection, to which the alias moves at once. The collection is partitioned by
district and searched exactly: its index is FLAT, and the float64 sum of the embedded gallery
decides among what it proposes. A write is acknowledged when Milvus has it in its write-ahead log.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery import milvus_rows
from passerby.city.gallery.milvus_link import GoneError, Link, MilvusAddress
from passerby.city.gallery.milvus_rows import (
    ANSWER_BYTES,
    ANY,
    FACTS,
    IDS,
    LEASE_MS,
    Collection,
    chunks,
    collections,
    create,
    describe,
    expression,
    listed,
    sighting,
)
from passerby.city.gallery.milvus_stage import MilvusStage
from passerby.city.gallery.port import (
    AwayError,
    Coverage,
    Health,
    Hits,
    Stats,
    StoreError,
    UnknownSightingError,
)
from passerby.city.gallery.records import Batch, check_model, checksum
from passerby.city.sightings import FloatArray, Scope, Sighting
from passerby.city.times import DAY_MS, day_of
from passerby.errors import InputError
from passerby.retrieval.screening import cosine_distances, unit_rows

EVERYWHERE = Scope()
MORE = 16  # asked for beyond k, to see that no tie was cut
FAR = 1 << 43  # milliseconds; no sighting is 278 years from 1970
ENOUGH = 1000  # sightings that are read rather than counted
COMPACTION_SECONDS = 3600
