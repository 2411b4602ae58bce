"""The verbs of the queue: submit, look, work, submit again, stop."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from passerby.city import City
from passerby.cli import main
from passerby.ingest.jobs import Job
from passerby.models import ModelCard, build, save

START = "2026-05-01T08:00:00+08:00"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = build("slim18", num_classes=0)
    path = tmp_path_factory.mktemp("network") / "small.safetensors"
    save(network.eval(), ModelCard(architecture="slim18", dimension=network.dimension), path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        noise = rng.integers(0, 255, (64, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
    return folder


def run(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main([*map(str, words), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_submit_look_work_and_again(
    city: City, pictures: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submit = ["ingest", pictures, "--city", city.folder, "--camera", "C01", "--start", START]
    submit += ["--queue", "local"]
    first = run(capsys, *submit)
    assert (first["new"], first["state"]) == (True, "waiting")
    assert run(capsys, *submit) == {**first, "new": False}
    assert run(capsys, "work", city.folder, "--status")["waiting"] == 1
    work = ["work", city.folder, "--until-empty", "--model", model]
    assert run(capsys, *work) == {"done": 1, "failed": 0, "lost": 0}
    assert city.count() == 3
    assert run(capsys, "work", city.folder, "--again", first["job"]) == {"submitted": 1}
    assert run(capsys, *work)["done"] == 1
    assert city.count() == 3, "done twice, there once"


def test_what_cannot_be_done_is_put_aside_with_its_reason(
    city: City, pictures: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submit = ["ingest", pictures, "--city", city.folder, "--camera", "C01", "--start", START]
    run(capsys, *submit, "--queue", "local")
    pictures.rename(pictures.with_name("away"))
    work = ["work", city.folder, "--until-empty", "--model", model, "--tries", 1]
    assert run(capsys, *work)["failed"] == 1
    seen = run(capsys, "work", city.folder, "--status")
    assert seen["dead"] == 1
    assert str(pictures) in seen["jobs"][0]["error"]
    pictures.with_name("away").rename(pictures)
    assert run(capsys, "work", city.folder, "--again", "all") == {"submitted": 1}
    assert run(capsys, *work)["done"] == 1


def test_a_job_keeps_its_id_where_an_option_is_newer_than_it() -> None:
    job = Job(source="/media/1.mp4", camera="C01", start=1)
    assert job.id == "538d24f02319452460584ef77aff6d7d"
    assert replace(job, longest_gap=5.0).id != job.id


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ingest", "{pictures}", "--city", "{city}", "--camera", "C99"], "no camera 'C99'"),
        (["work", "{pictures}"], "no city"),
        (["work", "{city}", "--queue", "kafka://x"], "kind 'kafka'"),
        (["work", "{city}", "--tries", "0"], "more than zero"),
        (["work", "{city}", "--again", "nothing"], "no job 'nothing'"),
    ],
)
def test_bad_words_are_told(
    city: City, pictures: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.format(city=city.folder, pictures=pictures) for word in words]
    if given[0] == "ingest":
        given += ["--start", START, "--queue", "local"]
    assert main(given) == 2
    assert said in capsys.readouterr().err


SIGNALS = """
import os, signal, time
from passerby.cli.work import asked_to_stop
try:
    with asked_to_stop() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        print(stop.wait(10), flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


def test_the_first_signal_asks_and_the_second_interrupts() -> None:
    """In a process of its own: OpenVINO 2026.4 frees the main thread's signal stack with a model.

    A signal that comes after a compiled model was dropped ends that process.
    """
    done = subprocess.run(
        [sys.executable, "-c", SIGNALS], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "interrupted", "True"], done.stderr
    assert "after the job at hand" in done.stderr
