"""Evaluation of features and of blocks against evaluation of the whole matrix."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.metrics import Reranking, evaluate, evaluate_blocks, evaluate_features
from passerby.retrieval import distances as all_distances
from passerby.retrieval import k_reciprocal_distances

Case = tuple[NDArray, NDArray, NDArray, NDArray, NDArray]


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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_report_of_the_cpu() -> None:
    distances, *rest = make(3, 40, 300, 9, cameras=3, levels=50)
    here, there = evaluate(distances, *rest), evaluate(torch.from_numpy(distances).cuda(), *rest)
    assert there.ap.tolist() == here.ap.tolist()
    random = np.random.default_rng(3)
    # whole numbers: both devices add them without rounding
    features = [torch.from_numpy(random.integers(-3, 4, (n, 6))).float() for n in (40, 300)]
    on_gpu = [f.cuda() for f in features]
    near = evaluate_features(*features, *rest, metric="squared_euclidean")
    far = evaluate_features(*on_gpu, *rest, metric="squared_euclidean")
    assert far.ap.tolist() == near.ap.tolist()


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "squared_euclidean"])
def test_features_give_the_report_of_their_distances(metric: str) -> None:
    random = np.random.default_rng(5)
    queries, gallery = random.normal(size=(30, 8)), random.normal(size=(200, 8))
    qi, gi = random.integers(1, 6, 30), random.integers(-1, 6, 200)
    qc, gc = random.integers(1, 4, 30), random.integers(1, 4, 200)
    whole = evaluate(all_distances(queries, gallery, metric=metric), qi, gi, qc, gc)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("passerby.metrics.evaluation.BLOCK_BYTES", 4 * 200 * 7)  # 7 queries at once
        patch.setattr("passerby.metrics.evaluation.BLOCK_ROWS", 1)
        streamed = evaluate_features(queries, gallery, qi, gi, qc, gc, metric=metric)
    assert streamed.mAP == pytest.approx(whole.mAP, abs=1e-7)
    assert streamed.cmc == whole.cmc
    assert streamed.first.tolist() == whole.first.tolist()


def test_reranked_features_give_the_report_of_their_distances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(6)
    queries, gallery = random.normal(size=(30, 8)), random.normal(size=(200, 8))
    labels = (random.integers(1, 40, 30), random.integers(-1, 40, 200))
    cameras = (random.integers(1, 4, 30), random.integers(1, 4, 200))
    distances = k_reciprocal_distances(queries, gallery, k1=9, k2=3, lambda_value=0.5)
    whole = evaluate(distances, *labels, *cameras)
    monkeypatch.setattr("passerby.retrieval.reranking.BLOCK_BYTES", 4 * 200 * 7)
    options = Reranking(k1=9, k2=3, lambda_value=0.5)
    streamed = evaluate_features(queries, gallery, *labels, *cameras, reranking=options)
    assert whole.skipped_queries > 0
    assert streamed.ap.tolist() == pytest.approx(whole.ap.tolist())
    assert streamed.cmc == whole.cmc


cases = st.builds(
    make,
    st.integers(0, 2**20),
    st.integers(1, 8),
    st.integers(1, 60),
    st.integers(1, 5),
    cameras=st.integers(1, 12),
    levels=st.sampled_from([1, 2, 5, 1000]),  # few levels: many ties
)


@given(cases, st.integers(1, 4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_blocks_give_the_report_of_their_matrix(case: Case, step: int, host: bool) -> None:
    matrix, *rest = case
    blocks = torch.from_numpy(matrix).split(step)
    try:
        whole = evaluate(*case)
    except InputError:
        with pytest.raises(InputError, match="no query"):
            evaluate_blocks(blocks, *rest)
        return
    found = evaluate_blocks([block.numpy() for block in blocks] if host else blocks, *rest)
    assert found.ap.tolist() == whole.ap.tolist()
    assert found.queries.tolist() == whole.queries.tolist()
    assert found.cmc == whole.cmc


def test_blocks_of_another_size_are_named() -> None:
    matrix, *rest = make(3, 6, 20, 3, cameras=4, levels=100)
    with pytest.raises(InputError, match="distances of 4 queries; identities say 6"):
        evaluate_blocks([matrix[:4]], *rest)
    with pytest.raises(InputError, match=r"from query 4 on is \(3, 20\)"):
        evaluate_blocks([matrix[:4], matrix[:3]], *rest)
    with pytest.raises(InputError, match=r"is \(6, 19\)"):
        evaluate_blocks([matrix[:, :19]], *rest)
