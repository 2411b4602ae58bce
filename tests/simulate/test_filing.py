import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from passerby.simulate.shots import BYSTANDS, TESTS, TRAINS, choose_queries, roles

pairs = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=40)


@given(crops=pairs, seed=st.integers(0, 5))
def test_every_query_has_a_match_elsewhere(crops: list[tuple[int, int]], seed: int) -> None:
    identity, camera = np.array(crops, dtype=int).reshape(-1, 2).T
    query = choose_queries(identity, camera, np.random.default_rng(seed))
    chosen = list(zip(identity[query], camera[query], strict=True))
    assert len(set(chosen)) == len(chosen)  # one for each identity and camera
    for person, place in chosen:
        match = ~query & (identity == person) & (camera != place)
        assert match.any()


@given(crops=pairs)
def test_cameras_with_several_crops_all_get_a_query(crops: list[tuple[int, int]]) -> None:
    crops = crops + crops  # at least two of each
    identity, camera = np.array(crops, dtype=int).reshape(-1, 2).T
    query = choose_queries(identity, camera, np.random.default_rng(0))
    expected = {(p, c) for p, c in crops if any(q == p and d != c for q, d in crops)}
    assert set(zip(identity[query].tolist(), camera[query].tolist(), strict=True)) == expected


def test_shares_and_companies() -> None:
    party = np.repeat(np.arange(300), np.tile([1, 2, 3], 100))
    role = roles(party, 0.1, 0.6, np.random.default_rng(0))
    shares = np.bincount(role, minlength=3) / len(role)
    np.testing.assert_allclose(shares[[TRAINS, TESTS, BYSTANDS]], [0.54, 0.36, 0.1], atol=0.02)
    for company in range(300):
        assert len(set(role[party == company].tolist())) == 1
