"""Which crops are taken: a few moments of each passage, with who else is near in the picture."""

from dataclasses import dataclass

import numpy as np

from passerby.simulate.observation import (
    Observations,
    Passages,
    area,
    clip_boxes,
    observe,
    overlap,
)
from passerby.simulate.world import World

STEP = 0.4  # seconds: crops of one passage are at least this far apart
REACH = 1.3  # widths of a box beyond which another person does not reach into the crop
MOST_OTHERS = 3


@dataclass(frozen=True, kw_only=True)
class Shots:
    """S crops of people.

    Attributes:
        passage: (S,) index of the passage.
        person: (S,) index of the person.
        camera: (S,) index of the camera.
        time: (S,) seconds since the start.
        seen: what the camera sees of the person.
        box: (S, 4) pixels, cut at the border of the frame.
        quality: (S,) 0..1: large, whole and unhidden is best.
        other_of: (O,) index of the shot in which another person is near; ascending.
        other_person: (O,) index of that person.
        other_seen: what the camera sees of that person.
    """

    passage: np.ndarray
    person: np.ndarray
    camera: np.ndarray
    time: np.ndarray
    seen: Observations
    box: np.ndarray
    quality: np.ndarray
    other_of: np.ndarray
    other_person: np.ndarray
    other_seen: Observations

    def __len__(self) -> int:
        return len(self.person)


def take_shots(
    world: World, detected: np.ndarray, stature: np.ndarray, rng: np.random.Generator
) -> Shots:
    """Choose the moments, project everyone who is in the picture, and grade the crops.

    Args:
        world: the city and its day.
        detected: (P,) bool, the passages that get crops.
        stature: (N,) metres of every person.
        rng: draws the moments.
    """
    passage, time = _moments(world.passages, detected, world.options.crops_per_passage, rng)
    person, camera = world.passages.person[passage], world.passages.camera[passage]
    seen = observe(
        world.walks, world.cameras, person=person, camera=camera, time=time, stature=stature
    )
    shot, other = _company(world.passages, passage, time)
    beside = observe(
        world.walks,
        world.cameras,
        person=world.passages.person[other],
        camera=camera[shot],
        time=time[shot],
        stature=stature,
    )
    shot, other, beside = _near(seen, shot, other, beside)
    frames = np.array([c.frame for c in world.cameras])[camera]
    box = clip_boxes(seen.box, frames)
    return Shots(
        passage=passage,
        person=person,
        camera=camera,
        time=time,
        seen=seen,
        box=box,
        quality=_quality(seen, box, shot, beside),
        other_of=shot,
        other_person=world.passages.person[other],
        other_seen=beside,
    )


def _moments(
    passages: Passages, detected: np.ndarray, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(S,) passage and (S,) seconds: one moment in each of up to ``most`` equal parts."""
    span = passages.leave - passages.enter
    count = np.clip((span / STEP).astype(np.int64), 1, most) * detected
    passage = np.repeat(np.arange(len(passages)), count)
    turn = np.arange(len(passage)) - np.repeat(np.cumsum(count) - count, count)
    share = (turn + rng.uniform(0.15, 0.85, len(passage))) / count[passage]
    return passage, passages.enter[passage] + share * span[passage]


def _company(
    passages: Passages, passage: np.ndarray, time: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (shot, other passage) where the other is in the same camera's view at that moment."""
    shots, others = [], []
    for camera in np.unique(passages.camera):
        own = np.flatnonzero(passages.camera == camera)  # in order of entry
        shot = np.flatnonzero(passages.camera[passage] == camera)
        longest = (passages.leave[own] - passages.enter[own]).max()
        first = np.searchsorted(passages.enter[own], time[shot] - longest)
        last = np.searchsorted(passages.enter[own], time[shot], side="right")
        pair = np.repeat(np.arange(len(shot)), last - first)
        start = np.repeat(first - np.cumsum(last - first) + (last - first), last - first)
        other = own[start + np.arange(len(pair))]
        here = (passages.leave[other] >= time[shot[pair]]) & (other != passage[shot[pair]])
        shots.append(shot[pair][here])
        others.append(other[here])
    empty = [np.empty(0, dtype=np.int64)]
    shot, other = np.concatenate(shots or empty), np.concatenate(others or empty)
    order = np.lexsort((other, shot))
    return shot[order], other[order]


def _near(
    seen: Observations, shot: np.ndarray, other: np.ndarray, beside: Observations
) -> tuple[np.ndarray, np.ndarray, Observations]:
    """Keep the pairs whose other person reaches into the crop; the nearest few of each shot."""
    a, b = seen.box[shot], beside.box
    width = (a[:, 2] - a[:, 0]) / 2
    margin = width * (REACH - 1.0)
    grown = a + np.stack([-margin, -margin, margin, margin], axis=1)
    shared = overlap(grown, b)
    close = np.flatnonzero(shared > 0.01 * area(a))
    order = close[np.lexsort((-shared[close], shot[close]))]
    rank = np.arange(len(order)) - np.searchsorted(shot[order], shot[order])
    keep = np.sort(order[rank < MOST_OTHERS])
    return shot[keep], other[keep], beside.take(keep)


def _quality(
    seen: Observations, box: np.ndarray, shot: np.ndarray, beside: Observations
) -> np.ndarray:
    """Size (square root of the height over 256 pixels), times the share not cut and not hidden."""
    tall = seen.box[:, 3] - seen.box[:, 1]
    size = np.sqrt(np.clip(tall / 256.0, 0.0, 1.0))
    whole = np.maximum(area(seen.box), 1.0)
    kept = area(box) / whole
    before = beside.distance < seen.distance[shot]
    hidden = np.where(before, overlap(box[shot], beside.box) / whole[shot], 0.0)
    worst = np.zeros(len(seen))
    np.maximum.at(worst, shot, hidden)
    return np.round(size * kept * (1.0 - np.clip(worst, 0.0, 1.0)), 4)
