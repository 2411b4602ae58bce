"""Which crops are taken, and where each is filed in the Market-1501-style tree.

Crops show a few moments of each passage, with who else is near in the picture.
"""

from dataclasses import dataclass

import numpy as np

from passerby.simulate.cameras import CityCamera
from passerby.simulate.observation import (
    ASPECT,
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

TRAIN, QUERY, GALLERY = 0, 1, 2
SPLITS = ("train", "query", "gallery")
TESTS, TRAINS, BYSTANDS = 0, 1, 2  # roles of a person
PERSON, PART, BACKGROUND = 0, 1, 2  # what a crop shows
FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
FRAMES_A_SECOND = 25.0  # of the frame numbers in the names
SEQUENCE = 3600.0  # seconds of a sequence in the names


@dataclass(frozen=True, kw_only=True)
class Shots:
    """S crops of people.

    Attributes:
        passage: (S,) index of the passage.
        seen: who is seen when and by which camera, and how.
        box: (S, 4) pixels, cut at the border of the frame.
        quality: (S,) 0..1: large, whole and unhidden is best.
        other_of: (O,) index of the shot in which another person is near; ascending.
        other_seen: (O,) how that person is seen.
    """

    passage: np.ndarray
    seen: Observations
    box: np.ndarray
    quality: np.ndarray
    other_of: np.ndarray
    other_seen: Observations

    def __len__(self) -> int:
        return len(self.seen)


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

    def seen_by(person: np.ndarray, camera: np.ndarray, time: np.ndarray) -> Observations:
        return observe(
            world.walks, world.cameras, person=person, camera=camera, time=time, stature=stature
        )

    passages = world.passages
    passage, time = _moments(passages, detected, world.options.crops_per_passage, rng)
    person, camera = passages.person[passage], passages.camera[passage]
    seen = seen_by(person, camera, time)
    shot, other = _company(passages, passage, time)
    beside = seen_by(passages.person[other], camera[shot], time[shot])
    shot, beside = _near(seen, shot, beside)
    box = clip_boxes(seen.box, np.array([c.frame for c in world.cameras])[camera])
    return Shots(
        passage=passage,
        seen=seen,
        box=box,
        quality=_quality(seen, box, shot, beside),
        other_of=shot,
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
    seen: Observations, shot: np.ndarray, beside: Observations
) -> tuple[np.ndarray, Observations]:
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
    return shot[keep], beside.take(keep)


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
    return np.asarray(np.round(size * kept * (1.0 - np.clip(worst, 0.0, 1.0)), 4))


@dataclass(frozen=True, kw_only=True)
class CropList:
    """R crops in order of time: all boxes of a detector, and the file of each.

    Attributes:
        kind: (R,) PERSON, PART of a person (a bad box) or BACKGROUND.
        shot: (R,) index of the shot that is rendered; -1 for background.
        label: (R,) identity in the tree: 1.., 0 distractor, -1 junk.
        camera: (R,) index of the camera.
        time: (R,) seconds since the start.
        box: (R, 4) pixels of the frame.
        window: (R, 4) the part of the shot's box that a bad box shows, in shares of it; else 0, 0,
            1, 1.
        quality: (R,) 0..1.
        tracklet: (R,) number of the tracklet, 1.. in order of time.
        split: (R,) TRAIN, QUERY or GALLERY.
        path: R paths relative to the tree's root.
    """

    kind: np.ndarray
    shot: np.ndarray
    label: np.ndarray
    camera: np.ndarray
    time: np.ndarray
    box: np.ndarray
    window: np.ndarray
    quality: np.ndarray
    tracklet: np.ndarray
    split: np.ndarray
    path: list[str]

    def __len__(self) -> int:
        return len(self.kind)


def roles(
    party: np.ndarray, bystanders: float, train: float, rng: np.random.Generator
) -> np.ndarray:
    """(N,) TRAINS, TESTS or BYSTANDS for each person.

    Whole parties get one role, so that nobody trains in the background of a test crop's company.

    Args:
        party: (N,) number of each person's company.
        bystanders: share of the people who become distractors.
        train: share of the others who train.
        rng: draws the order.
    """
    count = len(party)
    wanted = np.array([0, round((1 - bystanders) * train * count), round(bystanders * count)])
    wanted[TESTS] = count - wanted.sum()
    role = np.full(count, TESTS)
    left = wanted.astype(np.float64)
    for company in rng.permutation(np.unique(party)):
        members = party == company
        # the role that lacks most of its share takes the next company
        choice = int(np.argmax(left / np.maximum(wanted, 1)))
        role[members] = choice
        left[choice] -= members.sum()
    return role


def choose_queries(
    identity: np.ndarray, camera: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(S,) bool: one crop of each (identity, camera) that keeps a match in another camera.

    After the choice every query has at least one gallery crop of its identity in another camera.

    Args:
        identity: (S,) identity of each test crop.
        camera: (S,) camera of each test crop.
        rng: draws the crops.
    """
    query = np.zeros(len(identity), dtype=bool)
    order = rng.permutation(len(identity))
    crops: dict[int, dict[int, list[int]]] = {}
    for index in order.tolist():
        crops.setdefault(int(identity[index]), {}).setdefault(int(camera[index]), []).append(index)
    for by_camera in crops.values():
        left = {number: len(own) for number, own in by_camera.items()}
        chosen: list[int] = []
        # cameras with several crops first: they keep some in the gallery anyway
        for number in sorted(left, key=lambda n: -left[n]):
            left[number] -= 1
            if all(_matched(left, c) for c in [*chosen, number]):
                chosen.append(number)
            else:
                left[number] += 1
        query[[by_camera[number][0] for number in chosen]] = True
    return query


def _matched(left: dict[int, int], camera: int) -> bool:
    return any(count > 0 for number, count in left.items() if number != camera)


def list_crops(world: World, shots: Shots, role: np.ndarray, rng: np.random.Generator) -> CropList:
    """List the shots of people, the false boxes and the inaccurate boxes, each with its file.

    Args:
        world: the city.
        shots: crops of people.
        role: (N,) who trains, tests or is a bystander.
        rng: draws queries and added boxes.
    """
    options = world.options
    part = role[shots.seen.person]
    test = np.flatnonzero(part == TESTS)
    query = np.zeros(len(shots), dtype=bool)
    query[test] = choose_queries(shots.seen.person[test], shots.seen.camera[test], rng)
    bad = rng.choice(test, round(options.junk * len(test))) if len(test) else test
    label = np.where(part == BYSTANDS, 0, shots.seen.person + 1)
    columns = _stacked(
        [
            _people(shots, np.arange(len(shots)), PERSON, label),
            _bad_boxes(shots, bad, rng),
            _false_boxes(world, round(options.false_boxes * len(test)), rng),
        ]
    )
    added = len(columns["kind"]) - len(shots)
    columns["split"] = np.concatenate(
        [
            np.where(part == TRAINS, TRAIN, np.where(query, QUERY, GALLERY)),
            np.full(added, GALLERY),
        ]
    )
    order = np.lexsort((columns["camera"], columns["time"]))
    columns = {name: values[order] for name, values in columns.items()}
    columns["tracklet"] = _numbered(columns["tracklet"])
    return CropList(**columns, path=_paths(columns, world.cameras))


def _stacked(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """One table of several; tracklets of the parts are kept apart."""
    first = 0
    for part in parts:
        part["tracklet"] = part["tracklet"] + first
        first = int(part["tracklet"].max(initial=first - 1)) + 1
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _people(shots: Shots, index: np.ndarray, kind: int, label: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of a crop list for some shots, with their labels."""
    return {
        "kind": np.full(len(index), kind),
        "shot": index,
        "label": label,
        "camera": shots.seen.camera[index],
        "time": shots.seen.time[index],
        "box": shots.box[index],
        "window": np.tile([0.0, 0.0, 1.0, 1.0], (len(index), 1)),
        "quality": shots.quality[index],
        "tracklet": shots.passage[index],
    }


def _bad_boxes(shots: Shots, index: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Junk: boxes that overlap a person by some 20 to 50 %, as Market-1501's detector's."""
    count = len(index)
    size = rng.uniform(0.45, 0.68, (count, 2)) * [1.15, 1.0]
    corner = rng.uniform(0.0, 1.0, (count, 2)) * (1.0 - size)
    window = np.concatenate([corner, corner + size], axis=1)
    box = shots.box[index]
    wide = np.tile(box[:, 2:] - box[:, :2], 2)
    return {
        **_people(shots, index, PART, np.full(count, -1)),
        "time": shots.seen.time[index] + 0.04,  # the next frame
        "box": np.tile(box[:, :2], 2) + window * wide,
        "window": window,
        "quality": np.round(shots.quality[index] * np.prod(size, axis=1), 4),
        "tracklet": np.arange(count),
    }


def _false_boxes(world: World, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Distractors of the background: anywhere in any camera at any time."""
    camera = rng.integers(len(world.cameras), size=count)
    frames = np.array([c.frame for c in world.cameras], dtype=np.float64)[camera]
    tall = rng.uniform(0.12, 0.6, count) * frames[:, 1]
    corner = rng.uniform(0.0, 1.0, (count, 2)) * (frames - tall[:, None] * [ASPECT, 1.0])
    box = np.concatenate([corner, corner + np.stack([tall * ASPECT, tall], axis=1)], axis=1)
    return {
        "kind": np.full(count, BACKGROUND),
        "shot": np.full(count, -1),
        "label": np.zeros(count, dtype=np.int64),
        "camera": camera,
        "time": rng.uniform(0.0, world.options.hours * 3600.0, count),
        "box": box,
        "window": np.tile([0.0, 0.0, 1.0, 1.0], (count, 1)),
        "quality": np.round(rng.uniform(0.05, 0.4, count), 4),
        "tracklet": np.arange(count),
    }


def _numbered(tracklet: np.ndarray) -> np.ndarray:
    """Numbers from 1 in order of first appearance."""
    _, first, index = np.unique(tracklet, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(1, len(first) + 1)
    return rank[index]


def _paths(columns: dict[str, np.ndarray], cameras: list[CityCamera]) -> list[str]:
    """Names ``IIII_cCCsS_FFFFFF_NN.jpg``: identity, camera, sequence, frame, box in the frame."""
    frames = np.round(columns["time"] * FRAMES_A_SECOND).astype(np.int64)
    taken: dict[tuple[int, int, int], int] = {}
    paths = []
    for row, (label, camera, frame) in enumerate(
        zip(columns["label"].tolist(), columns["camera"].tolist(), frames.tolist(), strict=True)
    ):
        number = taken[label, camera, frame] = taken.get((label, camera, frame), 0) + 1
        who = "-1" if label < 0 else f"{label:04d}"
        sequence = int(columns["time"][row] // SEQUENCE) + 1
        name = f"{who}_c{cameras[camera].id[1:]}s{sequence}_{frame:06d}_{number:02d}.jpg"
        paths.append(f"{FOLDERS[columns['split'][row]]}/{name}")
    return paths
