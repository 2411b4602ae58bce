"""A data set without a test, divided into training, query and gallery."""

import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from passerby.data.files import write_csv, write_parquet
from passerby.data.table import DISTRACTOR, CropTable, Finding
from passerby.errors import InputError

By = Literal["identities", "cameras", "time"]


def divide(table: CropTable, *, by: By, share: float = 0.5, seed: int = 0) -> CropTable:
    """Divide a table into people to train on and others to test on.

    No person is in both. Tested are people whom two cameras see. Of each camera of such a person
    with two pictures or more, one is a query, as in Market-1501; the others are gallery. Junk and
    distractors are gallery. By cameras or time, pictures that would show the network what is held
    back are left out, and ``findings`` count them.

    Args:
        table: The pictures; their split is not used.
        by: What is held back: people alone, or besides them a share of the cameras, or the last
            share of the pictures by time.
        share: Share of the people to test on, and of the cameras or pictures held back.
        seed: Seed of every choice.

    Returns:
        The rows that remain, in their order.

    Raises:
        InputError: The table has no cameras or times to divide by, or too few people.
    """
    if not 0.0 < share < 1.0:
        raise InputError(f"the share to test on is {share}; give more than 0 and less than 1")
    random = np.random.default_rng(seed)
    held = _held_back(table, by, share, random)
    people = np.unique(table.identity[table.identity > DISTRACTOR])
    able = [n for n in people.tolist() if len(set(table.camera[held & (table.identity == n)])) > 1]
    count = min(len(able), max(1, round(share * len(people))))
    if not able or count == len(people):
        raise InputError(
            f"'{table.name}' has {len(people)} people, of whom {len(able)} are seen by two cameras "
            f"in what is held back by {by}; a test needs one, and training another"
        )
    tested = random.choice(able, count, replace=False)
    test = np.isin(table.identity, tested)
    nobody = table.identity <= DISTRACTOR
    split = np.where(test | nobody, "gallery", "train").astype("U7")
    split[_queries(table, test & held, random)] = "query"
    kept = np.where(test | nobody, held, ~held) if by != "identities" else np.ones(len(table), bool)
    divided = replace(table, split=split).select(kept)
    return replace(divided, findings=(*table.findings, *_left_out(kept, by)))


def write_divided(table: CropTable, out: Path) -> None:
    """Write a table as CSV or Parquet, with paths relative to the file's folder.

    Raises:
        InputError: The name ends with neither .csv nor .parquet, or the file cannot be written.
    """
    writers = {".csv": write_csv, ".parquet": write_parquet}
    if out.suffix.lower() not in writers:
        raise InputError(f"'{out}' is no .csv or .parquet file; name it so")
    folder = out.resolve().parent
    paths = [os.path.relpath(path.absolute(), folder) for path in table.paths()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writers[out.suffix.lower()](replace(table, path=np.array(paths), root=folder), out)
    except UnicodeEncodeError as error:
        odd = error.object.encode(errors="backslashreplace").decode()
        raise InputError(f"the path '{odd}' is not UTF-8; rename the file or folder") from None
    except OSError as error:
        raise InputError(f"'{out}' cannot be written: {error.strerror or error}") from None


def _held_back(
    table: CropTable, by: By, share: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Mark the rows (N,) that may be tested on."""
    if by == "identities":
        return np.ones(len(table), dtype=np.bool_)
    if by == "cameras":
        cameras = np.unique(table.camera)
        count = max(2, round(share * len(cameras)))
        if count >= len(cameras):
            raise InputError(
                f"'{table.name}' has {len(cameras)} cameras; two or more are held back and one "
                "stays to train on: divide by identities"
            )
        return np.isin(table.camera, random.choice(cameras, count, replace=False))
    if table.time is None:
        raise InputError(f"'{table.name}' has no times; add a column time, or divide otherwise")
    return table.time >= np.quantile(table.time, 1.0 - share)


def _queries(table: CropTable, test: NDArray[np.bool_], random: np.random.Generator) -> list[int]:
    """Choose query rows: one of each camera of a person that has another picture of them."""
    rows: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in np.flatnonzero(test).tolist():
        rows[int(table.identity[row])][int(table.camera[row])].append(row)
    chosen = []
    for cameras in rows.values():
        # a single picture of a camera stays in the gallery, where other cameras need it
        groups = [group for group in cameras.values() if len(group) > 1] or [*cameras.values()][:1]
        chosen += [int(random.choice(group)) for group in groups]
    return chosen


def _left_out(kept: NDArray[np.bool_], by: By) -> list[Finding]:
    count = int((~kept).sum())
    if not count:
        return []
    text = (
        f"{count} of {len(kept)} pictures are left out: people to train on in what is held back by "
        f"{by}, and people to test on outside of it"
    )
    return [Finding(level="note", code="held-back", text=text)]
