"""The service as a process of its own: it says where it is, answers, and stops when told to."""

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from passerby.ingest import create_small_city


def test_ctrl_c_ends_it_quietly(tmp_path: Path) -> None:
    create_small_city(tmp_path / "city", camera="C01", place=(113.3, 20.5)).close()
    command = [sys.executable, "-m", "passerby", "serve", str(tmp_path / "city"), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as served:
        try:
            assert served.stdout is not None
            found = re.search(r"http://\S+", served.stdout.readline())
            assert found is not None
            with urllib.request.urlopen(found.group(), timeout=60) as page:
                assert page.status == 200
            served.send_signal(signal.SIGINT)
            _, err = served.communicate(timeout=60)
        finally:
            served.kill()
    assert (served.returncode, err) == (0, "")
