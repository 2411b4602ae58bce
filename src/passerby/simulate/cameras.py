"""A camera on a pole: where it stands, what it watches, how it projects."""

from dataclasses import dataclass

import numpy as np

from passerby.simulate.geometry import direction

FRAME = (1920, 1080)  # pixels of a camera's picture
HEAD = 2.0  # metres: what stands higher than this at full range may leave the picture


@dataclass(frozen=True, kw_only=True)
class CityCamera:
    """A camera on a pole: a pinhole of FRAME pixels that looks down onto the street."""

    number: int
    place: np.ndarray
    """(2,) metres east, north."""
    heading: float
    """Degrees clockwise from north."""
    field_of_view: float
    """Horizontal, degrees."""
    height: float
    """Metres above the ground."""
    range: float
    """Metres along the ground at which people are still taken notice of."""
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
    def focal(self) -> float:
        """Focal length in pixels."""
        return FRAME[0] / 2 / np.tan(np.radians(self.field_of_view / 2))

    @property
    def pitch(self) -> float:
        """Degrees below the horizon of the optical axis: heads at full range touch the upper edge."""
        upper = np.degrees(np.arctan2(self.height - HEAD, self.range))
        return float(upper + np.degrees(np.arctan2(FRAME[1] / 2, self.focal)))

    @property
    def near(self) -> float:
        """Metres along the ground at which feet leave the lower edge of the picture."""
        lower = self.pitch + np.degrees(np.arctan2(FRAME[1] / 2, self.focal))
        return float(self.height / np.tan(np.radians(min(lower, 80.0))))

    def project(self, places: np.ndarray, heights: np.ndarray | float = 0.0) -> np.ndarray:
        """Places (..., 2) in metres and heights above ground -> (..., 2) pixels x, y of the frame."""
        offset = np.asarray(places) - self.place
        ahead = offset @ direction(self.heading)
        right = offset @ direction(self.heading + 90.0)
        down = self.height - np.asarray(heights, dtype=np.float64)
        sine, cosine = np.sin(np.radians(self.pitch)), np.cos(np.radians(self.pitch))
        depth = np.maximum(ahead * cosine + down * sine, 0.1)
        below = down * cosine - ahead * sine
        x = FRAME[0] / 2 + self.focal * right / depth
        return np.stack([x, FRAME[1] / 2 + self.focal * below / depth], axis=-1)
