"""Training curves from a run's log."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from passerby.errors import InputError
from passerby.visual.svg import SERIES, Axis, Chart, Figure, swatch

MOST_TERMS = SERIES
WIDTH, HEIGHT = 330, 230  # three stand side by side


def read_log(path: Path) -> list[dict[str, Any]]:
    """The step lines of a run's ``log.jsonl``, in order.

    Raises:
        InputError: No such file, or no line of a training step in it.
    """
    lines = [line for line in read_events(path) if line.get("event") == "step" and _complete(line)]
    if not lines:
        raise InputError(f"'{path}' has no training step yet; wait for the run's first log line")
    return lines


def read_events(path: Path) -> list[dict[str, Any]]:
    """All lines of a run's ``log.jsonl``, in order; a half-written last line is left out.

    Raises:
        InputError: No such file.
    """
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the training log '{path}' cannot be read: {error}") from error
    lines = []
    for text in texts:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            break
        if isinstance(line, dict):
            lines.append(line)
    return lines


def training_curves(lines: Sequence[dict[str, Any]]) -> list[Figure]:
    """Losses, learning rate and speed of a run against its steps."""
    steps = np.array([line["step"] for line in lines], dtype=np.float64)
    rates = np.array([line["learning_rate"] for line in lines], dtype=np.float64)
    speeds = np.array([line["images_per_second"] for line in lines], dtype=np.float64)
    across = Axis(low=0.0, high=float(steps.max()), label="training step")
    losses = _losses(lines, steps, across)
    rate = _chart(across, "learning rate", top=float(rates.max()))
    rate.line(steps, rates, 1)
    speed = _chart(across, "images/s", top=float(speeds.max()))
    speed.line(steps, speeds, 1)
    middle = float(np.median(speeds))
    speed.rule(y=middle, text=f"median {middle:.0f}")
    return [
        losses,
        Figure(
            title="Learning rate",
            says="The schedule as it was run: warm-up, then decay.",
            svg=rate.svg("Learning rate against training step"),
        ),
        Figure(
            title="Speed",
            says="Pictures trained on each second. Dips are other work on the machine, or "
            "checkpoints and clustering between epochs.",
            svg=speed.svg(f"Images per second, median {middle:.0f}"),
        ),
    ]


def _losses(lines: Sequence[dict[str, Any]], steps: np.ndarray, across: Axis) -> Figure:
    names = list(dict.fromkeys(name for line in lines for name in line["losses"]))
    names.sort(key=lambda name: name != "loss")  # the sum first, then the terms as they came
    series = {n: [line["losses"].get(n, np.nan) for line in lines] for n in names[:MOST_TERMS]}
    top = max(float(np.nanmax(values)) for values in series.values())
    low = min(0.0, *(float(np.nanmin(values)) for values in series.values()))
    chart = _chart(across, "loss", top=top, low=low)
    legend = []
    for number, (name, values) in enumerate(series.items(), start=1):
        known = np.isfinite(values)
        chart.line(steps[known], np.array(values)[known], number)
        legend.append((swatch(number), "sum" if name == "loss" else name))
    return Figure(
        title="Losses",
        says="Each term as it enters the sum, with its weight. All should fall and flatten; a "
        "term that stays where it began teaches nothing.",
        svg=chart.svg("Losses against training step: " + ", ".join(names)),
        legend=tuple(legend),
    )


def _chart(across: Axis, label: str, *, top: float, low: float = 0.0) -> Chart:
    high = 1.08 * top if top > low else low + 1.0
    return Chart(across, Axis(low=low, high=high, label=label), width=WIDTH, height=HEIGHT)


def _complete(line: dict[str, Any]) -> bool:
    kinds = {"step": int, "learning_rate": int | float, "images_per_second": int | float}
    numbers = all(isinstance(line.get(name), kind) for name, kind in kinds.items())
    return numbers and isinstance(line.get("losses"), dict) and bool(line["losses"])
