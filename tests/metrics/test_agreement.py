"""Features evaluated in blocks against a walk down each sorted list, ties included."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.errors import InputError
from passerby.metrics import PROTOCOLS, Reranking, evaluate, evaluate_features, survey


@given(
    seed=st.integers(0, 2**20),
    Q=st.integers(1, 6),
    G=st.integers(1, 60),
    people=st.integers(1, 5),
    name=st.sampled_from(sorted(set(PROTOCOLS) - {"cuhk03-old"})),
    rows=st.integers(1, 4),
)
@settings(max_examples=120, deadline=None)
def test_features_are_ranked_as_the_textbook_says(*, seed, Q, G, people, name, rows) -> None:
    random = np.random.default_rng(seed)
    # small whole numbers: squared distances are exact and often equal
    queries, gallery = random.integers(-2, 3, (Q, 3)), random.integers(-2, 3, (G, 3))
    qi, gi = random.integers(-1, people + 1, Q), random.integers(-1, people + 1, G)
    qc, gc = random.integers(1, 13, Q), random.integers(1, 13, G)
    expected = textbook(queries, gallery, (qi, gi, qc, gc), PROTOCOLS[name])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("passerby.metrics.evaluation.BLOCK_BYTES", 4 * G * rows)
        patch.setattr("passerby.metrics.evaluation.BLOCK_ROWS", 1)
        arguments = (queries, gallery, qi, gi, qc, gc)
        if not expected:
            with pytest.raises(InputError, match="no query"):
                evaluate_features(*arguments, protocol=name, metric="squared_euclidean")
            return
        report = evaluate_features(
            *arguments, protocol=name, metric="squared_euclidean", ranks=(1, 2, 10**6)
        )
    assert report.queries.tolist() == sorted(expected)
    assert report.skipped_queries == Q - len(expected)
    assert report.ap.tolist() == pytest.approx([float(expected[q][0]) for q in sorted(expected)])
    assert report.first.tolist() == [expected[q][1] for q in sorted(expected)]
    assert report.cmc[10**6] == 1.0


def textbook(queries, gallery, labels, protocol) -> dict[int, tuple[Fraction, int]]:
    """Query -> average precision and rank of its first true match, in exact numbers."""
    qi, gi, qc, gc = ([int(x) for x in column] for column in labels)
    if protocol.one_digit_camera:
        qc, gc = [int(str(c)[0]) for c in qc], [int(str(c)[0]) for c in gc]
    found = {}
    for q in range(len(qi)):
        listed = []
        exact = [int(((queries[q] - row) ** 2).sum()) for row in gallery]
        for g in sorted(range(len(gi)), key=lambda g: (exact[g], g)):
            same = gi[g] == qi[q] and qi[q] >= 0
            if gi[g] == -1 or (gi[g] == 0 and not protocol.distractors):
                continue
            if same and qc[q] == gc[g] and not protocol.same_camera:
                continue
            listed.append(same)
        if qi[q] >= 0 and any(listed):
            ranks = [rank for rank, same in enumerate(listed, start=1) if same]
            total = Fraction(0)
            for hits, rank in enumerate(ranks, start=1):
                at = Fraction(hits, rank)
                before = Fraction(hits - 1, rank - 1) if rank > 1 else Fraction(1)
                total += (at + before) / 2 if protocol.average_precision == "trapezoid" else at
            found[q] = total / len(ranks), ranks[0]
    return found


CALLS = {
    "evaluate_features": evaluate_features,
    "re-ranked": lambda q, g, *labels: evaluate_features(q, g, *labels, reranking=Reranking()),
    "survey": survey,
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("value", [np.nan, -np.inf, 0.0])
@pytest.mark.parametrize("side", ["query", "gallery"])
def test_the_row_that_is_no_feature_is_named(name: str, value: float, side: str) -> None:
    rows = {"query": np.eye(4), "gallery": np.eye(4)}
    rows[side][2] = value
    people = np.arange(1, 5)
    labels = (people, people, np.ones(4, int), np.full(4, 2))
    with pytest.raises(InputError, match=f"{side} features .* in row 2"):
        CALLS[name](rows["query"], rows["gallery"], *labels)


def test_without_directions_a_zero_row_is_a_feature() -> None:
    # not cosine: a zero row has a distance like any other
    people, cameras = np.array([1, 2]), np.array([1, 1])
    rows = np.array([[0.0, 0.0], [1.0, 0.0]])
    report = evaluate_features(
        rows, rows, people, people, cameras, cameras + 1, metric="squared_euclidean"
    )
    assert report.cmc[1] == 1.0


def test_single_gallery_shots_are_draws_of_one_picture_each() -> None:
    # every draw of one picture a person, counted out; 4,000 draws come near
    ids, distances = [7, 8, 9, 7, 8, 9, 7], [0.4, 0.5, 0.1, 0.6, 0.3, 0.9, 0.2]
    of = {person: [d for i, d in zip(ids, distances, strict=True) if i == person] for person in ids}
    draws = list(product(*of.values()))
    share = {
        k: np.mean([sum(d < draw[0] for d in draw[1:]) < k for draw in draws]) for k in (1, 2, 3)
    }
    rows = np.repeat(np.array([distances], dtype=np.float32), 400, axis=0)
    cameras = np.ones(400, int), np.full(7, 2)
    report = evaluate(
        rows, np.full(400, 7), np.array(ids), *cameras, ranks=(1, 2, 3), protocol="cuhk03-old"
    )
    for k, expected in share.items():
        assert report.cmc[k] == pytest.approx(expected, abs=0.03)
