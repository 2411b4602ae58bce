"""Several processes on one gallery, and processes that die."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from passerby.city import Scope, Sighting, open_gallery
from passerby.times import DAY_MS

START = 1_777_593_600_000

# without end, saying what was acknowledged: a and b add, delete and compact; c changes the model
WORKER = """
import sys
import numpy as np
from passerby.city import Sighting, open_gallery
from passerby.times import DAY_MS
from passerby.errors import InputError

folder, name, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
gallery = open_gallery(folder)

def say(what, numbers=()):
    print(what, *numbers, flush=True)

def vector(number, version):
    return np.random.default_rng([int(number), version]).standard_normal(32).astype(np.float32)

def version():
    return int((gallery.model_id or "m0")[1:])

def sighting(number, version):
    return Sighting(id=f"{name}{number}", camera="C01", unit="9901", model=f"m{version}",
                    time=1_777_593_600_000 + number % 3 * DAY_MS + number,
                    vector=vector(number, version), tracklet=name)

def add(numbers):
    while True:
        now = version()
        try:
            return gallery.add([sighting(number, now) for number in numbers])
        except InputError as error:
            if "holds vectors of the model" not in str(error):
                raise

def work():
    for step in range(10**9):
        numbers = list(range(first + step * 7, first + step * 7 + 7))
        say("adding", numbers)
        add(numbers)
        say("added", numbers)
        if step % 3 == 1:
            say("deleting", numbers[:2])
            gallery.delete([f"{name}{number}" for number in numbers[:2]])
            say("deleted", numbers[:2])
        if step % 5 == 4:
            gallery.compact()
            say("compacted")

def change():
    while gallery.count() == 0:
        pass
    while True:
        new = version() + 1
        stage = gallery.stage(f"m{new}")
        while not stage.switch():
            part = [one.id for one in stage.missing(50)]
            if part:
                stage.put(part, np.stack([vector(one[1:], new) for one in part]))
        say("switched", [new])

change() if name == "c" else work()
"""


def start(folder: Path, name: str, first: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), name, str(first)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def acknowledged(output: str, name: str) -> tuple[set[str], set[str], set[str]]:
    """(certainly there, certainly gone, may be either) of one worker."""
    sure: set[str] = set()
    gone: set[str] = set()
    open_ids: set[str] = set()
    for line in output.splitlines(keepends=True):
        if not line.endswith("\n"):  # the worker died in the middle of it
            break
        what, *numbers = line.split()
        ids = {name + number for number in numbers}
        if what in ("adding", "deleting"):
            open_ids = ids
            sure -= ids
        elif what == "added":
            sure |= ids
            open_ids = set()
        elif what == "deleted":
            gone |= ids
            open_ids = set()
    return sure, gone, open_ids


def expected(name: str, version: int = 0) -> np.ndarray:
    vector = np.random.default_rng([int(name[1:]), version]).standard_normal(32)
    row: np.ndarray = (vector / np.linalg.norm(vector)).astype(np.float16).astype(np.float32)
    return row


def stored(folder: Path) -> tuple[set[str], int]:
    """(ids, version of the model) of a gallery that is whole."""
    gallery = open_gallery(folder)
    try:
        assert gallery.verify() == []
        ids = [one.id for group in gallery.tracklets(["a", "b"]).values() for one in group]
        assert gallery.count() == len(ids) == len(set(ids))
        version = int((gallery.model_id or "m0")[1:])
        if ids:
            want = np.stack([expected(name, version) for name in ids])
            np.testing.assert_allclose(gallery.vectors(ids), want, atol=2e-3)
        return set(ids), version
    finally:
        gallery.close()


def switched(output: str) -> int:
    """The last model that the changing worker was told of."""
    return max([0, *(int(line.split()[1]) for line in output.splitlines() if "switched" in line)])


@pytest.mark.parametrize("trials", [2, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
def test_killed_writers_lose_nothing(tmp_path: Path, trials: int) -> None:
    chance = random.Random(7)
    sure: set[str] = set()
    gone: set[str] = set()
    version = 0
    for trial in range(trials):
        workers = {
            name: start(tmp_path, name, trial * 1_000_000 + offset)
            for name, offset in (("a", 0), ("b", 500_000), ("c", 0))
        }
        # let the first of them get some way, then strike within a few milliseconds
        first = workers["a"].stdout
        assert first is not None
        heard = "".join(first.readline() for _ in range(chance.randint(2, 40)))
        time.sleep(chance.uniform(0.0, 0.03))
        either: set[str] = set()
        for name in chance.sample(sorted(workers), 3):
            worker = workers[name]
            worker.send_signal(signal.SIGKILL)
            assert worker.stdout is not None
            output = worker.stdout.read()  # communicate() would miss what readline() read ahead
            worker.wait()
            worker.stdout.close()
            if name == "c":
                version = max(version, switched(output))
                continue
            there, away, unsure = acknowledged(heard + output if name == "a" else output, name)
            sure, gone, either = sure | there, gone | away, either | unsure
        found, model = stored(tmp_path)
        assert sure <= found
        assert not gone & found
        assert found <= sure | either
        assert version <= model
        sure, version = found, model
    assert sure
    assert gone
    assert version or trials < 50


def made(name: str, number: int) -> Sighting:
    vector = np.random.default_rng([number, 0]).standard_normal(32).astype(np.float32)
    return Sighting(
        id=f"{name}{number}",
        camera="C01",
        unit="9901",
        model="toy",
        time=START + number % 3 * DAY_MS + number,
        vector=vector,
        tracklet=name,
    )


def test_readers_follow_other_processes(tmp_path: Path) -> None:
    """A second opening stands for another process: it shares nothing but the files."""
    writer, reader = open_gallery(tmp_path), open_gallery(tmp_path)
    assert reader.count() == 0
    writer.add([made("a", number) for number in range(30)])
    assert reader.count() == 30
    assert reader.model_id == "toy"
    query = expected("a7")
    assert reader.search(query, 1)[0].ids == ("a7",)
    writer.delete(["a7"])
    assert "a7" not in reader.search(query, 30)[0].ids
    writer.compact()
    assert len(reader.search(query, 30)[0]) == 29
    writer.add([made("a", 7)])
    assert reader.search(query, 1)[0].ids == ("a7",)
    writer.drop_before(START + DAY_MS)
    assert reader.count() == 20
    writer.add([made("a", 0)])
    assert reader.count(Scope(end=START + DAY_MS)) == 1
    np.testing.assert_allclose(reader.vectors(["a0", "a7"])[0], expected("a0"), atol=2e-3)
    writer.close()
    reader.close()


# opens, adds, closes, and again: the last to close empties the log
VISITOR = """
import sys
import numpy as np
from passerby.city import Sighting, open_gallery
folder, name = sys.argv[1], sys.argv[2]
for turn in range(12):
    gallery = open_gallery(folder)
    for number in range(turn * 10, turn * 10 + 10, 5):
        gallery.add(Sighting(id=f"{name}{at}", camera="C01", unit="9901", model="m0", tracklet=name,
                             time=1_777_593_600_000 + at % 3 * 86_400_000 + at,
                             vector=np.random.default_rng([at, 0]).standard_normal(32))
                    for at in range(number, number + 5))
    gallery.close()
"""


@pytest.mark.slow
def test_processes_come_and_go(tmp_path: Path) -> None:
    """Closing in one process must never take the log away under another."""
    stays, reader = open_gallery(tmp_path), open_gallery(tmp_path)
    workers = [
        subprocess.Popen([sys.executable, "-c", VISITOR, str(tmp_path), name])
        for name in ("a", "b")
    ]
    while any(worker.poll() is None for worker in workers):
        reader.close()  # this process has the index open more than once
        reader = open_gallery(tmp_path)
        assert reader.count() <= stays.count()
    assert [worker.wait() for worker in workers] == [0, 0]
    assert stays.count() == 240
    assert stays.verify() == []
    reader.close()
    stays.close()
    assert stored(tmp_path) == ({f"{name}{at}" for name in "ab" for at in range(120)}, 0)


STREAM = """
import sys
from passerby.city import open_gallery
from tests.city.gallery_contract import many
gallery, own = open_gallery(sys.argv[1]), int(sys.argv[2])
rows = many(400)
print(sum(gallery.add([rows[at]]) for at in range(own, 400, 2)))
"""


@pytest.mark.slow
def test_streams_of_several_processes_count_each_sighting_once(tmp_path: Path) -> None:
    """Each sighting is added by two of four processes; one of them is told that it was new."""
    open_gallery(tmp_path).close()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", STREAM, str(tmp_path), str(number % 2)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for number in range(4)
    ]
    told = [int(worker.communicate()[0]) for worker in workers]
    assert sum(told) == 400
    gallery = open_gallery(tmp_path)
    assert gallery.count() == 400
    assert gallery.verify() == []
    gallery.close()
