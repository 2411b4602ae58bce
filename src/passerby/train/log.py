"""The log of a run: running means of the losses, written as one JSON object a line."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from passerby.files import write_text
from passerby.train import distributed

BEGIN = "begin"  # the event with what a method reports at the start of an epoch


class DivergedError(RuntimeError):
    """The loss is infinite or not a number."""


def say(text: str) -> None:
    """Print one line to standard error, on process 0 of several."""
    if distributed.is_main():
        print(f"passerby train: {text}", file=sys.stderr, flush=True)


class RunLog:
    """Append lines to ``log.jsonl``; every line has the global ``step`` it belongs to."""

    def __init__(self, path: Path, *, step: int = 0) -> None:
        """Open ``path`` and drop lines after ``step`` and an incomplete last line.

        Such lines belong to steps after the last checkpoint, which the run does again.
        """
        kept = [line for line in _lines(path) if _is_done(line, step)] if step else []
        write_text(path, "".join(map(_encode, kept)))
        self._file = path.open("a", encoding="utf-8")

    def write(self, event: str, **values: Any) -> None:
        """Append one line and hand it to the operating system."""
        self._file.write(_encode({"event": event, **values}))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _is_done(line: dict[str, Any], step: int) -> bool:
    """Whether the line belongs to the work before ``step``, at which a run resumes.

    The ``begin`` line of an epoch that starts at ``step`` does not: the epoch begins again.
    """
    place = line.get("step", 0)
    return place < step or (place == step and line.get("event") != BEGIN)


def _encode(values: dict[str, Any]) -> str:
    return json.dumps(values) + "\n"


def _lines(path: Path) -> list[dict[str, Any]]:
    """Parse the lines of ``path``, up to the first incomplete one."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


class Meter:
    """Sums of loss terms since the last log line (the window) and since the start of the epoch.

    Sums stay on the device until they are read. In a run of several processes every reading is the
    mean over the processes (the sum, for images), and all processes must read together.
    """

    def __init__(self) -> None:
        self._window: dict[str, Tensor] = {}
        self._epoch: dict[str, float] = {}

    def add(self, terms: dict[str, Tensor], images: int) -> None:
        """Add one forward pass. Nothing is read from the device: that would make a GPU wait."""
        for name, value in {**terms, "images": torch.tensor(float(images))}.items():
            term = value.detach().float()
            self._window[name] = self._window[name] + term if name in self._window else term
        self._window["steps"] = self._window.get("steps", torch.tensor(0.0)) + 1

    def window(self) -> tuple[dict[str, float], int]:
        """Mean terms and number of images since the last call.

        Raises:
            DivergedError: If a term is infinite or not a number.
        """
        sums = self._read()
        self._window = {}
        for name, value in sums.items():
            self._epoch[name] = self._epoch.get(name, 0.0) + value
        return _means(sums)

    def epoch(self) -> tuple[dict[str, float], int]:
        """Mean terms and number of images of the epoch, which ends with this call."""
        self.window()
        sums, self._epoch = self._epoch, {}
        return _means(sums)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold."""
        return {"window": self._read(), "epoch": dict(self._epoch)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        # 0-dimensional CPU tensors mix with those of any device
        self._window = {name: torch.tensor(value) for name, value in state["window"].items()}
        self._epoch = dict(state["epoch"])

    def _read(self) -> dict[str, float]:
        sums = {name: float(value) for name, value in self._window.items()}
        if distributed.world_size() > 1:
            means = distributed.mean(torch.tensor(list(sums.values()), dtype=torch.float64))
            sums = dict(zip(sums, means.tolist(), strict=True))
            if "images" in sums:
                sums["images"] *= distributed.world_size()
        if not all(math.isfinite(value) for value in sums.values()):
            raise DivergedError(f"the loss is not finite: {_means(sums)[0]}")
        return sums


def _means(sums: dict[str, float]) -> tuple[dict[str, float], int]:
    steps = max(1.0, sums.get("steps", 0.0))
    means = {n: value / steps for n, value in sums.items() if n not in ("steps", "images")}
    return means, int(sums.get("images", 0.0))
