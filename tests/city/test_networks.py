from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from passerby.city import City, Scope, SecondStage, Sighting, find
from passerby.city.search import person_vector
from passerby.errors import InputError
from passerby.models.attention_files import AttentionCard, save_attention
from passerby.models.diff_attention import attended_distances

Maker = Callable[..., list[Sighting]]


@pytest.fixture
def attention_file(tmp_path: Path, city: City, sightings_of: Maker) -> Path:
    rng = np.random.default_rng(1)
    many = []
    for one in sightings_of(240):
        vector = rng.standard_normal(16)
        many.append(replace(one, vector=(vector / np.linalg.norm(vector)).astype(np.float32)))
    city.add_sightings(many)
    assert city.gallery.model_id is not None
    card = AttentionCard(model_id=city.gallery.model_id, dimension=16, ratio=4, length=4.0)
    torch.manual_seed(0)
    attention = card.build()
    with torch.no_grad():
        attention.squeeze.weight *= 6  # an attention that is far from even
        attention.excite.weight *= 6
    save_attention(attention, card, tmp_path / "da.safetensors")
    return tmp_path / "da.safetensors"


def query() -> np.ndarray:
    return person_vector(np.random.default_rng(7).standard_normal(16))


def test_the_first_candidates_are_ordered_by_attended_distance(
    city: City, attention_file: Path
) -> None:
    stage = SecondStage.load(attention_file, candidates=30)
    plain = find(city, query(), Scope(), k=60, rerank=False)
    ids = [match.sighting.id for match in plain.matches]
    rows = torch.from_numpy(city.gallery.vectors(ids[:30]))
    distances = attended_distances(stage.attention, torch.from_numpy(query()), rows)[0]
    expected = [ids[i] for i in distances.argsort(stable=True).tolist()] + ids[30:]
    found = find(city, query(), Scope(), k=60, rerank=False, second_stage=stage)
    assert [match.sighting.id for match in found.matches] == expected != ids
    assert found.second_stage
    assert found.as_dict()["second_stage"] is True
    assert plain.as_dict()["second_stage"] is False
    # scores stay those of the cosine
    before = {match.sighting.id: match.similarity for match in plain.matches}
    after = {match.sighting.id: match.similarity for match in found.matches}
    assert after == pytest.approx(before, abs=1e-6)


def test_it_comes_after_reranking_and_before_grouping(city: City, attention_file: Path) -> None:
    stage = SecondStage.load(attention_file, candidates=20)
    reranked = find(city, query(), Scope(), k=240)
    first = {match.sighting.id for match in reranked.matches[:20]}
    found = find(city, query(), Scope(), k=240, second_stage=stage)
    assert {match.sighting.id for match in found.matches[:20]} == first
    assert [m.sighting.id for m in found.matches[20:]] == [
        m.sighting.id for m in reranked.matches[20:]
    ]
    best = find(city, query(), Scope(), k=1, per="tracklet", second_stage=stage).matches[0]
    assert best.sighting.id == found.matches[0].sighting.id


def test_fewer_hits_than_candidates(city: City, attention_file: Path) -> None:
    stage = SecondStage.load(attention_file)
    scope = Scope(cameras=("C01",))
    count = city.gallery.count(scope)
    assert 0 < count < stage.candidates
    assert len(find(city, query(), scope, k=50, second_stage=stage).matches) == count
    nobody = Scope(cameras=("C01",), start=1, end=2)
    assert find(city, query(), nobody, second_stage=stage).matches == ()


def test_a_stage_that_does_not_fit_is_refused(
    tmp_path: Path, city: City, attention_file: Path
) -> None:
    stage = SecondStage.load(attention_file)
    other = replace(stage, card=replace(stage.card, model_id="other-0123"))
    with pytest.raises(InputError, match="trained for the network other-0123"):
        find(city, query(), Scope(), second_stage=other)
    with pytest.raises(InputError, match="give at least 2"):
        SecondStage.load(attention_file, candidates=1)
    card = replace(stage.card, length=None)
    save_attention(card.build(), card, tmp_path / "raw.safetensors")
    with pytest.raises(InputError, match="train diff-attention-unit"):
        SecondStage.load(tmp_path / "raw.safetensors")
    with pytest.raises(InputError, match="no model file"):
        SecondStage.load(tmp_path / "absent.safetensors")
