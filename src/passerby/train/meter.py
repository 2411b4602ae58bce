"""Running means of the losses, kept on the device until somebody asks."""

import math
from typing import Any

import torch
from torch import Tensor

from passerby.train import distributed


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


class Meter:
    """Sums of loss terms since the last log line (the window) and since the epoch began.

    In a run of several processes every reading is the mean over them (the sum, for images), and
    all must read together.
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

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold."""
        return {"window": self._read(), "epoch": dict(self._epoch)}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
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
