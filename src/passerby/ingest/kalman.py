"""Where will a box be? A constant-velocity Kalman filter over (x, y, aspect, height)."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

FRAME_MS = 40.0  # noise figures are a frame at 25 frames a second; longer steps scale them
POSITION_NOISE = 1 / 20  # of the box height; DeepSORT's figures, which ByteTrack keeps
VELOCITY_NOISE = 1 / 160
_MEASURE = np.eye(4, 8)


def to_xyah(box: FloatArray) -> FloatArray:
    """(x0, y0, x1, y1) to centre x, centre y, width / height, height."""
    width, height = box[2] - box[0], box[3] - box[1]
    return np.array([box[0] + width / 2, box[1] + height / 2, width / height, height])


def to_box(state: FloatArray) -> FloatArray:
    """The first four values of a state to (x0, y0, x1, y1)."""
    x, y, aspect, height = state[:4]
    half = np.array([max(aspect, 0.05) * height, height]) / 2
    return np.array([x - half[0], y - half[1], x + half[0], y + half[1]])


class BoxFilter:
    """The motion of one box: mean (8,) and covariance (8, 8)."""

    def __init__(self, box: FloatArray) -> None:
        """Start at rest at ``box``, not at all sure of the speed."""
        start = to_xyah(box)
        height = start[3]
        self.mean = np.concatenate([start, np.zeros(4)])
        position, velocity = 2 * POSITION_NOISE * height, 10 * VELOCITY_NOISE * height
        spread = [position, position, 1e-2, position, velocity, velocity, 1e-5, velocity]
        self.covariance = np.diag(np.square(spread))

    def predict(self, elapsed_ms: float) -> None:
        """Move on by ``elapsed_ms``."""
        steps = elapsed_ms / FRAME_MS
        motion = np.eye(8)
        motion[range(4), range(4, 8)] = steps
        height = self.mean[3]
        position, velocity = POSITION_NOISE * height, VELOCITY_NOISE * height
        noise = [position, position, 1e-2, position, velocity, velocity, 1e-5, velocity]
        self.mean = motion @ self.mean
        # independent kicks each frame: their variances add up over the step
        self.covariance = motion @ self.covariance @ motion.T + np.diag(np.square(noise)) * steps

    def correct(self, box: FloatArray) -> None:
        """Take in a measured box."""
        height = self.mean[3]
        error = [POSITION_NOISE * height, POSITION_NOISE * height, 1e-1, POSITION_NOISE * height]
        measured = _MEASURE @ self.covariance @ _MEASURE.T + np.diag(np.square(error))
        gain = np.linalg.solve(measured, _MEASURE @ self.covariance).T
        self.mean = self.mean + gain @ (to_xyah(box) - self.mean[:4])
        self.covariance = self.covariance - gain @ measured @ gain.T

    @property
    def box(self) -> FloatArray:
        """The box it stands at, (4,)."""
        return to_box(self.mean)
