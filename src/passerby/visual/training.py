"""Training curves and cluster curves from a run's log."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from passerby.errors import InputError
from passerby.visual.svg import SERIES, Axis, Chart, Figure, swatch

WIDTH, HEIGHT = 330, 230  # pixels; three figures stand side by side
QUALITY = {"purity": "purity", "nmi": "NMI", "ari": "ARI"}
SCORES = {"mAP": "mAP", "rank-1": "rank-1"}

Event = Mapping[str, Any]


def read_log(path: Path) -> list[Event]:
    """Read the lines of a run's ``log.jsonl``, in order; a half-written last line is left out.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the training log '{path}' cannot be read: {error}") from error
    lines: list[Event] = []
    for text in texts:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            break
        if isinstance(line, dict):
            lines.append(line)
    return lines


def training_curves(events: Sequence[Event]) -> list[Figure]:
    """Draw losses, learning rate and speed of a run against its steps.

    Raises:
        InputError: The log has no training step.
    """
    lines = [line for line in events if line.get("event") == "step" and _complete(line)]
    if not lines:
        raise InputError("the log has no training step yet; wait for the run's first log line")
    steps = np.array([line["step"] for line in lines], dtype=np.float64)
    rates = np.array([line["learning_rate"] for line in lines], dtype=np.float64)
    speeds = np.array([line["images_per_second"] for line in lines], dtype=np.float64)
    across = Axis(low=0.0, high=float(steps.max()), label="training step")
    rate = _chart(across, "learning rate", top=float(rates.max()))
    rate.line(steps, rates, 1)
    speed = _chart(across, "images/s", top=float(speeds.max()))
    speed.line(steps, speeds, 1)
    median = float(np.median(speeds))
    speed.rule(y=median, text=f"median {median:.0f}")
    return [
        _losses(lines, steps, across),
        Figure(
            title="Learning rate",
            says="The schedule of the run: warm-up, then decay.",
            svg=rate.svg("Learning rate against training step"),
        ),
        Figure(
            title="Speed",
            says="Training pictures in a second. Dips are other work on the machine, or "
            "checkpoints and clustering between epochs.",
            svg=speed.svg(f"Images per second, median {median:.0f}"),
        ),
    ]


def cluster_curves(events: Sequence[Event]) -> list[Figure]:
    """Draw clusters, their quality and the scores before each epoch of training without labels.

    Returns:
        Figures of the log's ``begin`` lines; none for a run that does not cluster.
    """
    lines = [line for line in events if line.get("event") == "begin" and "clusters" in line]
    if not lines:
        return []
    last = max(float(lines[-1]["epoch"]), lines[0]["epoch"] + 1.0)
    across = Axis(low=float(lines[0]["epoch"]), high=last, label="epoch")
    figures = [_counts(lines, across)]
    if any("purity" in line for line in lines):
        says = (
            "Of clustered pictures of known people. Purity falls when a cluster contains several "
            "people; NMI and ARI also fall when one person is in several clusters."
        )
        figures.append(_shares(lines, across, QUALITY, "Clusters against people", says))
    if any("mAP" in line for line in lines):
        says = (
            "On the queries, from time to time. It should rise. The training does not use it for "
            "any choice."
        )
        figures.append(_shares(lines, across, SCORES, "Score before the epoch", says))
    return figures


def _losses(lines: Sequence[Event], steps: np.ndarray, across: Axis) -> Figure:
    """Draw the sum of the losses and each term."""
    names = list(dict.fromkeys(name for line in lines for name in line["losses"]))
    names.sort(key=lambda name: name != "loss")  # the sum first, then the terms in log order
    series = {n: [line["losses"].get(n, np.nan) for line in lines] for n in names[:SERIES]}
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
        says="Each term of the sum, with its weight. All should fall and become flat. A term that "
        "does not fall teaches nothing.",
        svg=chart.svg("Losses against training step: " + ", ".join(names)),
        legend=tuple(legend),
    )


def _counts(lines: Sequence[Event], across: Axis) -> Figure:
    """Draw the numbers of clusters and outliers, and of people if it is known."""
    epochs = [line["epoch"] for line in lines]
    names = ("clusters", "outliers")
    people = lines[-1].get("people")
    top = max(*(float(line[name]) for line in lines for name in names), float(people or 0), 1.0)
    chart = _chart(across, "count", top=top)
    for number, name in enumerate(names, start=1):
        chart.line(epochs, [line[name] for line in lines], number)
    if people:
        chart.rule(y=float(people), text=f"{people:,} people")
    return Figure(
        title="Clusters",
        says="Clusters, and outliers (pictures in no cluster), before each epoch. Outliers should "
        "become fewer; the number of clusters should approach the number of people.",
        svg=chart.svg(
            f"Clusters and outliers by epoch, at the end {lines[-1]['clusters']} and "
            f"{lines[-1]['outliers']}"
        ),
        legend=tuple((swatch(number), name) for number, name in enumerate(names, start=1)),
    )


def _shares(
    lines: Sequence[Event], across: Axis, names: Mapping[str, str], title: str, says: str
) -> Figure:
    """Draw fractions by epoch; ``names`` maps keys of the log to the legend."""
    up = Axis(low=0.0, high=1.0, label="share", percent=True)
    chart = Chart(across, up, width=WIDTH, height=HEIGHT)
    last, legend = [], []
    for number, (key, name) in enumerate(names.items(), start=1):
        values = {line["epoch"]: float(line[key]) for line in lines if key in line}
        if not values:
            continue
        chart.line(list(values), list(values.values()), number)
        for epoch, value in values.items():
            chart.dot(epoch, value, number, title=f"epoch {epoch}: {value:.1%}")
        last.append(f"{name} {value:.1%}")
        legend.append((swatch(number), name))
    return Figure(
        title=title,
        says=says,
        svg=chart.svg(f"{title} by epoch, at the end {', '.join(last)}"),
        legend=tuple(legend),
    )


def _chart(across: Axis, label: str, *, top: float, low: float = 0.0) -> Chart:
    """Begin a chart whose upper end leaves some space above ``top``."""
    high = 1.08 * top if top > low else low + 1.0
    return Chart(across, Axis(low=low, high=high, label=label), width=WIDTH, height=HEIGHT)


def _complete(line: Event) -> bool:
    """Check that a step line has all values that are drawn."""
    kinds = {"step": int, "learning_rate": int | float, "images_per_second": int | float}
    numbers = all(isinstance(line.get(name), kind) for name, kind in kinds.items())
    return numbers and isinstance(line.get("losses"), dict) and bool(line["losses"])
