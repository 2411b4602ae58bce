"""Many cameras in one file: what a manifest may say, its run, and what a kill leaves."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from passerby.city import City, geojson
from passerby.errors import InputError
from passerby.ingest.manifest import read_manifest

SCRIPT = Path(__file__).parent / "manifest_script.py"
SLOW = [pytest.mark.slow, pytest.mark.timeout(3600)]
START = "2026-05-01T00:00:00Z"


@pytest.fixture(scope="session")
def clips(
    tmp_path_factory: pytest.TempPathFactory,
    draw_clip: Callable[..., Path],
    cut_clip: Callable[..., list[Path]],
) -> Path:
    """Frigate's tree of yard and gate, in segments of two seconds, and a clip of the door."""
    folder = tmp_path_factory.mktemp("clips")
    for name, people in (("yard", 40), ("gate", 36)):
        whole = draw_clip(folder / f"{name}.mp4", people, gop=50, gap=12 + (name == "gate"))
        hour = folder / "frigate" / "2026-05-01" / "00" / name
        cut_clip(whole, [hour / f"00.{2 * number:02d}.mp4" for number in range(20)])
    draw_clip(folder / "door.mp4", 6)
    return folder


def make_city(folder: Path, *cameras: str) -> Path:
    ring = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    codes = ("99", "9901", "990101", "99010101", "9901010101")
    levels = ("city", "district", "street", "area", "cell")
    units = [
        geojson.feature({"code": c, "parent": c[:-2], "level": n, "name": n}, "Polygon", [ring])
        for c, n in zip(codes, levels, strict=True)
    ]
    stands = [
        geojson.feature(
            {"id": one, "number": n, "name": one, "unit": codes[-1]}, "Point", [0.5, 0.5]
        )
        for n, one in enumerate(cameras, 1)
    ]
    City.create(folder, units=geojson.collection(units), cameras=geojson.collection(stands)).close()
    return folder


def write(folder: Path, clips: Path, *, more: str = "") -> Path:
    path = folder / "cameras.toml"
    path.write_text(f"""
        city = "city"
        workers = 2
        every = 1
        [cameras.door]
        clips = [{{path = "{clips}/door.mp4", start = "{START}"}}]
        [[folders]]
        folder = "{clips}/frigate"
        pattern = "frigate"
        names = {{gate = "G"}}
        {more}
    """)
    return path


def run(manifest: Path) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(manifest)], capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    facts = json.loads(done.stdout)
    return done.returncode, {one["camera"]: one for one in facts["cameras"]}, done.stderr


def all_ids(folder: Path) -> list[str]:
    with City.open(folder) as city:
        found = city.gallery.search(np.ones((1, 12), np.float32), max(city.count(), 1))
        assert city.gallery.verify() == []
        return sorted(found[0].ids)


def test_a_camera_that_fails_does_not_stop_the_others(clips: Path, tmp_path: Path) -> None:
    make_city(tmp_path / "city", "door", "yard", "KILLED", "lost")
    (tmp_path / "lost.ts").write_bytes(b"no video")
    more = f"""
        [cameras.KILLED]
        clips = [{{path = "{clips}/door.mp4", start = "{START}"}}]
        [cameras.lost]
        folder = "{tmp_path}"
        start = "{START}"
    """
    status, cameras, said = run(write(tmp_path, clips, more=more))
    assert status == 1
    states = {name: one["state"] for name, one in cameras.items()}
    assert states == {name: "failed" if name in ("G", "KILLED") else "done" for name in states}
    assert "no camera 'G'" in cameras["G"]["error"]
    assert "status -9" in cameras["KILLED"]["error"]
    assert cameras["yard"]["report"]["tracklets"] == 40
    assert cameras["yard"]["report"]["recorded"] == [[1777593600000, 1777593600000 + 292 * 40]]
    assert list(cameras["lost"]["report"]["failed"]) == [str(tmp_path / "lost.ts")]
    assert "yard: begun segment 0 of 6" in said
    assert "yard: done segment 6 of 6, 292 frames, 40 people" in said
    table = said[said.index("camera  ") :]
    assert len(table.splitlines()) == 6
    assert "1 segments unreadable" in table


@pytest.mark.slow
def test_the_second_run_does_nothing_again(clips: Path, tmp_path: Path) -> None:
    make_city(tmp_path / "city", "door", "yard", "G")
    status, cameras, _ = run(write(tmp_path, clips))
    assert (status, cameras["G"]["report"]["tracklets"]) == (0, 36), cameras
    before = all_ids(tmp_path / "city")
    status, cameras, _ = run(write(tmp_path, clips))
    assert status == 0
    assert [one["report"]["before"] for one in cameras.values()] == [1, 6, 6]
    assert [one["report"]["done"] for one in cameras.values()] == [0, 0, 0]
    assert all_ids(tmp_path / "city") == before


@pytest.mark.parametrize("times", [pytest.param(n, marks=SLOW) for n in (1, 10)])
def test_kill_of_a_manifest_changes_nothing(times: int, clips: Path, tmp_path: Path) -> None:
    """Killed -9 with its workers at random moments: the sightings are those of a clean run."""
    rng = random.Random(times)
    make_city(tmp_path / "city", "door", "yard", "G")
    manifest = write(tmp_path, clips)
    for _ in range(times):
        child = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(manifest)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert child.stderr is not None
        while "begun" not in (line := child.stderr.readline()) and line:
            pass
        time.sleep(3 * rng.random())
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    status, cameras, _ = run(manifest)
    assert status == 0
    assert cameras["yard"]["report"]["tracklets"] <= 40
    clean = tmp_path / "clean"
    clean.mkdir()
    make_city(clean / "city", "door", "yard", "G")
    assert run(write(clean, clips))[0] == 0
    assert all_ids(tmp_path / "city") == all_ids(clean / "city")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[cameras.A]\nclips = 3", r"line 2: \[cameras.A\] clips must be a list"),
        (
            "\n[cameras.A]\nevrey = 3",
            r"line 3: \[cameras.A\] evrey is not known; allowed are clips",
        ),
        ("evrey = 3\n", "line 1: evrey is not known; allowed are city, workers"),
        ("every = 0\n", "line 1: every must be 1 or more"),
        ("every = true\n", "line 1: every must be a whole number"),
        ("workers = 0\n[cameras.A]\nclips = []", "line 1: workers must be 1"),
        ("city = 3\n", "line 1: city must be a text"),
        ("a = = 3", "at line 1"),
        ("", "no camera; add"),
        ("cameras = 3", "line 1: cameras must be tables"),
        ("[cameras]\nA = 3", "A must be a table"),
        ("[cameras.A]\nevery = 2", r"\[cameras.A\] clips must be one of clips, folder or playlist"),
        ("[cameras.A]\nfolder='x'\nclips=[]", "line 2: .* folder must be one of"),
        ("[cameras.A]\nclips=[{path='x'}]", "line 2: .* clips 1 has no start"),
        ("[cameras.A]\nclips=[{path='x', start='2026-05-01T00:00:00'}]", "no time zone"),
        ("[cameras.A]\nclips=[{path='x', start='2026-05-01T00:00:00Z', a=1}]", "1 has a wrong a"),
        ("[cameras.A]\nclips=['x']", "clips 1 must be {path"),
        ("[cameras.A]\nfolder='none'\nstart='2026-05-01T00:00:00Z'", "line 2: .* no folder"),
        ("[cameras.A]\nfolder='.'", "line 2: .* give a pattern"),
        ("[cameras.A]\nfolder='.'\npattern='stamp'", "line 2: .* add --zone"),
        ("[cameras.A]\nplaylist='none.m3u8'", "line 2: .* cannot be read"),
        ("[cameras.A]\ncrops=0\nclips=[]", r"\[cameras.A\] crops"),
        ("[[folders]]\npattern='frigate'", "folder is missing"),
        ("[[folders]]\nfolder='.'\npattern='{epoch}'", "has no {camera}"),
    ],
)
def test_what_is_wrong_in_a_manifest_is_said(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "cameras.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=why) as error:
        read_manifest(path)
    assert str(path) in str(error.value)


def test_networks_and_options_come_from_the_file_and_the_camera(
    clips: Path, tmp_path: Path
) -> None:
    more = '[cameras.A]\nclips=[]\nevery=3\ncrops=2\nmodel="m"\ndetector="/d.xml"\n'
    path = write(tmp_path, clips, more=more)
    (tmp_path / "base.xml").touch()
    path.write_text('detector = "base.xml"\nlongest_gap = 9\n' + path.read_text())
    tasks = {task.camera: task for task in read_manifest(path).tasks}
    assert (tasks["A"].detector, tasks["A"].model) == ("/d.xml", "m")
    assert tasks["door"].detector == str(tmp_path / "base.xml")
    options = tasks["A"].options
    assert (options.every, options.tracklets.crops, options.longest_gap) == (3, 2, 9)
    assert tasks["yard"].options.every == 1
    assert [len(tasks[name].segments) for name in ("door", "yard", "G")] == [1, 6, 6]
