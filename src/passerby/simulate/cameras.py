"""A camera on a pole: where it stands, what it watches, how it projects."""

from dataclasses import dataclass

import numpy as np

from passerby.simulate.geometry import direction
from passerby.simulate.sensor import Sensor


@dataclass(frozen=True, kw_only=True)
class CityCamera:
    """A camera on a pole: a pinhole that looks down onto the street."""

    number: int
    place: np.ndarray
    """(2,) metres east, north."""
    heading: float
    """Degrees clockwise from north."""
    range: float
    """Metres along the ground at which people are still taken notice of."""
    sensor: Sensor
    """Height, tilt, focal length, frame, and what the electronics do to the picture."""
    unit: str = ""
    """Code of the grid cell it stands in."""
    name: str = ""
    name_zh: str = ""
    digits: int = 2

    @property
    def id(self) -> str:
        """Such as "C07"."""
        return f"C{self.number:0{self.digits}d}"

    @property
    def height(self) -> float:
        """Metres above the ground."""
        return self.sensor.height

    @property
    def frame(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return self.sensor.frame

    @property
    def field_of_view(self) -> float:
        """Horizontal, degrees."""
        return float(2 * np.degrees(np.arctan2(self.frame[0] / 2, self.sensor.focal)))

    @property
    def near(self) -> float:
        """Metres along the ground at which feet leave the lower edge of the picture."""
        lower = self.sensor.tilt + np.arctan2(self.frame[1] / 2, self.sensor.focal)
        return float(self.height / np.tan(min(lower, np.radians(80.0))))

    def project(self, places: np.ndarray, heights: np.ndarray | float = 0.0) -> np.ndarray:
        """Places (..., 2) in metres and heights above ground -> (..., 2) pixels x, y."""
        offset = np.asarray(places) - self.place
        ahead = (offset * direction(self.heading)).sum(-1)
        right = (offset * direction(self.heading + 90.0)).sum(-1)
        down = self.height - np.asarray(heights, dtype=np.float64)
        sine, cosine = np.sin(self.sensor.tilt), np.cos(self.sensor.tilt)
        depth = np.maximum(ahead * cosine + down * sine, 0.1)
        below = down * cosine - ahead * sine
        x = self.frame[0] / 2 + self.sensor.focal * right / depth
        return np.stack([x, self.frame[1] / 2 + self.sensor.focal * below / depth], axis=-1)
