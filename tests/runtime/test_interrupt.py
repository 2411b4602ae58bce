"""A network that another thread lets go must not take the main thread's Ctrl-C with it."""

import subprocess
import sys

import pytest

SCRIPT = """
import gc, os, signal, threading, time
import numpy as np
from passerby.runtime.files import read_network

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
held = [read_network("default", "cpu").backend("openvino", "fp32")]
held[0].features(np.zeros((2, 128, 64, 3), np.uint8))
letting_go = threading.Thread(target=lambda: (held.clear(), gc.collect()))
letting_go.start()
letting_go.join()
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_network_let_go_elsewhere_leaves_ctrl_c_alone() -> None:
    pytest.importorskip("openvino")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
