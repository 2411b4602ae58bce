"""Evaluation against slow oracles, by hand and by properties."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.metrics import (
    PROTOCOLS,
    evaluate,
    evaluate_features,
)
from passerby.metrics.matches import find_matches
from passerby.metrics.protocols import protocol_of
from passerby.metrics.ranks import RowCounter, ranks_on_device

Case = tuple[NDArray, NDArray, NDArray, NDArray, NDArray]


def oracle(case: Case, trapezoid: bool = False, same_camera: bool = False) -> dict:
    """Sort every row, walk down the list, count: the textbook, one step at a time."""
    distances, qi, gi, qc, gc = case
    aps, inps, firsts, skipped = [], [], [], 0
    for q in range(len(qi)):
        ranked = sorted(range(len(gi)), key=lambda g: (distances[q][g], g))
        listed = []
        for g in ranked:
            if gi[g] == -1:
                continue
            if gi[g] == qi[q] and gc[g] == qc[q] and not same_camera:
                continue
            listed.append(gi[g] == qi[q] and qi[q] >= 0)
        if not any(listed):
            skipped += 1
            continue
        hits, precisions, last = 0, [], 0
        for rank, hit in enumerate(listed, start=1):
            if hit:
                before = 1.0 if rank == 1 else hits / (rank - 1)
                hits += 1
                at = hits / rank
                precisions.append((before + at) / 2 if trapezoid else at)
                last = rank
        aps.append(sum(precisions) / hits)
        inps.append(hits / last)
        firsts.append(listed.index(True) + 1)
    return {"ap": aps, "inp": inps, "first": firsts, "skipped": skipped}


def make(seed: int, Q: int, G: int, people: int, *, cameras: int, levels: int) -> Case:
    random = np.random.default_rng(seed)
    distances = random.integers(0, levels, (Q, G)).astype(np.float32) / 7
    return (
        distances,
        random.integers(1, people + 1, Q),
        random.integers(-1, people + 1, G),
        random.integers(1, cameras + 1, Q),
        random.integers(1, cameras + 1, G),
    )


cases = st.builds(
    make,
    st.integers(0, 2**20),
    st.integers(1, 8),
    st.integers(1, 60),
    st.integers(1, 5),
    cameras=st.integers(1, 12),
    levels=st.sampled_from([1, 2, 5, 1000]),  # few levels: many ties
)


@given(cases, st.sampled_from(["market1501", "market1501-trapezoid", "any-camera"]))
@settings(max_examples=200, deadline=None)
def test_evaluate_is_the_slow_oracle(case: Case, protocol: str) -> None:
    expected = oracle(case, protocol.endswith("trapezoid"), protocol == "any-camera")
    if not expected["ap"]:
        with pytest.raises(InputError, match="no query"):
            evaluate(*case, protocol=protocol)
        return
    report = evaluate(*case, protocol=protocol, ranks=(1, 3, 100))
    assert report.ap.tolist() == pytest.approx(expected["ap"], abs=1e-12)
    assert report.inp.tolist() == pytest.approx(expected["inp"], abs=1e-12)
    assert report.first.tolist() == expected["first"]
    assert report.mAP == pytest.approx(np.mean(expected["ap"]))
    assert report.mINP == pytest.approx(np.mean(expected["inp"]))
    assert report.skipped_queries == expected["skipped"]
    assert report.valid_queries == len(expected["ap"]) == len(report.queries)
    for rank in (1, 3, 100):
        assert report.cmc[rank] == pytest.approx(np.mean([f <= rank for f in expected["first"]]))


@given(cases)
@settings(max_examples=60, deadline=None)
def test_counting_on_a_device_is_counting_on_the_cpu(case: Case) -> None:
    distances, *rest = case
    try:
        matches = find_matches(*rest, protocol_of("market1501"))
    except InputError:
        return
    counter = RowCounter(matches, distances.dtype)
    slow = [counter.ranks(i, distances[q]) for i, q in enumerate(matches.queries)]
    block = torch.from_numpy(distances[matches.queries])
    fast = ranks_on_device(matches, np.arange(len(slow)), block)
    assert all(np.array_equal(a, b) for a, b in zip(slow, fast, strict=True))


@given(cases, st.sampled_from([0.0, 1.0]))
@settings(max_examples=60, deadline=None)
def test_both_ways_of_counting_agree(case: Case, share: float) -> None:
    distances, *rest = case
    try:
        expected = evaluate(distances, *rest)
    except InputError:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("passerby.metrics.ranks.NEAR_SHARE", share)
        forced = evaluate(distances, *rest)
    assert forced.ap.tolist() == expected.ap.tolist()


@given(cases, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_of_queries_does_not_matter(case: Case, random) -> None:
    distances, qi, gi, qc, gc = case
    try:
        before = evaluate(*case)
    except InputError:
        return
    order = list(range(len(qi)))
    random.shuffle(order)
    after = evaluate(distances[order], qi[order], gi, qc[order], gc)
    assert after.mAP == pytest.approx(before.mAP)
    assert after.cmc == pytest.approx(before.cmc)


@given(cases)
@settings(max_examples=40, deadline=None)
def test_only_the_order_of_distances_matters(case: Case) -> None:
    distances, *rest = case
    try:
        before = evaluate(distances, *rest)
    except InputError:
        return
    for other in (np.exp(distances.astype(np.float64)), 3 * distances - 5):
        assert evaluate(other, *rest).ap.tolist() == before.ap.tolist()


@given(st.integers(0, 2**20), st.integers(1, 6), st.integers(2, 60))
@settings(max_examples=60, deadline=None)
def test_order_of_the_gallery_does_not_matter(seed: int, Q: int, G: int) -> None:
    random = np.random.default_rng(seed)
    # no two distances of a query are the same: ties go by gallery row
    distances = np.stack([random.permutation(G) for _ in range(Q)]).astype(np.float32)
    _, qi, gi, qc, gc = make(seed, Q, G, 3, cameras=3, levels=2)
    try:
        before = evaluate(distances, qi, gi, qc, gc)
    except InputError:
        return
    order = random.permutation(G)
    after = evaluate(distances[:, order], qi, gi[order], qc, gc[order])
    assert after.ap.tolist() == before.ap.tolist()
    assert after.inp.tolist() == before.inp.tolist()
    assert after.cmc == before.cmc


@given(cases)
@settings(max_examples=40, deadline=None)
def test_a_query_alone_gets_what_it_gets_among_others(case: Case) -> None:
    distances, qi, gi, qc, gc = case
    try:
        together = evaluate(*case)
    except InputError:
        return
    for place, q in enumerate(together.queries):
        own = slice(q, q + 1)
        alone = evaluate(distances[own], qi[own], gi, qc[own], gc, ranks=(1, 10**6))
        assert alone.mAP == together.ap[place]
        assert alone.mINP == together.inp[place]
        assert alone.cmc[10**6] == 1.0


@given(cases)
@settings(max_examples=40, deadline=None)
def test_queries_given_twice_change_nothing(case: Case) -> None:
    distances, qi, gi, qc, gc = case
    try:
        once = evaluate(*case)
    except InputError:
        return
    twice = evaluate(np.concatenate([distances] * 2), [*qi, *qi], gi, [*qc, *qc], gc)
    assert twice.ap.tolist() == [*once.ap, *once.ap]
    assert twice.mAP == pytest.approx(once.mAP)
    assert twice.skipped_queries == 2 * once.skipped_queries


def test_all_distances_equal_are_ranked_by_row() -> None:
    ids = np.array([2, 1, 2, 1])
    report = evaluate(np.zeros((1, 4)), [1], ids, [1], np.full(4, 2))
    assert report.ap.tolist() == [(1 / 2 + 2 / 4) / 2]


@pytest.mark.parametrize("spread", [0.3, 3.0])  # few and many rows nearer than the last match
def test_a_wide_gallery_against_sorting(spread: float) -> None:
    random = np.random.default_rng(7)
    gi, gc = random.integers(0, 60, 3000), random.integers(1, 4, 3000)
    qi, qc = np.arange(1, 30), random.integers(1, 4, 29)
    distances = (qi[:, None] != gi) + spread * random.random((29, 3000))
    distances = np.round(distances, 3).astype(np.float32)  # with ties
    expected = oracle((distances, qi, gi, qc, gc))
    report = evaluate(distances, qi, gi, qc, gc)
    assert report.ap.tolist() == pytest.approx(expected["ap"], abs=1e-12)
    assert report.inp.tolist() == pytest.approx(expected["inp"], abs=1e-12)


def one_query(hits: list[int], length: int, protocol: str = "market1501"):
    ids = np.full(length, 2)
    ids[[h - 1 for h in hits]] = 1
    row = np.arange(length, dtype=np.float32)[None]
    cameras = np.full(length, 2)
    return evaluate(row, np.array([1]), ids, np.array([1]), cameras, protocol=protocol)


@pytest.mark.parametrize(
    ("hits", "length", "step", "trapezoid", "inp"),
    [([1, 3, 6], 8, 0.7222222, 0.6777778, 0.5), ([2, 3], 4, 0.5833333, 0.4166667, 0.6666667)],
)
def test_known_figures(hits, length, step, trapezoid, inp) -> None:
    report = one_query(hits, length)
    assert report.mAP == pytest.approx(step, abs=1e-6)
    assert report.mINP == pytest.approx(inp, abs=1e-6)
    got = one_query(hits, length, "market1501-trapezoid").mAP
    assert got == pytest.approx(trapezoid, abs=1e-6)


def test_labels_that_count_from_zero() -> None:
    # person 0 is nearest to a picture of 1, then to a picture of itself
    row, rest = np.array([[0.1, 0.2], [0.3, 0.1]]), ([0, 1], [1, 0], [1, 1], [2, 2])
    report = evaluate(row, *rest)
    assert (report.valid_queries, report.ap.tolist()) == (2, [0.5, 0.5])
    shifted = evaluate(row, [1, 2], [2, 1], [1, 1], [2, 2])
    assert report.mAP == shifted.mAP
    # a protocol that knows 0 as the distractors has no such person
    assert evaluate(row, *rest, protocol="legacy-no-distractors").valid_queries == 1


def test_junk_and_own_camera_take_no_part_and_distractors_do() -> None:
    # nearest first: junk, own camera, distractor, match
    row = np.array([[0.1, 0.2, 0.3, 0.4]])
    arguments = ([5], [-1, 5, 0, 5], [1], [2, 1, 2, 2])
    assert evaluate(row, *arguments).mAP == pytest.approx(1 / 2)
    assert evaluate(row, *arguments, protocol="any-camera").mAP == pytest.approx((1 + 2 / 3) / 2)
    assert evaluate(row, *arguments, protocol="legacy-no-distractors").mAP == 1.0


def test_one_digit_cameras_merge_ten_to_fifteen_with_one() -> None:
    row, rest = np.array([[0.1, 0.2, 0.3]]), ([5], [5, 6, 5], [1], [12, 3, 3])
    assert evaluate(row, *rest).mAP == pytest.approx((1 + 2 / 3) / 2)
    # camera 12 is taken for the query's own camera 1: the first match is left out
    assert evaluate(row, *rest, protocol="legacy-one-digit-camera").mAP == 0.5
    both = evaluate(row, *rest, protocol="legacy-diff-attention")
    assert (both.mAP, both.protocol) == (0.5, "legacy-diff-attention")


def test_single_gallery_shot() -> None:
    # the person has two pictures, nearest and farthest: each drawn with probability one half
    row = np.array([[0.1, 0.5, 0.9]] * 400, dtype=np.float32)
    ids = np.array([7, 8, 7])
    people, cameras = np.full(400, 7), np.full(400, 1)
    report = evaluate(row, people, ids, cameras, np.full(3, 2), ranks=(1, 2), protocol="cuhk03-old")
    assert report.cmc[1] == pytest.approx(0.5, abs=0.05)
    assert report.cmc[2] == 1.0
    assert report.mAP == pytest.approx((1 + 2 / 3) / 2)
    again = evaluate(row, people, ids, cameras, np.full(3, 2), ranks=(1, 2), protocol="cuhk03-old")
    assert again.cmc == report.cmc


def test_ranks_beyond_the_gallery_are_allowed() -> None:
    report = evaluate(np.array([[0.5]]), [1], [1], [1], [2], ranks=(1, 5, 10))
    assert report.cmc == {1: 1.0, 5: 1.0, 10: 1.0}


def test_the_matrix_is_not_changed() -> None:
    case = make(1, 6, 40, 3, cameras=3, levels=1000)
    before = case[0].copy()
    evaluate(*case)
    evaluate(torch.from_numpy(case[0]), *case[1:])
    assert np.array_equal(case[0], before)


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int64, torch.float32, torch.bfloat16])
def test_any_type_of_number_is_taken(kind) -> None:
    distances, *rest = make(2, 6, 40, 3, cameras=3, levels=100)
    whole = np.round(distances * 7)
    given = whole.astype(kind) if isinstance(kind, type) else torch.from_numpy(whole).to(kind)
    assert evaluate(given, *rest).ap.tolist() == evaluate(whole, *rest).ap.tolist()


def test_report_prints_its_protocol_and_is_json() -> None:
    report = one_query([1, 3, 6], 8)
    assert "72.2" in report.table("title")
    assert "protocol market1501; 1 queries, 0 skipped" in str(report)
    assert json.loads(json.dumps(report.summary()))["cmc"]["1"] == 1.0


def test_every_protocol_says_what_it_is() -> None:
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.says


FINE = (np.zeros((1, 2)), [1], [1, 2], [1], [2, 2])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, np.zeros((2, 2)), "identities say"),
        (0, np.array([[0.1, np.nan]]), "query 0 to gallery row 1 is not a number"),
        (1, [3], "none of the query identities is in the gallery"),
        (1, [-1], "known person"),
        (1, [1.5], "whole numbers"),
        (1, ["a"], "whole numbers"),
        (2, [1], "gallery identities but 2 gallery cameras"),
        (3, [2], "only in the query's own camera"),
    ],
)
def test_bad_input_is_named(place: int, value, message: str) -> None:
    arguments = list(FINE)
    evaluate(*arguments)
    arguments[place] = value
    with pytest.raises(InputError, match=message):
        evaluate(*arguments)


def test_bad_options_are_named() -> None:
    with pytest.raises(InputError, match="no protocol 'imagenet'; there are: market1501"):
        evaluate(*FINE, protocol="imagenet")
    with pytest.raises(InputError, match="ranks"):
        evaluate(*FINE, ranks=(0,))
    with pytest.raises(InputError, match="features are of"):
        evaluate_features(np.ones((2, 3)), np.ones((2, 3)), *FINE[1:])
    rows = np.ones((2, 3))
    rows[1] = 0
    with pytest.raises(InputError, match="gallery features are zero in row 1"):
        evaluate_features(np.ones((1, 3)), rows, *FINE[1:])
    rows[1] = np.nan
    with pytest.raises(InputError, match="NaN or infinite values in row 1"):
        evaluate_features(np.ones((1, 3)), rows, *FINE[1:])
