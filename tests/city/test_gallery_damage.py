"""Flipped bytes, full disks, read-only disks: named, mended where possible, nothing lost."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from passerby.city import Gallery, Scope, Sighting, open_gallery
from passerby.city.gallery import Stage, StoreError
from passerby.times import DAY_MS
from tests.city.gallery_contract import START, D, many, matrix

COUNT = 240


def facts_of(gallery: Gallery) -> list[object]:
    """Everything a gallery can tell."""
    everything = gallery.latest(10_000)
    ids = [one.id for one in everything]
    hits = gallery.search(np.ones((1, D), np.float32), 10_000)[0]
    return [
        everything,
        gallery.get(ids),
        gallery.vectors(ids).tobytes(),
        hits.ids,
        hits.distances.tobytes(),
        gallery.tracklets([f"t{number}" for number in range(COUNT // 3)]),
        gallery.crops_used([one.crop for one in everything]),
        gallery.coverage(),
        gallery.count(),
        gallery.model_id,
    ]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder that need not wait for a disk, where there is one."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[object]]:
    """A closed gallery with a history and a stage, and all it can tell."""
    folder = tmp_path_factory.mktemp("whole") / "gallery"
    gallery = open_gallery(folder)
    few = many(COUNT)
    gallery.add(few[:100])
    gallery.add(few[100:])
    gallery.delete([one.id for one in few[10:20]])
    gallery.compact()
    gallery.delete([one.id for one in few[20:25]])
    gallery.add(few[30:35], replace=True)
    stage = gallery.stage("new")
    ids = [one.id for one in stage.missing(150)]
    stage.put(ids, np.random.default_rng(0).standard_normal((150, D)).astype(np.float32))
    facts = facts_of(gallery)
    gallery.close()
    return folder, facts


def flip(path: Path, at: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def outcome(folder: Path) -> tuple[list[object] | None, list[str]]:
    """(what the gallery tells, or None; what was complained of)."""
    try:
        gallery = open_gallery(folder)
    except StoreError as error:
        return None, [str(error)]
    try:
        told, faults = facts_of(gallery), list[str]()
    except StoreError as error:
        told, faults = None, [str(error)]
    faults += gallery.verify()
    gallery.close()
    return told, faults


def test_the_files_are_what_the_test_believes(whole: tuple[Path, list[object]]) -> None:
    names = {path.name for path in whole[0].rglob("*") if path.is_file()}
    assert names == {"gallery.sqlite", "acknowledged"}
    assert outcome(whole[0]) == (whole[1], [])


@pytest.mark.parametrize("flips", [40, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
def test_every_flipped_bit_is_found_and_named(
    whole: tuple[Path, list[object]], memory: Path, flips: int
) -> None:
    """By whoever reads it, or by ``verify``; and no answer is ever wrong."""
    folder, facts = whole
    rng = np.random.default_rng(3)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = path.stat().st_size
        spots = {0, size - 1, *range(0, min(size, 100), 9), *rng.integers(0, size, flips).tolist()}
        for at in sorted(spots):
            copy = memory / "copy"
            shutil.copytree(folder, copy)
            flip(copy / path.relative_to(folder), at, int(rng.integers(0, 8)))
            told, faults = outcome(copy)
            where = f"{path.name} byte {at}: {faults}"
            assert faults, where
            assert all(path.name in fault for fault in faults), where
            assert told in (None, facts), where
            shutil.rmtree(copy)


# adds without closing; what it acknowledged is only in the log when it dies
ADDER = """
import os, sys
from passerby.city import open_gallery
from tests.city.gallery_contract import many
gallery = open_gallery(sys.argv[1])
for start in range(0, 40, 10):
    gallery.add(many(10, first=start))
os._exit(0)
"""


def test_a_damaged_log_is_noticed(memory: Path) -> None:
    made = memory / "made"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", ADDER, str(made)], check=True, env=environment)
    size = (made / "gallery.sqlite-wal").stat().st_size
    rng = np.random.default_rng(4)
    lost = 0
    for at in [0, size - 1, *rng.integers(0, size, 20).tolist()]:
        copy = memory / "copy"
        shutil.copytree(made, copy)
        flip(copy / "gallery.sqlite-wal", at, int(rng.integers(0, 8)))
        try:
            gallery = open_gallery(copy)
        except StoreError as error:
            assert "gallery.sqlite" in str(error)
            lost += 1
        else:  # the byte was of no account
            assert gallery.count() == 40
            assert gallery.verify() == []
            gallery.close()
        shutil.rmtree(copy)
    assert lost > 10


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "passerby", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("a disk of its own cannot be mounted here; this needs the right to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def remount(place: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(place)], check=True)


def survives(folder: Path, known: list[Sighting]) -> None:
    gallery = open_gallery(folder)
    assert gallery.verify() == []
    assert gallery.get([one.id for one in known]) == known
    assert gallery.count() == len(known)
    gallery.close()


@pytest.mark.parametrize("step", [100, 7])
def test_a_full_disk_loses_nothing(disk: Path, step: int) -> None:
    folder = disk / "gallery"
    gallery = open_gallery(folder)
    known: list[Sighting] = []
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(3_400_000 if step == 100 else 5_000_000))
    with pytest.raises(StoreError, match="nothing was stored"):
        for start in range(0, 100_000, step):
            part = many(step, first=start, dimension=64)
            gallery.add(part)
            known += part
    assert len(known) >= step
    for _ in range(3):  # it stays as clear as it was
        with pytest.raises(StoreError, match="nothing was stored"):
            gallery.add(many(2000, first=200_000, dimension=64))
    assert gallery.count() == len(known)
    assert len(gallery.search(matrix(known[:1])[0], 5)[0]) == 5
    gallery.close()
    survives(folder, known)
    ballast.unlink()
    gallery = open_gallery(folder)
    more = many(step, first=200_000, dimension=64)
    assert gallery.add(more) == step
    gallery.delete([known[0].id])
    gallery.compact()
    gallery.close()
    survives(folder, [*known[1:], *more])


def test_deleting_on_a_full_disk(disk: Path) -> None:
    folder = disk / "gallery"
    gallery = open_gallery(folder)
    few = many(300, dimension=64)
    gallery.add(few)
    (disk / "ballast").write_bytes(bytes(400_000))
    handle = os.open(disk / "rest", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space"):
        while True:
            os.write(handle, bytes(4096))
    os.close(handle)
    for _ in range(2):
        try:
            gallery.delete([one.id for one in few[:150]])
        except StoreError:
            assert gallery.count() == 300
        else:
            assert gallery.count() == 150
        with pytest.raises(StoreError, match="nothing was stored"):
            gallery.compact()
    left = gallery.count()
    gallery.close()
    (disk / "rest").unlink()
    survives(folder, few[300 - left :])


CHANGES: dict[str, Callable[[Gallery], object]] = {
    "add": lambda gallery: gallery.add(many(300, first=900, dimension=64)),
    "replace": lambda gallery: gallery.add(many(300, dimension=64, seed=5), replace=True),
    "delete": lambda gallery: gallery.delete([f"s{number:06d}" for number in range(0, 300, 2)]),
    "delete a scope": lambda gallery: gallery.delete(Scope(units=("9901",))),
    "drop": lambda gallery: gallery.drop_before(START + DAY_MS),
    "compact": lambda gallery: gallery.compact(),
    "put": lambda gallery: put(gallery.stage("new"), 100),
    "switch": lambda gallery: gallery.stage("new").switch(),
}


def put(stage: Stage, limit: int) -> None:
    ids = [one.id for one in stage.missing(limit)]
    stage.put(ids, matrix(many(limit, seed=7, dimension=64))[: len(ids)])


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_on_a_full_disk_is_done_or_not(disk: Path, name: str) -> None:
    folder = disk / "gallery"
    gallery = open_gallery(folder)
    for start in range(0, 300, 30):
        gallery.add(many(30, first=start, dimension=64))
    if name == "switch":
        put(gallery.stage("new"), 1000)

    def state() -> list[object]:
        return [gallery.latest(1000), gallery.model_id]

    before = state()
    handle = os.open(disk / "rest", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space"):
        while True:
            os.write(handle, bytes(4096))
    os.close(handle)
    try:
        CHANGES[name](gallery)
    except StoreError as error:
        assert "nothing was stored" in str(error)
        if name not in ("drop", "compact"):  # these go in steps
            assert state() == before
    assert gallery.verify() == []
    gallery.close()
    (disk / "rest").unlink()
    gallery = open_gallery(folder)
    assert gallery.verify() == []
    if gallery.model_id == "toy":
        CHANGES[name](gallery)
    assert (gallery.model_id == "new") == (name == "switch")
    assert gallery.verify() == []
    gallery.close()


def test_a_read_only_disk(disk: Path) -> None:
    folder = disk / "gallery"
    gallery = open_gallery(folder)
    few = many(60)
    gallery.add(few)
    gallery.close()
    remount(disk, "ro")
    gallery = open_gallery(folder)
    assert gallery.get([one.id for one in few]) == few
    assert gallery.search(matrix(few)[3], 1)[0].ids == (few[3].id,)
    assert gallery.health().readable
    assert not gallery.health().writable
    for change in (
        lambda: gallery.add(many(3, first=60)),
        lambda: gallery.delete([few[0].id]),
        gallery.compact,
        lambda: gallery.stage("new"),
    ):
        with pytest.raises(StoreError, match="nothing was stored"):
            change()
    gallery.close()
    remount(disk, "rw")
    survives(folder, few)


def test_damage_on_a_read_only_disk(disk: Path) -> None:
    folder = disk / "gallery"
    gallery = open_gallery(folder)
    gallery.add(many(60))
    gallery.close()
    size = (folder / "gallery.sqlite").stat().st_size
    flip(folder / "gallery.sqlite", size - 700, 3)
    remount(disk, "ro")
    gallery = open_gallery(folder)
    assert any("gallery.sqlite" in fault for fault in gallery.verify())
    gallery.close()


def test_an_unclosed_gallery_on_a_read_only_disk(disk: Path) -> None:
    folder = disk / "gallery"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", ADDER, str(folder)], check=True, env=environment)
    remount(disk, "ro")
    with pytest.raises(StoreError, match="read-only"):
        open_gallery(folder)
    remount(disk, "rw")
    survives(folder, [one for start in range(0, 40, 10) for one in many(10, first=start)])
