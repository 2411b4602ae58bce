"""Named simulated data sets: fixed options, fixed seed, rendered on first use."""

from pathlib import Path

from passerby.errors import InputError
from passerby.simulate.options import SimulationOptions
from passerby.simulate.sensor import Difficulty

# less than half of what the default city does to a picture: hand-made features stay near chance all
# the same, and a network of a few million parameters can learn from a few hundred people
# (benchmarks/results has the figures)
MILD = Difficulty(
    colour=0.4, exposure=0.4, resolution=0.8, noise=0.4, light=0.4, occlusion=0.4, box=0.6
)

BENCHMARKS: dict[str, SimulationOptions] = {
    "simcity-s": SimulationOptions(
        people=520,
        cameras=12,
        hours=2.0,
        extent=1240.0,
        seed=1501,
        crops_per_passage=3,
        train_share=0.7,
        difficulty=MILD,
    ),
    "simcity-m": SimulationOptions(
        people=1300,
        cameras=24,
        hours=2.0,
        extent=1600.0,
        seed=1502,
        crops_per_passage=3,
        train_share=0.6,
        difficulty=MILD,
    ),
}


def ensure(name: str, folder: Path, *, workers: int = 2, progress: bool = True) -> Path:
    """The folder of a named data set, simulated when it is not there yet.

    Args:
        name: a key of ``BENCHMARKS``.
        folder: where data sets are kept.
        workers: processes that render it.
        progress: show a bar on stderr while rendering.

    Raises:
        InputError: for an unknown name, or a folder of that name which is something else.
    """
    if name not in BENCHMARKS:
        raise InputError(f"no simulated data set '{name}'; there are: {', '.join(BENCHMARKS)}")
    from passerby.simulate.writer import MARK, simulate

    out = folder / name
    if not (out / MARK).exists():
        simulate(out, BENCHMARKS[name], workers=workers, progress=progress)
    return out
