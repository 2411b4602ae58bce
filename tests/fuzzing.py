"""Mutations of files with fixed seeds, and what a reader may do with them: one clear line."""

import contextlib
import io
import json
import random
import re
import shutil
import signal
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from passerby.cli import main
from passerby.errors import InputError
from passerby.ingest.own_city import create_small_city

PLACE, T0 = (113.3, 20.5), 1_777_593_600_000
SECONDS = 60  # a reader that takes longer hangs
STRANGE: list[Any] = [
    None, True, 0, -1, 2**63, 10**30, 1e308, float("inf"), float("nan"), "", "a\0b",
    "\ud800", "x" * 5000, "../../etc/passwd", "9" * 400, [], {}, [[]], [None], {"a": {"b": []}},
    [1, "2", None], "2030-13-45",
]  # fmt: skip
TOKENS = [
    "", "\0", "nan", "1e999", "-1", "9" * 400, "'", '"', "[", "{", "=", ",", "\n", "\ufeff",
    "案", "=cmd()",
    "0001-01-01T00:00:00+14:00", "../..", "x" * 5000, "true", "2**63", "-9223372036854775809",
]  # fmt: skip


def bytewise(data: bytes, random: random.Random) -> bytes:
    """The bytes with some of them changed, cut out, doubled, or put in; or all of them others."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        at = random.randrange(len(changed) + 1)
        span = random.choice((1, 2, 4, 16, 256, len(data) // 3 + 1))
        match random.randrange(7):
            case 0:
                del changed[at:]
            case 1:
                del changed[at : at + span]
            case 2:
                changed[at:at] = random.randbytes(span)
            case 3:
                changed[at : at + span] = bytes(min(span, len(changed) - at))
            case 4:
                changed[at : at + span] = b"\xff" * min(span, len(changed) - at)
            case 5:
                changed[at:at] = changed[at : at + span]
            case _ if changed:
                changed[at % len(changed)] ^= 1 << random.randrange(8)
    return bytes(changed)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    yield at
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*at, key))


def in_json(data: bytes, random: random.Random) -> bytes:
    """A JSON value with one or two places replaced, left out or doubled."""
    value = json.loads(data)
    for _ in range(random.choice((1, 1, 2))):
        at = random.choice(list(places(value)))
        if not at:
            value = random.choice(STRANGE) if random.random() < 0.2 else value
            continue
        inner = value
        for key in at[:-1]:
            inner = inner[key]
        match random.randrange(4):
            case 0:
                del inner[at[-1]]
            case 1 if isinstance(inner, list):
                inner.append(inner[at[-1]])
            case _:
                inner[at[-1]] = random.choice(STRANGE)
        if not isinstance(value, dict | list):
            break
    return json.dumps(value).encode("utf-8", "surrogatepass")


def in_text(data: bytes, random: random.Random) -> bytes:
    """A text with words or lines replaced, left out or doubled."""
    lines = data.decode("utf-8", "replace").splitlines()
    for _ in range(random.choice((1, 1, 2, 3))):
        number = random.randrange(len(lines)) if lines else 0
        match random.randrange(4) if lines else 4:
            case 0:
                del lines[number]
            case 1:
                lines.insert(number, lines[random.randrange(len(lines))])
            case 2 | 3:
                words = list(re.finditer(r"[^\s,=:\[\]{}\"']+", lines[number]))
                if words:
                    word = random.choice(words)
                    new = random.choice(TOKENS)
                    lines[number] = (
                        lines[number][: word.start()] + new + lines[number][word.end() :]
                    )
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def in_toml(data: bytes, random: random.Random) -> bytes:
    """A TOML file in which one value is another; as JSON values, which TOML reads as well."""
    values = tomllib.loads(data.decode())
    changed = json.loads(in_json(json.dumps(values, default=str).encode(), random))
    if not isinstance(changed, dict):
        return in_text(data, random)
    return "\n".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in changed.items()).encode(
        "utf-8", "surrogatepass"
    )


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if value is None or isinstance(value, float):
        return {"None": '""', "inf": "inf", "nan": "nan"}.get(str(value), str(float(value or 0)))
    return json.dumps(value)


Mutation = Callable[[bytes, random.Random], bytes]


def mutations(data: bytes, ways: tuple[Mutation, ...], count: int, seed: int) -> Iterator[bytes]:
    """So many mutations of a file, and the empty file; the same for the same seed."""
    yield b""
    for number in range(count):
        way = ways[number % len(ways)]
        yield way(data, random.Random(1_000_003 * seed + number))


@contextlib.contextmanager
def limited(seconds: int = SECONDS) -> Iterator[None]:
    """Fail when the block takes longer: it hangs."""

    def late(*_: object) -> None:
        raise AssertionError(f"still at work after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check_verb(words: list[str], statuses: tuple[int, ...] = (0, 2)) -> int:
    """Run a verb; bad input ends with status 2 and one line, and nothing else may happen."""
    out, err = io.StringIO(), io.StringIO()
    with limited(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    assert status in statuses, (status, err.getvalue()[-500:])
    if status == 2:
        lines = [line for line in err.getvalue().splitlines() if line.startswith("passerby")]
        assert lines and len(lines[-1]) < 2_000, err.getvalue()[-500:]
        assert "Traceback" not in err.getvalue()
    return status


def check_reader(read: Callable[[Path], object], path: Path) -> int:
    """Read a file; it may be refused with one clear line, and nothing else may happen.

    Returns:
        0 where it was read, 2 where it was refused.
    """
    with limited():
        try:
            read(path)
        except InputError as error:
            text = " ".join(str(error).split())
            assert len(text) > 10, text
            return 2
    return 0


FEW, MANY = 12, 300  # mutations a format
JSON: tuple[Mutation, ...] = (in_json, in_json, in_json, bytewise)
TEXT: tuple[Mutation, ...] = (in_text, in_text, bytewise)
BYTES: tuple[Mutation, ...] = (bytewise,)


@dataclass(frozen=True, kw_only=True)
class Format:
    """A file that somebody may give, how it is mutated, and who reads it."""

    make: Callable[[Path], None]
    """Writes a good file."""
    suffix: str
    ways: tuple[Mutation, ...]
    read: Callable[[Path, Path], int]
    """Reads the file and returns the status; the second path is the world's folder."""
    good: int = 0
    """The status of the good file."""
    every: int = 1
    """One in so many of the mutations is tried: readers that take long."""


def verb(*words: str, statuses: tuple[int, ...] = (0, 2)) -> Callable[[Path, Path], int]:
    """A verb; CITY is the world's city, FILE what is read, NEW a folder that is not there."""

    def run(path: Path, world: Path) -> int:
        new = world / "new"
        shutil.rmtree(new, ignore_errors=True)
        names = {"CITY": str(world / "city"), "FILE": str(path), "NEW": str(new)}
        return check_verb([names.get(word, word) for word in words], statuses)

    return run


def read(name: str) -> Callable[[Path, Path], int]:
    """A function ``module:name`` of a path."""

    def run(path: Path, _world: Path) -> int:
        from importlib import import_module

        module, _, function = name.partition(":")
        return check_reader(getattr(import_module(module), function), path)

    return run


def try_format(name: str, one: Format, world: Path, count: int) -> None:
    """Read mutations of a format's file; a failure keeps the file and says where."""
    good = world / f"good{one.suffix}"
    one.make(good)
    data = good.read_bytes()
    assert one.read(good, world) == one.good, "the good file"
    for number, changed in enumerate(mutations(data, one.ways, count, seed=len(name))):
        if number % one.every:
            continue
        good.write_bytes(changed)
        try:
            one.read(good, world)
        except BaseException as error:
            raise AssertionError(f"{name}, mutation {number}, {changed[:300]!r}") from error


def write_json(value: Any) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps(value), encoding="utf-8") and None


def write_text(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text, encoding="utf-8") and None


def write_vectors(path: Path) -> None:
    vectors = np.random.default_rng(1).normal(size=(6, 8)).astype(np.float32)
    columns = {
        "id": [f"s{n}" for n in range(6)], "camera": ["C01"] * 6, "model": ["m"] * 6,
        "time": [T0 + n for n in range(6)], "vector": list(vectors),
        "tracklet": ["t"] * 6, "quality": [0.5] * 6, "crop": [""] * 6,
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)


def write_clip(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(12):
            image = np.full((48, 64, 3), 20 * number, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        container.mux(stream.encode(None))


def make_world(folder: Path) -> Path:
    """A folder with a small city that has a few sightings."""
    create_small_city(folder / "city", camera="C01", place=PLACE).close()
    write_vectors(folder / "start.parquet")
    assert (
        main(["admin", "gallery", "add", str(folder / "city"), str(folder / "start.parquet")]) == 0
    )
    assert main(["admin", "settings", str(folder / "city"), "--set", "time_zone=UTC"]) == 0
    return folder
