import numpy as np
import pytest

from passerby.errors import InputError
from passerby.retrieval import expand_gallery, expand_queries


@pytest.mark.parametrize("power", [0.0, 1.0, 3.0])
def test_expansion_is_a_weighted_mean(power: float) -> None:
    random = np.random.default_rng(0)
    queries, gallery = random.normal(size=(5, 6)), random.normal(size=(40, 6))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, gallery)]
    expected = []
    for query in unit[0]:
        cosines = unit[1] @ query
        nearest = np.argsort(-cosines)[:4]
        mean = query + sum(max(cosines[j], 0.0) ** power * unit[1][j] for j in nearest)
        expected.append(mean / np.linalg.norm(mean))
    got = expand_queries(queries, gallery, count=4, power=power)
    assert np.allclose(got, expected, atol=1e-5)


def test_expansion_brings_a_query_to_its_group() -> None:
    random = np.random.default_rng(1)
    centre = np.eye(8)[0]
    group = centre + 0.1 * random.normal(size=(20, 8))
    query = (centre + 0.5 * random.normal(size=8))[None]
    before = float(query[0] @ centre / np.linalg.norm(query))
    assert float(expand_queries(query, group)[0] @ centre) > before


def test_bad_options_are_named() -> None:
    with pytest.raises(InputError, match="power -1"):
        expand_queries(np.eye(3), np.eye(3), power=-1)
    with pytest.raises(InputError, match="at least 1"):
        expand_queries(np.eye(3), np.eye(3), count=0)


@pytest.mark.parametrize("power", [0.0, 3.0])
@pytest.mark.parametrize("count", [1, 4, 100])
def test_a_gallery_is_expanded_by_its_own_neighbours(power: float, count: int) -> None:
    random = np.random.default_rng(2)
    gallery = random.normal(size=(40, 6)) + 0.5
    unit = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    expected = []
    for row in range(40):
        cosines = unit @ unit[row]
        nearest = [j for j in np.argsort(-cosines) if j != row][:count]
        mean = unit[row] + sum(max(cosines[j], 0.0) ** power * unit[j] for j in nearest)
        expected.append(mean / np.linalg.norm(mean))
    got = expand_gallery(gallery, count=count, power=power)
    assert got.dtype == np.float32
    assert np.allclose(got, expected, atol=1e-5)


def test_expansion_in_parts_is_expansion(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(3).normal(size=(30, 6))
    whole = expand_queries(rows[:10], rows[10:]), expand_gallery(rows)
    monkeypatch.setattr("passerby.retrieval.expansion.MIXED_BYTES", 4 * 6 * 6 * 3)
    parts = expand_queries(rows[:10], rows[10:]), expand_gallery(rows)
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(whole, parts, strict=True))


def test_bad_galleries_are_named() -> None:
    with pytest.raises(InputError, match="power -1"):
        expand_gallery(np.eye(3), power=-1)
    with pytest.raises(InputError, match="at least 1"):
        expand_gallery(np.eye(3), count=0)
    with pytest.raises(InputError, match="empty"):
        expand_gallery(np.zeros((0, 3)))
    with pytest.raises(InputError, match="zero in row 1"):
        expand_gallery(np.array([[1.0, 0], [0, 0]]))
