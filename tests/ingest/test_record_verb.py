"""``passerby record`` and ``ingest`` of a manifest as programs; secrets are in no trace of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from passerby.city import City
from passerby.ingest import create_small_city
from tests.ingest.rtsp import RtspServer

SECRET, QUOTED = "p@ss:w/rd", "p%40ss%3Aw%2Frd"


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that always sees one person at the same place."""
    openvino = pytest.importorskip("openvino")
    from openvino import opset13 as ops

    picture = ops.parameter([1, 3, 32, 64], np.float32)
    nothing = ops.multiply(
        ops.reduce_max(picture, np.array([1, 2, 3]), keep_dims=True), np.float32(0)
    )
    row = np.array([[[[0, 1, 0.9, 0.4, 0.1, 0.6, 0.9]]]], dtype=np.float32)
    path = tmp_path_factory.mktemp("detector") / "one.xml"
    openvino.save_model(openvino.Model([ops.add(nothing, row)], [picture]), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_small_city(tmp_path / "city", camera="C01", place=(116.4, 39.9)).close()
    return tmp_path / "city"


def test_record_ends_at_a_signal_and_leaves_no_secret(
    server: RtspServer, draw_clip: Callable[..., Path], detector_file: Path, folder: Path
) -> None:
    server.start(draw_clip(folder.parent / "stream.mp4", 40, gop=12), "operator", SECRET)
    address = server.address.replace("//", f"//operator:{QUOTED}@")
    command = [sys.executable, "-m", "passerby", "record", address, "--city", str(folder)]
    command += ["--camera", "C01", "--detector", str(detector_file), "--segment", "1", "--json"]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert child.stderr is not None
    said = ""
    while "connected" not in said:
        line = child.stderr.readline()
        assert line, said
        said += line
    title = Path(f"/proc/{child.pid}/cmdline").read_bytes()
    assert b"record" in title
    time.sleep(2.5)
    child.send_signal(signal.SIGTERM)
    out, rest = child.communicate()
    said += rest
    assert child.returncode == 0, said
    facts = json.loads(out)
    assert facts["record"]["segments"] >= 2
    assert facts["waiting"] == 0
    assert facts["ingest"]["frames"] > 20
    assert facts["ingest"]["added"] > 0
    assert not list((folder / "spool" / "C01").iterdir())
    with City.open(folder) as city:
        assert city.count() == facts["ingest"]["added"]
    texts = [title, out.encode(), said.encode()]
    texts += [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    texts += [str(path).encode() for path in folder.rglob("*")]
    for secret in (SECRET, QUOTED, "operator"):
        assert not [text[:80] for text in texts if secret.encode() in text]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--camera", "C02"], "no camera 'C02'"),
        (["--camera", "C01", "--transport", "pigeon"], "tcp or udp"),
        (["--camera", "C01", "--segment", "0"], "more than 0 seconds"),
        (["--camera", "C01", "--spool-gb", "0"], "needs room"),
        (["--camera", "C01", "--credentials", "none"], "cannot be read"),
    ],
)
def test_bad_input_of_record(
    more: list[str], why: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from passerby.cli import main

    words = ["record", "rtsp://127.0.0.1:1/x", "--city", str(folder), "--detector", "d.xml"]
    assert main([*words, *more]) == 2
    said = capsys.readouterr().err
    assert why in said
    assert len(said.splitlines()) == 1


def test_ingest_of_a_manifest_and_of_a_folder(
    draw_clip: Callable[..., Path],
    detector_file: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from passerby.cli import main

    clips = folder.parent / "clips"
    clips.mkdir()
    draw_clip(clips / "C01_20260501_080000.mp4", 2, frames=30)
    (clips / "C01_20260501.txt").touch()
    manifest = folder.parent / "cameras.toml"
    manifest.write_text(
        f'city = "city"\ndetector = "{detector_file}"\n[cameras.C01]\n'
        'folder = "clips"\npattern = "stamp"\nzone = "UTC"\n'
    )
    assert main(["ingest", str(manifest), "--json"]) == 3  # a file was left out
    facts = json.loads(capsys.readouterr().out)["cameras"][0]
    assert (facts["left_out"], facts["report"]["frames"], facts["report"]["done"]) == (1, 30, 1)
    assert facts["report"]["added"] > 0
    assert main(["ingest", str(manifest), "--every", "2", "--precision", "fp32"]) == 2
    assert "--precision, --every cannot stand beside a manifest" in capsys.readouterr().err
    manifest.write_text(manifest.read_text().replace("[cameras", 'precision = "int4"\n[cameras'))
    assert main(["ingest", str(manifest)]) == 2
    assert "precision must be auto, fp32 or bf16" in capsys.readouterr().err
    words = ["ingest", str(clips), "--city", str(folder), "--detector", str(detector_file)]
    assert main([*words, "--pattern", "stamp"]) == 2
    assert "add --zone" in capsys.readouterr().err
    assert main([*words, "--pattern", "stamp", "--zone", "UTC"]) == 3
    said = capsys.readouterr()
    assert "does not match" in said.err
    assert said.out.splitlines()[1].split()[:4] == ["C01", "1", "0", "30"]
    assert main([*words]) == 2
    assert "say which camera" in capsys.readouterr().err
