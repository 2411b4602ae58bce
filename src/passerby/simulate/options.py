"""What a simulated city is made from, and the named data sets made of fixed options."""

import math
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from passerby.errors import InputError


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


WHOLE = {  # smallest and largest value of the options that count something
    "people": (2, 100_000),
    "cameras": (2, 2_000),
    "seed": (0, 2**32 - 1),
    "crops_per_passage": (1, 50),
}
RANGES = {  # smallest and largest value of the others
    "hours": (0.1, 48.0),
    "extent": (600.0, 20_000.0),
    "train_share": (0.0, 1.0),
    "look_alike_share": (0.0, 1.0),
    "change_share": (0.0, 1.0),
    "group_share": (0.0, 1.0),
    "bystander_share": (0.0, 0.9),
    "missed_share": (0.0, 0.9),
    "false_boxes": (0.0, 2.0),
    "junk": (0.0, 2.0),
    "clip_seconds": (1.0, 600.0),
}


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
        for name, (low, high) in {**WHOLE, "clips": (0, self.cameras)}.items():
            _check(name, getattr(self, name), low, high, "be a whole number from {} to {}")
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if value is not None:
                _check(name, value, least, most, "lie between {} and {}")
        self.start_ms  # noqa: B018 - reading it checks it

    @property
    def start_ms(self) -> int:
        """The start in milliseconds since the epoch, UTC."""
        try:
            moment = datetime.fromisoformat(self.start)
        except ValueError:
            raise InputError(
                f"start '{self.start}' is no ISO 8601 time; write e.g. 2030-05-06T08:00:00+08:00"
            ) from None
        if moment.tzinfo is None:
            raise InputError(f"start '{self.start}' has no time zone; add an offset such as +08:00")
        return round(moment.timestamp() * 1000)

    @property
    def metres(self) -> float:
        """Metres across the city, chosen from the number of cameras when ``extent`` is None."""
        if self.extent is not None:
            return self.extent
        return float(min(max(1_000.0 + 150.0 * math.sqrt(self.cameras), 1_200.0), 2_500.0))


def _check(name: str, value: float, low: float, high: float, range_words: str) -> None:
    if not low <= value <= high:
        asked = range_words.format(low, high)
        raise InputError(f"{name.replace('_', '-')} is {value}; it must {asked}")


# less than half of what the default city does to a picture: hand-made features stay near chance all
# the same, and a network of a few million parameters can learn from a few hundred people
# (benchmarks/results has the figures)
MILD = Difficulty(
    colour=0.4, exposure=0.4, resolution=0.8, noise=0.4, light=0.4, occlusion=0.4, box=0.6
)

BENCHMARKS: dict[str, SimulationOptions] = {
    "simcity-s": SimulationOptions(
        people=520, cameras=12, hours=2.0, extent=1240.0, seed=1501, crops_per_passage=3,
        train_share=0.7, difficulty=MILD,
    ),
    "simcity-m": SimulationOptions(
        people=1300, cameras=24, hours=2.0, extent=1600.0, seed=1502, crops_per_passage=3,
        train_share=0.6, difficulty=MILD,
    ),
}  # fmt: skip


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
