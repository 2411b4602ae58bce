"""What a simulated city is made from, and the named data sets made of fixed options."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from passerby.errors import InputError
from passerby.simulate import data_file
from passerby.times import parse_time


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """Factors on what makes a person look different from camera to camera; 1 is the default.

    Attributes:
        colour: strength of colour response, white balance and saturation.
        exposure: spread of brightness and contrast.
        resolution: 1 draws the usual range of native heights; larger means fewer pixels.
        noise: strength of noise, blur and compression.
        light: spread of the light within one camera (clouds, hour).
        occlusion: chance factor of things and people in front.
        box: spread of the detector's box.
    """

    colour: float = 1.0
    exposure: float = 1.0
    resolution: float = 1.0
    noise: float = 1.0
    light: float = 1.0
    occlusion: float = 1.0
    box: float = 1.0


DATA = data_file("options")  # ranges and named data sets


@dataclass(frozen=True, kw_only=True)
class SimulationOptions:
    """A simulated city and its crops; equal options give equal files.

    Attributes:
        people: Number of people who live in the city.
        cameras: Number of cameras.
        hours: Hours that are simulated.
        seed: Seed of everything that is drawn.
        extent: Metres across the city; by default 1,200 to 2,500, growing with the cameras.
        start: When the simulation begins, ISO 8601 with an offset.
        crops_per_passage: Crops taken of a person on one passage of a camera.
        train_share: Share of the people (bystanders not counted) whose crops become the training
            set.
        bystander_share: Share of the people who become distractors (identity 0) of the gallery.
        look_alike_share: Share of the people who dress like another: uniforms, the fashion of a
            group.
        change_share: Share of the people who change their outer clothes during the day.
        group_share: Share of the people who walk with family or friends.
        rain: Whether it rains for a part of the time; half of the people then open an umbrella.
        missed_share: Share of the passages that no detector sees: truth without a tracklet.
        false_boxes: Background boxes among the distractors, as a share of the test crops of
            people.
        junk: Junk boxes (identity -1) as a share of the test crops of people.
        difficulty: Strength of what makes one person look different from camera to camera.
        clips: Number of cameras that also record a clip.
        clip_seconds: Seconds of each clip.
    """

    people: int = 120
    cameras: int = 12
    hours: float = 3.0
    seed: int = 0
    extent: float | None = None
    start: str = "2030-05-06T08:00:00+08:00"
    crops_per_passage: int = 4
    train_share: float = 0.5
    bystander_share: float = 0.06
    look_alike_share: float = 0.25
    change_share: float = 0.1
    group_share: float = 0.3
    rain: bool = True
    missed_share: float = 0.05
    false_boxes: float = 0.07
    junk: float = 0.28
    difficulty: Difficulty = field(default_factory=Difficulty)
    clips: int = 0
    clip_seconds: float = 20.0

    def __post_init__(self) -> None:
        """Check every range."""
        for name, (low, high) in {**DATA["whole"], "clips": (0, self.cameras)}.items():
            self._check(name, low, high, f"be a whole number from {low} to {high}")
        for name, (low, high) in DATA["ranges"].items():
            self._check(name, low, high, f"lie between {low} and {high}")
        self.start_ms  # noqa: B018 - reading it checks it

    def _check(self, name: str, low: float, high: float, demand: str) -> None:
        value = getattr(self, name)
        if value is not None and not low <= value <= high:
            raise InputError(f"{name.replace('_', '-')} is {value}; it must {demand}")

    @property
    def start_ms(self) -> int:
        """The start in milliseconds since the epoch, UTC."""
        return parse_time(self.start, "start")

    @property
    def metres(self) -> float:
        """Metres across the city, chosen from the number of cameras when ``extent`` is None."""
        if self.extent is not None:
            return self.extent
        return float(min(max(1_000.0 + 150.0 * math.sqrt(self.cameras), 1_200.0), 2_500.0))


MILD = Difficulty(**DATA["mild"])
BENCHMARKS = {
    name: SimulationOptions(**values, difficulty=MILD)
    for name, values in DATA["benchmarks"].items()
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
