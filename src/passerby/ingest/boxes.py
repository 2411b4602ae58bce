"""Boxes (x0, y0, x1, y1): how they overlap, and how one moves through the frames."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

FRAME_MS = 40.0  # the noise figures are per frame at 25 frames a second; longer steps scale them
POSITION_NOISE = 1 / 20  # of the box height, as in DeepSORT and ByteTrack
VELOCITY_NOISE = 1 / 320  # half of theirs: walkers in view of a fixed camera keep their pace
UPRIGHT = 3  # power of the vertical overlap in the agreement of two boxes
_MEASURE = np.eye(4, 8)


def overlaps(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of each pair of boxes, (A, 4) and (B, 4) to (A, B)."""
    shared = intersections(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return shared / np.maximum(union, 1e-9)


def agreement(a: FloatArray, b: FloatArray) -> FloatArray:
    """How well boxes (A, 4) and (B, 4) agree, (A, B) in 0..1: their overlap and their height.

    Intersection over union times the third power of the same of the vertical sides. People who
    pass each other overlap, but at other distances, so at other heights of the picture (after Yang
    et al., "Hybrid-SORT: Weak Cues Matter for Online Multi-Object Tracking", AAAI 2024).
    """
    shared = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1])
    union = np.maximum(a[:, None, 3], b[:, 3]) - np.minimum(a[:, None, 1], b[:, 1])
    vertical = np.clip(shared, 0, None) / np.maximum(union, 1e-9)
    agreed: FloatArray = overlaps(a, b) * vertical**UPRIGHT
    return agreed


def intersections(a: FloatArray, b: FloatArray) -> FloatArray:
    """Common area of each pair of boxes, (A, 4) and (B, 4) to (A, B)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared: FloatArray = np.clip(high - low, 0, None).prod(axis=2)
    return shared


def centres(boxes: FloatArray) -> FloatArray:
    """Centres (N, 2) of (N, 4) boxes."""
    middle: FloatArray = (boxes[:, :2] + boxes[:, 2:]) / 2
    return middle


def area(boxes: FloatArray) -> FloatArray:
    """Areas of (N, 4) boxes."""
    areas: FloatArray = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    return areas


def widened(boxes: FloatArray, share: float) -> FloatArray:
    """Grow boxes by ``share`` of their sides to each side."""
    grow = np.tile((boxes[:, 2:] - boxes[:, :2]) * share, 2)
    grown: FloatArray = boxes + grow * np.array([-1, -1, 1, 1])
    return grown


def height_ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """Smaller height over larger, (A, B)."""
    first, second = (a[:, 3] - a[:, 1])[:, None], (b[:, 3] - b[:, 1])[None, :]
    return np.minimum(first, second) / np.maximum(np.maximum(first, second), 1e-9)


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
    """Constant-velocity Kalman filter of a box over (x, y, aspect, height).

    The state has the mean (8,), with the velocities last, and the covariance (8, 8).
    """

    def __init__(self, box: FloatArray) -> None:
        """Start at rest at ``box``, with a large variance of the speed."""
        start = to_xyah(box)
        height = start[3]
        self.mean = np.concatenate([start, np.zeros(4)])
        position, velocity = 2 * POSITION_NOISE * height, 10 * VELOCITY_NOISE * height
        spread = [position, position, 1e-2, position, velocity, velocity, 1e-5, velocity]
        self.covariance = np.diag(np.square(spread))

    def predict(self, elapsed_ms: float) -> None:
        """Predict the state after ``elapsed_ms``."""
        steps = elapsed_ms / FRAME_MS
        motion = np.eye(8)
        motion[range(4), range(4, 8)] = steps
        height = self.mean[3]
        position, velocity = POSITION_NOISE * height, VELOCITY_NOISE * height
        noise = [position, position, 1e-2, position, velocity, velocity, 1e-5, velocity]
        self.mean = motion @ self.mean
        # the noise of each frame is independent, so the variances add up over the step
        self.covariance = motion @ self.covariance @ motion.T + np.diag(np.square(noise)) * steps

    def correct(self, box: FloatArray) -> None:
        """Correct the state by a measured box."""
        height = self.mean[3]
        error = [POSITION_NOISE * height, POSITION_NOISE * height, 1e-1, POSITION_NOISE * height]
        measured = _MEASURE @ self.covariance @ _MEASURE.T + np.diag(np.square(error))
        gain = np.linalg.solve(measured, _MEASURE @ self.covariance).T
        self.mean = self.mean + gain @ (to_xyah(box) - self.mean[:4])
        self.covariance = self.covariance - gain @ measured @ gain.T

    @property
    def box(self) -> FloatArray:
        """The (4,) box of the state: x0, y0, x1, y1."""
        return to_box(self.mean)
