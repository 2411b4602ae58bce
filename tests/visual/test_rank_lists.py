from dataclasses import replace

import numpy as np
import pytest

from passerby.errors import InputError
from passerby.visual import Results
from passerby.visual.rank_lists import MOST_JUNK, pick_queries, positions_of, rank_list


def test_worst_and_best_are_ordered_by_ap(results: Results) -> None:
    ((name, worst),) = pick_queries(results, "worst", 5)
    ap = results.report.ap
    assert name == "worst"
    np.testing.assert_allclose(ap[worst], np.sort(ap)[:5])
    ((_, best),) = pick_queries(results, "best", 5)
    np.testing.assert_allclose(ap[best], np.sort(ap)[::-1][:5])


def test_random_queries_depend_on_the_seed_alone(results: Results) -> None:
    picked = [pick_queries(results, "random", 6, seed=seed)[0][1].tolist() for seed in (1, 1, 2)]
    assert picked[0] == picked[1] != picked[2]
    assert len(set(picked[0])) == 6


@pytest.mark.parametrize("count", [1, 3, 12, 500])
def test_a_mixture_starts_with_chance_and_repeats_nothing(results: Results, count: int) -> None:
    groups = pick_queries(results, "mixed", count)
    everyone = np.concatenate([positions for _, positions in groups])
    assert len(everyone) <= max(count, 2)
    if count == 12:
        assert [name for name, _ in groups] == ["random", "worst", "best"]
        assert len(set(everyone.tolist())) == 12


def test_marks_follow_the_protocol(results: Results) -> None:
    for position in range(len(results.matches.queries)):
        item = rank_list(results, position, top=8)
        query = results.query
        person, camera = query.identity[item.query], query.camera[item.query]
        for entry in item.entries:
            identity = results.gallery.identity[entry.row]
            own = identity == person and results.gallery.camera[entry.row] == camera
            expected = "junk" if own or identity < 0 else "true" if identity == person else "false"
            assert entry.kind == expected
        ranks = [entry.rank for entry in item.entries if entry.kind != "junk"]
        assert ranks == list(range(1, 9))
        assert all(entry.rank == 0 for entry in item.entries if entry.kind == "junk")
        assert sum(entry.kind == "junk" for entry in item.entries) <= MOST_JUNK
        firsts = [entry.rank for entry in item.entries if entry.kind == "true"]
        if item.first <= 8:
            assert firsts[0] == item.first
            assert item.best_true is None
        else:
            assert not firsts
            assert item.best_true is not None
            assert item.best_true.rank == item.first


def test_the_first_true_match_is_shown_when_it_is_far_down(results: Results) -> None:
    position = int(results.report.first.argmax())
    item = rank_list(results, position, top=1)
    assert item.best_true is not None
    assert item.best_true.rank == results.report.first[position] > 1
    assert results.gallery.identity[item.best_true.row] == results.query.identity[item.query]


def test_a_shallow_ranking_still_shows_the_first_true_match(results: Results) -> None:
    shallow = replace(results, ranking=results.ranking.head(4))
    for position in range(len(results.matches.queries)):
        item = rank_list(shallow, position, top=10)
        seen = [entry.rank for entry in item.entries if entry.kind == "true"]
        assert (item.best_true is None) == (item.first in seen)


def test_one_other_person_is_named(results: Results) -> None:
    row = int(np.flatnonzero(results.query.identity == 3)[0])
    (position,) = positions_of(results, (row,))
    item = rank_list(results, int(position), top=6)
    assert item.query == row
    assert "show one other person, 4" in item.remark


def test_bad_choices_are_said(results: Results) -> None:
    with pytest.raises(InputError, match="cannot be picked by 'all'"):
        pick_queries(results, "all", 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="0 queries"):
        pick_queries(results, "worst", 0)
    with pytest.raises(InputError, match="top 0"):
        rank_list(results, 0, top=0)
    with pytest.raises(InputError, match="no query row 999"):
        positions_of(results, (999,))
