"""What a simulated city is made from."""

import math
from dataclasses import dataclass, field

from passerby.errors import InputError
from passerby.simulate.sensor import Difficulty
from passerby.times import parse_time


@dataclass(frozen=True, kw_only=True)
class SimulationOptions:
    """A simulated city and its crops; equal options give equal files."""

    people: int = 120
    """Number of people who live in the city."""
    cameras: int = 12
    """Number of cameras."""
    hours: float = 3.0
    """Hours that are simulated."""
    seed: int = 0
    """Seed of everything that is drawn."""
    extent: float | None = None
    """Metres across the city; by default 1,200 to 2,500, growing with the cameras."""
    start: str = "2030-05-06T08:00:00+08:00"
    """When the simulation begins, ISO 8601 with an offset."""
    crops_per_passage: int = 4
    """Crops taken of a person on one passage of a camera."""
    train_share: float = 0.5
    """Share of the people (bystanders not counted) whose crops become the training set."""
    bystander_share: float = 0.06
    """Share of the people who become distractors (identity 0) of the gallery."""
    look_alike_share: float = 0.25
    """Share of the people who dress like another: uniforms, the fashion of a group."""
    change_share: float = 0.1
    """Share of the people who change their outer clothes during the day."""
    group_share: float = 0.3
    """Share of the people who walk with family or friends."""
    rain: bool = True
    """Whether it rains for a part of the time; half of the people then open an umbrella."""
    missed_share: float = 0.05
    """Share of the passages that no detector sees: truth without a tracklet."""
    false_boxes: float = 0.07
    """Background boxes among the distractors, as a share of the test crops of people."""
    junk: float = 0.28
    """Junk boxes (identity -1) as a share of the test crops of people."""
    difficulty: Difficulty = field(default_factory=Difficulty)
    """Strength of what makes one person look different from camera to camera."""
    clips: int = 0
    """Number of cameras that also record a clip."""
    clip_seconds: float = 20.0
    """Seconds of each clip."""

    def __post_init__(self) -> None:
        """Check every range."""
        _whole("people", self.people, 2, 100_000)
        _whole("cameras", self.cameras, 2, 2_000)
        _range("hours", self.hours, 0.1, 48.0)
        _whole("seed", self.seed, 0, 2**32 - 1)
        if self.extent is not None:
            _range("extent", self.extent, 600.0, 20_000.0)
        _whole("crops-per-passage", self.crops_per_passage, 1, 50)
        for name in ("train_share", "look_alike_share", "change_share", "group_share"):
            _range(name.replace("_", "-"), getattr(self, name), 0.0, 1.0)
        for name in ("bystander_share", "missed_share"):
            _range(name.replace("_", "-"), getattr(self, name), 0.0, 0.9)
        _range("false-boxes", self.false_boxes, 0.0, 2.0)
        _range("junk", self.junk, 0.0, 2.0)
        _whole("clips", self.clips, 0, self.cameras)
        _range("clip-seconds", self.clip_seconds, 1.0, 600.0)
        self.start_ms  # noqa: B018 - reading it checks it

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


def _range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} is {value}; it must lie between {low} and {high}")


def _whole(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} is {value}; it must be a whole number from {low} to {high}")
