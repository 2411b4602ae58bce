"""Synthetic motion with known identities; the association against brute force."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from passerby.errors import InputError
from passerby.ingest.boxes import BoxFilter, overlaps
from passerby.ingest.detector import Detections
from passerby.ingest.tracker import Tracker, TrackerOptions, assign


def frame(*people: tuple[float, float, float]) -> Detections:
    """(centre x, centre y, confidence) of boxes 40 x 100."""
    boxes = np.array([[x - 20, y - 50, x + 20, y + 50] for x, y, _ in people], np.float32)
    scores = np.array([score for _, _, score in people], np.float32)
    return Detections(boxes=boxes.reshape(-1, 4), scores=scores)


def follow(frames: list[Detections], step: int = 40, **options: float) -> list[list[int]]:
    tracker = Tracker(TrackerOptions(**options))  # type: ignore[arg-type]
    return [tracker.update(step * i, one).tolist() for i, one in enumerate(frames)]


def test_two_walkers_keep_their_numbers_when_they_cross() -> None:
    frames = [frame((100 + 5 * i, 200, 0.9), (400 - 5 * i, 230, 0.9)) for i in range(60)]
    assert follow(frames) == [[0, 1]] * 60


def test_crossing_with_the_hidden_one_missing() -> None:
    """While they cover each other only the nearer is seen; then both keep their numbers."""
    frames = []
    for i in range(60):
        a, b = (100 + 5 * i, 200, 0.9), (400 - 5 * i, 215, 0.9)
        hidden = abs(a[0] - b[0]) < 25
        frames.append(frame(b) if hidden else frame(a, b))
    numbers = follow(frames)
    assert [one for one in numbers if len(one) == 2] == [[0, 1]] * sum(
        len(one) == 2 for one in numbers
    )
    assert all(one == [1] for one in numbers if len(one) == 1)


def test_a_walker_missed_for_a_second_is_found_again() -> None:
    frames = [frame((100 + 4 * i, 200, 0.9)) if not 30 <= i < 55 else frame() for i in range(80)]
    assert {n for one in follow(frames) for n in one} == {0}


def test_after_the_gap_it_is_another_track() -> None:
    frames = [frame((100, 200, 0.9))] * 3 + [frame()] * 60 + [frame((100, 200, 0.9))] * 3
    assert follow(frames)[0] == [0]
    assert follow(frames)[-1] == [1]
    assert follow(frames, max_gap_ms=4000)[-1] == [0]


def test_weak_boxes_go_on_with_a_track_and_begin_none() -> None:
    weak = [frame((100 + 2 * i, 200, 0.9 if i < 5 else 0.45)) for i in range(20)]
    assert {n for one in follow(weak) for n in one} == {0}
    assert follow([frame((100, 200, 0.45))] * 5) == [[-1]] * 5
    assert follow([frame((100, 200, 0.05))] * 5) == [[-1]] * 5


def test_furniture_that_looks_weakly_like_a_person_keeps_no_track() -> None:
    frames = [frame((300, 200, 0.9))] * 5 + [frame((300, 200, 0.45))] * 100
    tracker = Tracker()
    ends = []
    for i, one in enumerate(frames):
        tracker.update(40 * i, one)
        ends += [(i, number) for number in tracker.ended()]
    assert ends == [(55, 0)]  # two seconds after the last strong box at frame 4


def test_low_frame_rate_walker_whose_boxes_do_not_touch() -> None:
    frames = [frame((100 + 45 * i, 200, 0.9)) for i in range(12)]
    assert {n for one in follow(frames, step=320) for n in one} == {0}


def test_far_boxes_are_other_people() -> None:
    numbers = follow([frame((100, 200, 0.9)), frame((400, 200, 0.9)), frame((100, 420, 0.9))])
    assert numbers == [[0], [1], [2]]


def test_a_child_beside_an_adult_is_not_taken_for_them() -> None:
    tracker = Tracker()
    assert tracker.update(0, frame((100, 200, 0.9))).tolist() == [0]
    child = Detections(
        boxes=np.array([[130, 210, 150, 250]], np.float32), scores=np.array([0.9], np.float32)
    )
    assert tracker.update(40, child).tolist() == [1]


class Looks:
    """Appearance of the boxes of each frame, with a count of the vectors asked for."""

    def __init__(self, *rows: np.ndarray) -> None:
        self.rows, self.asked = np.array(rows, dtype=np.float32), 0

    def __call__(self, which: np.ndarray) -> np.ndarray:
        self.asked += len(which)
        return self.rows[which]


RED, BLUE, GREEN = np.eye(3, dtype=np.float32)


def test_appearance_decides_where_boxes_do_not() -> None:
    """Two people meet and turn back, or pass each other; their looks tell."""
    towards = [frame((100 + 4 * i, 200, 0.9), (184 - 4 * i, 200, 0.9)) for i in range(10)]
    for looks, after in (((RED, BLUE), [0, 1]), ((BLUE, RED), [1, 0])):
        tracker = Tracker()
        for i, one in enumerate(towards):
            assert tracker.update(40 * i, one, Looks(RED, BLUE)).tolist() == [0, 1]
        assert tracker.update(400, towards[-1], Looks(*looks)).tolist() == after
    assert follow([*towards, towards[-1]])[-1] == [0, 1]


@pytest.mark.parametrize(
    ("look", "x", "gap", "number"),
    [(RED, 260, 5000, 0), (BLUE, 260, 5000, 1), (RED, 260, 9000, 1), (RED, 900, 5000, 1)],
    ids=["the same", "another", "too late", "too far"],
)
def test_who_was_out_of_sight_comes_back_by_appearance(
    look: np.ndarray, x: float, gap: int, number: int
) -> None:
    tracker = Tracker()
    for i in range(5):
        assert tracker.update(40 * i, frame((100, 200, 0.9)), Looks(RED)).tolist() == [0]
    tracker.update(2400, frame(), Looks(RED))
    assert tracker.ended() == [0]
    assert tracker.update(160 + gap, frame((x, 200, 0.9)), Looks(look)).tolist() == [number]
    assert tracker.close() == [number]


def test_few_vectors_are_asked_for() -> None:
    """Two who walk apart are looked at once a second, not in each frame."""
    tracker, asked = Tracker(), 0
    for i in range(100):
        looks = Looks(RED, BLUE)
        tracker.update(40 * i, frame((100 + i, 200, 0.9), (500 - i, 200, 0.9)), looks)
        asked += looks.asked
    assert asked == 2 * 4


def test_a_box_too_small_to_show_a_person_is_not_looked_at() -> None:
    tracker, looks = Tracker(), Looks(RED)
    small = Detections(
        boxes=np.array([[100, 200, 106, 216]], np.float32), scores=np.array([0.9], np.float32)
    )
    assert [tracker.update(40 * i, small, looks).tolist() for i in range(30)] == [[0]] * 30
    assert looks.asked == 0


def test_a_double_of_a_box_begins_no_track() -> None:
    both = Detections(
        boxes=np.array([[80, 150, 120, 250], [82, 152, 124, 240]], np.float32),
        scores=np.array([0.9, 0.6], np.float32),
    )
    assert follow([frame((100, 200, 0.9)), both]) == [[0], [0, -1]]


def test_a_flash_ends_soon_and_weak_boxes_do_not_prolong_it() -> None:
    tracker, ends = Tracker(), []
    for i in range(30):
        tracker.update(40 * i, frame((300, 200, 0.9 if i == 0 else 0.45)))
        ends += [(i, number) for number in tracker.ended()]
    assert ends == [(8, 0)]  # 0.3 s after its only strong box


def test_at_one_frame_a_second_tracks_live_on() -> None:
    frames = [frame((100 + 10 * i, 200, 0.9)) for i in range(12)]
    assert {n for one in follow(frames, step=1000) for n in one} == {0}


def test_time_must_go_forward() -> None:
    tracker = Tracker()
    tracker.update(40, frame())
    with pytest.raises(InputError, match="forward"):
        tracker.update(40, frame())


def test_every_track_ends_once() -> None:
    tracker = Tracker()
    tracker.update(0, frame((100, 200, 0.9), (300, 200, 0.9)))
    tracker.update(5000, frame((500, 200, 0.9)))
    assert sorted(tracker.ended()) == [0, 1]
    assert tracker.close() == [2]
    assert tracker.close() == []


def test_filter_learns_the_speed_whatever_the_frame_rate() -> None:
    for step in (40, 200):
        motion = BoxFilter(np.array([80.0, 150, 120, 250]))
        for i in range(1, 40):
            motion.predict(step)
            x = 100 + 2.0 * i * step / 40
            motion.correct(np.array([x - 20, 150, x + 20, 250]))
        assert motion.mean[4] == pytest.approx(2.0, abs=0.1)  # pixels per 40 ms
        assert motion.mean[5] == pytest.approx(0.0, abs=0.1)
        assert np.linalg.eigvalsh(motion.covariance).min() > 0


costs = st.tuples(st.integers(0, 4), st.integers(0, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1).map(lambda v: round(v, 2)))
)


@settings(max_examples=200, deadline=None)
@given(cost=costs, limit=st.floats(0.1, 1.0))
def test_assign_against_all_matchings(cost: np.ndarray, limit: float) -> None:
    """Brute force: over all matchings, the least sum of costs, where unmatched costs the limit."""
    rows, columns = cost.shape
    pairs = assign(cost, limit)
    assert all(cost[r, c] <= limit for r, c in pairs)
    assert len({r for r, _ in pairs}) == len({c for _, c in pairs}) == len(pairs)
    if not cost.size:
        assert pairs == []
        return
    wide = cost if rows <= columns else cost.T
    best = min(
        sum(min(wide[r, c], limit) for r, c in enumerate(order))
        for order in permutations(range(wide.shape[1]), wide.shape[0])
    )
    total = sum(cost[r, c] for r, c in pairs) + limit * (min(rows, columns) - len(pairs))
    assert total <= best + 1e-4


boxes = arrays(np.float64, (3, 4), elements=st.floats(0, 50)).map(
    lambda a: np.concatenate([a[:, :2], a[:, :2] + a[:, 2:] + 1], axis=1)
)


@settings(max_examples=100, deadline=None)
@given(a=boxes, b=boxes)
def test_overlaps_against_the_definition(a: np.ndarray, b: np.ndarray) -> None:
    got = overlaps(a, b)
    for i, (ax0, ay0, ax1, ay1) in enumerate(a):
        for j, (bx0, by0, bx1, by1) in enumerate(b):
            wide, high = min(ax1, bx1) - max(ax0, bx0), min(ay1, by1) - max(ay0, by0)
            shared = max(0, wide) * max(0, high)
            union = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - shared
            assert got[i, j] == pytest.approx(shared / union, abs=1e-9)
    assert np.allclose(np.diag(overlaps(a, a)), 1)
