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
from passerby.city.times import DAY_MS

START = 1_777_593_600_000

# adds, replaces, deletes and compacts without end; says what was acknowledged
WORKER = """
import sys
import numpy as np
from passerby.city import Sighting, open_gallery
from passerby.city.times import DAY_MS

folder, name, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
gallery = open_gallery(folder)

def sighting(number):
    rng = np.random.default_rng(number)
    return Sighting(id=f"{name}{number}", camera="C01", unit="9901", model="toy",
                    time=1_777_593_600_000 + number % 3 * DAY_MS + number,
                    vector=rng.standard_normal(32).astype(np.float32), tracklet=name)

def say(what, numbers):
    print(what, *numbers, flush=True)

for step in range(10**9):
    numbers = list(range(first + step * 7, first + step * 7 + 7))
    say("adding", numbers)
    gallery.add([sighting(number) for number in numbers])
    say("added", numbers)
    if step % 3 == 1:
        say("deleting", numbers[:2])
        gallery.delete([f"{name}{number}" for number in numbers[:2]])
        say("deleted", numbers[:2])
    if step % 5 == 4:
        gallery.compact()
        say("compacted", [])
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
    for line in output.splitlines():
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


def expected(name: str) -> np.ndarray:
    vector = np.random.default_rng(int(name[1:])).standard_normal(32)
    row: np.ndarray = (vector / np.linalg.norm(vector)).astype(np.float16).astype(np.float32)
    return row


def stored(folder: Path) -> set[str]:
    gallery = open_gallery(folder)
    try:
        assert gallery.verify() == []
        ids = [one.id for group in gallery.tracklets(["a", "b", "c"]).values() for one in group]
        assert gallery.count() == len(ids) == len(set(ids))
        if ids:
            want = np.stack([expected(name) for name in ids])
            np.testing.assert_allclose(gallery.vectors(ids), want, atol=2e-3)
        return set(ids)
    finally:
        gallery.close()


def test_killed_writers_lose_nothing(tmp_path: Path) -> None:
    chance = random.Random(7)
    sure: set[str] = set()
    gone: set[str] = set()
    for trial in range(6):
        workers = {
            name: start(tmp_path, name, trial * 1_000_000 + offset)
            for name, offset in (("a", 0), ("b", 500_000))
        }
        # let the first of them get some way, then strike within a few milliseconds
        first = workers["a"].stdout
        assert first is not None
        heard = "".join(first.readline() for _ in range(chance.randint(2, 14)))
        time.sleep(chance.uniform(0.0, 0.03))
        either: set[str] = set()
        for name, worker in workers.items():
            worker.send_signal(signal.SIGKILL)
            output, _ = worker.communicate()
            there, away, unsure = acknowledged(heard + output if name == "a" else output, name)
            sure, gone, either = sure | there, gone | away, either | unsure
        found = stored(tmp_path)
        assert sure <= found
        assert not gone & found
        assert found <= sure | either
        sure = found
    assert sure
    assert gone


def test_a_torn_tail_is_cut_off(tmp_path: Path) -> None:
    gallery = open_gallery(tmp_path)
    gallery.add([made("a", number) for number in range(10)])
    for path in (tmp_path / "vectors").glob("*.f16"):
        with path.open("ab") as file:
            file.write(b"torn" * 25)
    orphan = tmp_path / "vectors" / "2026-01-01.99.f16"
    orphan.write_bytes(b"never committed")
    gallery.add([made("a", number) for number in range(10, 20)])
    gallery.close()
    again = open_gallery(tmp_path)
    assert again.verify() == []
    assert again.count() == 20
    again.delete(["a3"])
    again.compact()
    assert not orphan.exists()
    sizes = sum(path.stat().st_size for path in (tmp_path / "vectors").glob("*.f16"))
    assert sizes == 19 * 32 * 2
    again.close()


def made(name: str, number: int) -> Sighting:
    vector = np.random.default_rng(number).standard_normal(32).astype(np.float32)
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


def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = open_gallery(tmp_path)
    gallery.add([made("a", 1)])

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("passerby.city.gallery.segments.os.write", full)
        with pytest.raises(Exception, match="No space left") as caught:
            gallery.add([made("a", 2)])
    assert "nothing was stored" in str(caught.value)
    assert gallery.count() == 1
    assert gallery.add([made("a", 2)]) == 1
    assert gallery.verify() == []
    gallery.close()
