"""Small adds: committed together, waiting for the disk once, safe when the machine loses power."""

import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from passerby.city import open_gallery
from passerby.city.gallery import DamagedError, StoreError, keeping
from passerby.city.gallery.batch import Batch
from passerby.city.gallery.embedded import EmbeddedGallery
from passerby.city.sightings import Sighting
from passerby.errors import InputError
from tests.city.gallery_contract import many


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "gallery"


@pytest.fixture
def gallery(folder: Path) -> Iterator[EmbeddedGallery]:
    made = EmbeddedGallery(folder)
    made.add(many(200)[:100])
    yield made
    made.close()


def tickets(folder: Path) -> list[Path]:
    waiting = folder / "waiting"
    return sorted(waiting.glob("*.ticket")) if waiting.exists() else []


def until(true: Callable[[], object]) -> None:
    """Wait, half a minute at most."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """A thread at work, and what it will have returned or raised."""
    told: list[object] = []

    def run() -> None:
        try:
            told.append(work())
        except InputError as error:
            told.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, told


def test_who_holds_the_lock_commits_for_those_who_wait(
    folder: Path, gallery: EmbeddedGallery
) -> None:
    fresh = many(200)[100:]
    other = EmbeddedGallery(folder)
    with gallery._writing() as state:
        thread, told = in_thread(lambda: other.add([fresh[0], fresh[1], many(200)[0]]))
        until(lambda: tickets(folder))
        before = gallery.index.commits()
        batch = Batch.of(fresh[1:3])
        assert gallery._store(state, batch) == 2
    thread.join(30)
    assert told == [1]
    assert gallery.index.commits() == before + 1
    assert not tickets(folder)
    ids = [one.id for one in fresh[:3]]
    assert gallery.get(ids) == [*other.get(ids)]
    assert np.array_equal(gallery.vectors(ids), other.vectors(ids))
    other.close()


def test_a_ticket_holds_every_fact(folder: Path, gallery: EmbeddedGallery) -> None:
    one = many(200)[150]
    whole = Sighting(
        id="naïve \u2603",
        camera=one.camera,
        time=one.time,
        vector=one.vector,
        model=one.model,
        unit=one.unit,
        tracklet="t",
        box=(1.5, 2, 3.25, 4),
        crop="c" * 64,
        quality=0.125,
        attributes=(("upper", "red"), ("bag", "none")),
    )
    alone = EmbeddedGallery(folder.with_name("alone"))
    alone.add([whole])
    with gallery._writing() as state:
        thread, told = in_thread(lambda: EmbeddedGallery(folder).add([whole]))
        until(lambda: tickets(folder))
        gallery._store(state, Batch.of(many(200)[160:161]))
    thread.join(30)
    assert told == [1]
    assert gallery.get([whole.id]) == alone.get([whole.id]) == [whole]
    assert np.array_equal(gallery.vectors([whole.id]), alone.vectors([whole.id]))
    assert gallery.verify() == []
    alone.close()


def test_a_ticket_of_another_model_is_left_to_its_owner(
    folder: Path, gallery: EmbeddedGallery
) -> None:
    one = many(200)[120]
    foreign = Sighting(
        id="f", camera="C01", time=one.time, vector=one.vector, model="other", unit=one.unit
    )
    other = EmbeddedGallery(folder)
    with gallery._writing() as state:
        thread, told = in_thread(lambda: other.add([foreign]))
        until(lambda: tickets(folder))
        assert gallery._store(state, Batch.of([one])) == 1
        assert thread.is_alive()
    thread.join(30)
    assert "'other'" in str(told[0])
    assert gallery.count() == 101
    assert not tickets(folder)
    other.close()


def test_a_ticket_nobody_understands_is_left_to_its_owner(
    folder: Path, gallery: EmbeddedGallery
) -> None:
    (folder / "waiting").mkdir()
    strange = folder / "waiting" / "1-0.ticket"
    strange.write_bytes(b"o of a later version")
    with strange.open("rb") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        assert gallery.add(many(200)[100:101]) == 1
        assert strange.exists()
    assert gallery.add(many(200)[101:102]) == 1
    assert not strange.exists()


WAITER = """
import sys
from passerby.city import open_gallery
from tests.city.gallery_contract import many
open_gallery(sys.argv[1]).add(many(200)[180:181])
"""


def test_the_ticket_of_a_dead_process_is_thrown_away(
    folder: Path, gallery: EmbeddedGallery
) -> None:
    with gallery._writing() as state:
        process = subprocess.Popen([sys.executable, "-c", WAITER, str(folder)])
        until(lambda: tickets(folder))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert tickets(folder)
        gallery._store(state, Batch.of(many(200)[100:101]))
    assert not tickets(folder)
    assert gallery.count() == 101


def test_a_ticket_that_cannot_be_written_says_so(folder: Path, gallery: EmbeddedGallery) -> None:
    (folder / "waiting").write_text("a file in its place")
    other = EmbeddedGallery(folder)
    with gallery._writing():
        thread, told = in_thread(lambda: other.add(many(200)[100:101]))
        thread.join(30)
        assert isinstance(told[0], StoreError)
        assert "nothing was stored" in str(told[0])
    other.close()


STREAM = """
import sys
from passerby.city import open_gallery
from tests.city.gallery_contract import many
gallery, own = open_gallery(sys.argv[1]), int(sys.argv[2])
rows = many(400)
print(sum(gallery.add([rows[at]]) for at in range(own, 400, 2)))
"""


def test_streams_of_several_processes_count_each_sighting_once(folder: Path) -> None:
    """Each sighting is added by two of four processes; one of them is told that it was new."""
    open_gallery(folder).close()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", STREAM, str(folder), str(number % 2)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    told = [int(worker.communicate()[0]) for worker in workers]
    assert sum(told) == 400
    gallery = open_gallery(folder)
    assert gallery.count() == 400
    assert gallery.verify() == []
    assert not tickets(folder)
    gallery.close()


# loss of power ------------------------------------------------------------------------------


def after_power_loss(folder: Path, copy: Path, sizes: dict[str, int]) -> None:
    """What a disk may hold then: the log as committed, segment files as last synced."""
    shutil.copytree(folder, copy)
    for path in (copy / "vectors").glob("*.f16"):
        os.truncate(path, sizes.get(path.name, 0))
    database = sqlite3.connect(copy / "index.sqlite")
    database.execute("UPDATE facts SET value = 'before' WHERE name = 'boot'")
    database.commit()
    database.close()


@pytest.fixture
def cut(folder: Path, gallery: EmbeddedGallery, tmp_path: Path) -> Path:
    """A gallery of which the disk lost the vectors of 40 small adds."""
    if keeping.boot() is None:
        pytest.skip("this system does not say when it was started: everything is synced")
    sizes = {path.name: path.stat().st_size for path in (folder / "vectors").glob("*.f16")}
    for one in many(200)[100:140]:
        assert gallery.add([one]) == 1
    assert any(
        path.stat().st_size > sizes.get(path.name, 0) for path in folder.glob("vectors/*.f16")
    )
    copy = tmp_path / "copy"
    after_power_loss(folder, copy, sizes)
    return copy


def test_vectors_that_the_disk_lost_come_back(cut: Path, gallery: EmbeddedGallery) -> None:
    again = EmbeddedGallery(cut)
    ids = [one.id for one in many(200)[:140]]
    assert np.array_equal(again.vectors(ids), gallery.vectors(ids))
    assert again.verify() == []
    assert again.index.kept_rows() == 0
    assert again.add(many(200)[140:141]) == 1
    again.close()
    assert open_gallery(cut).verify() == []


def test_a_hole_in_what_the_disk_kept_is_filled(cut: Path, gallery: EmbeddedGallery) -> None:
    """The file has its size, and zeros where the pages were not written."""
    for path in (cut / "vectors").glob("*.f16"):
        os.truncate(path, (gallery.folder / "vectors" / path.name).stat().st_size)
    again = EmbeddedGallery(cut)
    ids = [one.id for one in many(200)[:140]]
    assert np.array_equal(again.vectors(ids), gallery.vectors(ids))
    again.close()


def test_vectors_lost_on_both_sides_are_named(cut: Path) -> None:
    database = sqlite3.connect(cut / "index.sqlite")
    database.execute("UPDATE kept SET vectors = zeroblob(length(vectors))")
    database.commit()
    database.close()
    with pytest.raises(DamagedError, match="are lost; restore"):
        EmbeddedGallery(cut)


def test_what_is_kept_stays_small(
    gallery: EmbeddedGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MOST", 10)
    most = 0
    for one in many(200)[100:140]:
        gallery.add([one])
        most = max(most, gallery.index.kept_rows())
    assert 0 < most <= 10


def test_closing_syncs_what_is_kept(folder: Path, gallery: EmbeddedGallery) -> None:
    gallery.add(many(200)[100:101])
    assert gallery.index.kept_rows() == 1
    gallery.close()
    again = EmbeddedGallery(folder)
    assert again.index.kept_rows() == 0
    assert again.count() == 101
    again.close()


def test_closing_after_somebody_died_at_work_settles_the_index(
    folder: Path, gallery: EmbeddedGallery
) -> None:
    gallery.add(many(200)[100:101])
    before = gallery.index.commits()
    with (folder / "writer.lock").open("r+b") as lock:
        lock.write(b"w")  # as one who was killed leaves it
    gallery.close()
    again = EmbeddedGallery(folder)
    assert again.index.commits() == before + 2  # the settling, and what was kept
    again.close()


def test_a_gallery_of_the_second_format_is_brought_up_to_date(
    folder: Path, gallery: EmbeddedGallery
) -> None:
    gallery.close()
    database = sqlite3.connect(folder / "index.sqlite")
    database.executescript("DROP TABLE kept; UPDATE facts SET value = 2 WHERE name = 'format'")
    database.close()
    for name in ("index.seal", "writer.lock"):
        (folder / name).unlink()
    again = EmbeddedGallery(folder)
    assert again.add(many(200)[100:101]) == 1
    assert again.count() == 101
    again.close()
