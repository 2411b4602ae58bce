"""A camera for tests: GStreamer's RTSP server as a process that can be killed and stopped."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from passerby.ingest.spool import Spool, SpoolLimits
from tests.conftest import DIE_TOO, free_port

HERE = Path(__file__).parent
PYTHON = "/usr/bin/python3"  # the system's, which has GStreamer
NEEDED = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
)
ROOM = SpoolLimits(reserve_gigabytes=0)


class RtspServer:
    """The server as a process that can be killed and stopped."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"rtsp://127.0.0.1:{self.port}/stream"
        self.process: subprocess.Popen[str] | None = None

    def start(self, clip: Path, *secret: str) -> None:
        command = [*DIE_TOO, PYTHON, str(HERE / "rtsp_server.py"), str(self.port), str(clip)]
        self.process = subprocess.Popen([*command, *secret], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def send(self, sign: int) -> None:
        assert self.process is not None
        self.process.send_signal(sign)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None


def running() -> Iterator[RtspServer]:
    there = subprocess.run([PYTHON, "-c", NEEDED], capture_output=True, check=False)
    if there.returncode:
        pytest.skip(
            "GStreamer's RTSP server is not installed (Debian: apt-get install python3-gi "
            "gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-bad)"
        )
    made = RtspServer()
    yield made
    made.kill()


def make_spool(folder: Path, limits: SpoolLimits = ROOM) -> Spool:
    return Spool(folder / "spool", "C01", folder, limits)
