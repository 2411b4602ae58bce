import numpy as np
import pytest

from passerby.errors import InputError
from passerby.retrieval import expand_queries


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
