"""A program that runs functions of ``tasks.py`` in processes it forks, one or several together.

Forking saves every round the seconds that importing torch takes. Each line on standard input is a
JSON object (number, function, arguments, processes); the answer is a line with the number and the
processes' statuses.
As under torchrun, all end when one ends badly.
"""

import json
import os
import signal
import socket
import sys
from typing import Any

import tasks
import torch
import torch._dynamo  # the first optimiser would import it, in every process anew


def start(rank: int, processes: int, port: int, function: str, arguments: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    if processes > 1:
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
    status = 1
    try:
        getattr(tasks, function)(**arguments)
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def run(function: str, arguments: dict[str, Any], processes: int) -> list[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    alive = [start(rank, processes, port, function, arguments) for rank in range(processes)]
    statuses = []
    while alive:
        child, status = os.wait()
        alive.remove(child)
        statuses.append(status)
        if status:
            for other in alive:
                os.kill(other, signal.SIGKILL)
    return statuses


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in sys.stdin:
        wanted = json.loads(line)
        print(json.dumps([wanted.pop("number"), run(**wanted)]), flush=True)
