"""The survey of all pairs against loops over them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.errors import InputError
from passerby.metrics import PROTOCOLS, evaluate_features, survey
from passerby.metrics.all_pairs import STEPS


def takes_part(world, q: int, g: int, protocol) -> bool:
    if world.gallery_ids[g] < (0 if protocol.distractors else 1):
        return False
    own = world.query_ids[q] == world.gallery_ids[g]
    cameras = world.query_cameras[q], world.gallery_cameras[g]
    if protocol.one_digit_camera:
        cameras = tuple(int(str(c)[0]) for c in cameras)
    return not (own and cameras[0] == cameras[1] and not protocol.same_camera)


@given(
    seed=st.integers(0, 2**20),
    Q=st.integers(1, 8),
    G=st.integers(2, 50),
    people=st.integers(1, 6),
    k=st.integers(1, 60),
    name=st.sampled_from(sorted(PROTOCOLS)),
)
@settings(max_examples=80, deadline=None)
def test_the_survey_is_the_slow_oracle(make, *, seed, Q, G, people, k, name) -> None:
    world = make(seed, Q, G, people, cameras=12)
    similarity = world.queries @ world.gallery.T
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("passerby.metrics.all_pairs.BLOCK_BYTES", 4 * G * 3)
            found = survey(*world.all, protocol=name, candidates=k)
    except InputError as error:
        assert "no query" in str(error)
        return
    lowest = 0 if PROTOCOLS[name].distractors else 1
    asked = [q for q in range(Q) if world.query_ids[q] >= lowest]
    assert found.queries.tolist() == asked
    true_count = other_count = 0
    for place, q in enumerate(asked):
        rows = [g for g in range(G) if takes_part(world, q, g, PROTOCOLS[name])]
        ranked = sorted(rows, key=lambda g: (-similarity[q, g], g))
        true = [g for g in ranked if world.gallery_ids[g] == world.query_ids[q]]
        other = [g for g in ranked if g not in true]
        true_count, other_count = true_count + len(true), other_count + len(other)
        taken = found.gallery[place] >= 0
        assert taken.sum() == min(k, len(rows))
        values = [similarity[q, g] for g in ranked[:k]]
        assert found.similarities[place][taken] == pytest.approx(values, abs=1e-5)
        assert set(found.gallery[place][taken].tolist()) <= set(rows)
        wanted = world.gallery_ids[found.gallery[place]] == world.query_ids[q]
        assert found.same[place].tolist() == (wanted & taken).tolist()
        assert found.mated[place] == bool(true)
        assert not true or found.best_true[place] == pytest.approx(similarity[q, true[0]], abs=1e-5)
        if other:
            assert found.best_other[place] == pytest.approx(similarity[q, other[0]], abs=1e-5)
        else:
            assert found.best_other[place] == -np.inf
        assert found.first[place] == bool(true and ranked[0] == true[0])
    assert (found.true_pairs.sum(), found.other_pairs.sum()) == (true_count, other_count)


def test_the_histogram_counts_by_distance(world) -> None:
    found = survey(*world.all, protocol="any-camera")
    ids = world.query_ids[:, None]
    takes = (world.gallery_ids >= 0) & (ids >= 0)
    distance = 1 - (world.queries @ world.gallery.T).astype(np.float64)
    for pairs, kind in ((found.true_pairs, True), (found.other_pairs, False)):
        for step in (200, 700, 1300):
            inside = takes & ((world.gallery_ids == ids) == kind) & (distance < step / STEPS)
            assert abs(int(pairs[:step].sum()) - int(inside.sum())) <= 1  # a value on the edge


def test_the_nearest_of_the_survey_is_rank_one(large_world) -> None:
    report = evaluate_features(*large_world.all)
    found = survey(*large_world.all)
    assert found.mated.sum() == report.valid_queries
    assert found.first[found.mated].mean() == pytest.approx(report.cmc[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_survey_of_the_cpu(large_world) -> None:
    slow = survey(*large_world.all)
    queries, gallery = (torch.from_numpy(rows).cuda() for rows in large_world.all[:2])
    fast = survey(queries, gallery, *large_world.labels)
    assert fast.best_true == pytest.approx(slow.best_true, abs=1e-5)
    assert fast.best_other == pytest.approx(slow.best_other, abs=1e-5)
    assert fast.similarities == pytest.approx(slow.similarities, abs=1e-5)
    assert fast.true_pairs.sum() == slow.true_pairs.sum()
    moved = np.abs(fast.other_pairs.cumsum() - slow.other_pairs.cumsum())
    assert moved.max() <= 1e-4 * slow.other_pairs.sum()  # values on the edges of the steps


def test_equal_similarities_are_ordered_by_row() -> None:
    same = np.ones((1, 4), dtype=np.float32)
    for ids, first in (([1, 2], True), ([2, 1], False)):
        found = survey(same, np.repeat(same, 2, 0), [1], ids, [1], [2, 2])
        assert found.first.tolist() == [first]
        assert evaluate_features(same, np.repeat(same, 2, 0), [1], ids, [1], [2, 2]).cmc[1] == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": 0}, "at least 1"),
        ({"protocol": "imagenet"}, "no protocol"),
        ({"queries": np.zeros((40, 8))}, "query features are zero in rows 0, 1"),
        ({"gallery": np.full((200, 8), np.nan)}, "gallery features have NaN"),
        ({"queries": np.ones((39, 8))}, "identities say"),
        ({"query_ids": np.full(40, -1)}, "known person"),
    ],
)
def test_bad_input_is_named(world, change: dict, message: str) -> None:
    names = ("queries", "gallery", "query_ids", "gallery_ids", "query_cameras", "gallery_cameras")
    arguments = dict(zip(names, world.all, strict=True))
    options = {k: v for k, v in change.items() if k not in arguments}
    arguments |= {k: v for k, v in change.items() if k in arguments}
    with pytest.raises(InputError, match=message):
        survey(*arguments.values(), **options)
