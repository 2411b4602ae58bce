import subprocess
import sys

PROGRAM = """
import socket, sys, threading

class Refused(socket.socket):
    def connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            print("CONNECTED", address)
        raise OSError("nothing may leave")

socket.socket = Refused
from passerby.runtime import Embedder
import numpy as np

embedder = Embedder.load("default", runtime="openvino")
embedder.embed([np.zeros((128, 64, 3), np.uint8)])
print("telemetry", sys.modules.get("openvino_telemetry"))
print("threads", [t.name for t in threading.enumerate() if "elemetry" in t.name])
"""


def test_converting_a_network_tells_nobody() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=240
    )
    assert "CONNECTED" not in done.stdout
    assert "telemetry None" in done.stdout
    assert "threads []" in done.stdout
