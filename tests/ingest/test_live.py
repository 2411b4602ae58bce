"""A live camera into a city: what a kill and a full disk leave."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from passerby.city import City
from passerby.city.gallery import StoreError
from passerby.errors import InputError
from passerby.ingest import ClipOptions, Detector, create_small_city
from passerby.ingest.live import Live
from passerby.ingest.names import find_clips, read_pattern
from passerby.ingest.recording import ingest_recording
from passerby.ingest.rtsp import Recorder, read_address
from passerby.ingest.segments import from_names
from passerby.ingest.spool import KEPT, Spool, SpoolLimits
from passerby.runtime import Embedder
from passerby.times import now
from tests.conftest import free_port
from tests.ingest.rtsp import HERE, RtspServer, make_spool

SLOW = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture
def networks(detector: Detector, embedder: Embedder) -> tuple[Detector, Embedder]:
    return detector, embedder


def test_limits_of_a_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = make_spool(tmp_path)
    old, new = now() - 3_600_000, now()
    for start in (new, old):
        part = spool.partial(start, ".ts")
        part.write_bytes(b"x" * 1000)
        spool.finish(part)
    spool.partial(new + 1000, ".ts").write_bytes(b"y" * 200)  # a recorder was killed here
    spool.partial(new + 2000, ".ts").touch()
    spool = make_spool(tmp_path)
    assert [segment.start for segment in spool.segments()] == [old, new, new + 1000]
    assert not list(spool.folder.glob(".*"))
    assert spool.full() == ""
    assert "has waited" in make_spool(tmp_path, SpoolLimits(hours=0.5, reserve_gigabytes=0)).full()
    assert "GB free" in make_spool(tmp_path, SpoolLimits(reserve_gigabytes=1e9)).full()
    keeping = make_spool(tmp_path, SpoolLimits(gigabytes=2.5e-6, keep_hours=2, reserve_gigabytes=0))
    keeping.release(keeping.segments()[0])
    assert len(list((spool.folder / KEPT).iterdir())) == 1
    make_spool(tmp_path, SpoolLimits(keep_hours=2, reserve_gigabytes=0)).tidy()
    assert len(list((spool.folder / KEPT).iterdir())) == 1
    make_spool(tmp_path, SpoolLimits(keep_hours=0.5, reserve_gigabytes=0)).tidy()
    assert not list((spool.folder / KEPT).iterdir())
    assert len(spool.segments()) == 2
    for wrong in ({"gigabytes": 0}, {"hours": -1}, {"keep_hours": -1}):
        with pytest.raises(InputError, match=r"room|below 0"):
            SpoolLimits(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=SLOW)])
def test_kill_of_a_recorder_loses_no_segment(
    times: int,
    server: RtspServer,
    stream: Path,
    networks: tuple[Detector, Embedder],
    tmp_path: Path,
) -> None:
    """Killed -9 at random moments; then the sightings are those of one clean run over its segments.

    What a recorder had received is on disk, so the part of a segment that was being written counts.
    """
    folder = tmp_path / "city"
    create_small_city(folder, camera="C01", place=(116.4, 39.9)).close()
    server.start(stream)
    rng = random.Random(times)
    command = [sys.executable, str(HERE / "live_script.py"), str(folder), server.address]
    for _ in range(times):
        child = subprocess.Popen([*command, "60"], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        while "connected" not in (line := child.stdout.readline()):
            assert line, "the recorder ended before it was killed"
        time.sleep(1 + 3 * rng.random())
        os.kill(child.pid, signal.SIGKILL)
        child.stdout.close()
        child.wait()
    last = subprocess.run([*command, "2"], check=False, capture_output=True, text=True)
    assert last.stdout.endswith("end\n"), last.stdout + last.stderr
    assert not [path for path in (folder / "spool").iterdir() if path.is_file()]
    pattern = read_pattern("record")
    kept = find_clips(folder / "spool" / KEPT, pattern).clips["C01"]
    assert len(kept) > 2 * times
    clean = create_small_city(tmp_path / "clean", camera="C01", place=(116.4, 39.9))
    report = ingest_recording(
        clean,
        from_names(kept, pattern.exact),
        camera="C01",
        source="clean",
        detector=networks[0],
        embedder=networks[1],
        again=True,  # the server begins its stream anew, so that a segment may come twice
    )
    with City.open(folder) as city:
        ids = [
            sorted(one.gallery.search(np.ones((1, 12), np.float32), max(one.count(), 1))[0].ids)
            for one in (city, clean)
        ]
        assert ids[0] == ids[1]
        assert len(ids[0]) == report.added > 0
        assert city.gallery.verify() == []
    clean.close()
    assert len(report.recorded) >= times + 1


@pytest.mark.slow
def test_the_ingest_waits_while_the_city_cannot_store(
    stream: Path,
    cut_clip: Callable[..., list[Path]],
    networks: tuple[Detector, Embedder],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The store fails in the middle of the second segment; nothing is lost, nothing is twice."""
    monkeypatch.setattr("passerby.ingest.live.RETRY", 0.1)
    store, calls, said = City.add_sightings, [], []

    def failing(city: City, sightings: object) -> int:
        calls.append(city)
        if len(calls) == 3:
            raise StoreError("the disk is full")
        return store(city, sightings)  # type: ignore[arg-type]

    cut = cut_clip(stream, [tmp_path / f"{number}.ts" for number in range(99)])
    counts = []
    for name, patched in (("broken", True), ("whole", False)):
        city = create_small_city(tmp_path / name, camera="C01", place=(116.4, 39.9))
        spool = make_spool(city.folder)
        for number, path in enumerate(cut):
            part = spool.partial(1_777_593_600_000 + number * 480, ".ts")
            part.write_bytes(path.read_bytes())
            spool.finish(part)
        if patched:
            monkeypatch.setattr(City, "add_sightings", failing)
        recorder = Recorder(read_address(f"rtsp://127.0.0.1:{free_port()}/x"), spool)
        live = Live(
            city=city,
            camera="C01",
            recorder=recorder,
            spool=spool,
            detector=networks[0],
            embedder=networks[1],
            options=ClipOptions(),
            say=said.append,
        )

        def stop_when_empty(spool: Spool = spool, stop: threading.Event = recorder.stop) -> None:
            while not stop.is_set() and spool.segments():
                time.sleep(0.05)
            stop.set()

        threading.Thread(target=stop_when_empty).start()
        report = live.run()
        assert report.waiting == 0
        assert len(report.interruptions) == patched
        assert not spool.segments()
        counts.append((city.count(), report.ingest.done, report.ingest.failed))
        monkeypatch.setattr(City, "add_sightings", store)
        city.close()
    assert counts[0] == counts[1]
    assert any("the ingest waits" in line and "the disk is full" in line for line in said)
