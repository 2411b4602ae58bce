import importlib.util
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

PROGRAM = Path(__file__).with_name("forks.py")
Forks = Callable[..., list[int]]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tasks() -> ModuleType:
    """``tasks.py``."""
    spec = importlib.util.spec_from_file_location("tasks", PROGRAM.with_name("tasks.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Run a function of ``tasks.py`` in processes of its own; gives their statuses (0: well)."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None

        numbers = itertools.count()

        def run(function: str, processes: int = 1, **arguments: Any) -> list[int]:
            number = next(numbers)
            wanted = {"function": function, "arguments": arguments, "processes": processes}
            print(
                json.dumps(wanted | {"number": number}, default=str), file=program.stdin, flush=True
            )
            # the answer to a test that was given up may stand before
            while (answer := json.loads(program.stdout.readline()))[0] != number:
                pass
            return answer[1]

        yield run
        program.kill()
