"""Everything kept of the answers, against the whole distance matrix."""

import numpy as np
import pytest
import torch

from passerby.data import CropTable
from passerby.errors import InputError
from passerby.metrics import Reranking, evaluate
from passerby.retrieval import distances, k_reciprocal_distances
from passerby.visual import Results, collect_results
from passerby.visual.breakdown import (
    box_heights,
    by_height,
    by_matches,
    camera_counts,
    camera_matrix,
    confusions,
    with_boxes,
)
from tests.visual.conftest import Embed


def labels(results: Results) -> tuple[np.ndarray, ...]:
    query, gallery = results.query, results.gallery
    return query.identity, gallery.identity, query.camera, gallery.camera


def test_report_and_ranking_are_those_of_the_matrix(results: Results) -> None:
    matrix = distances(results.queries, results.features)
    whole = evaluate(matrix, *labels(results))
    assert results.report.mAP == pytest.approx(whole.mAP, abs=1e-9)
    assert results.report.cmc[5] == whole.cmc[5]
    order = np.argsort(matrix.numpy(), axis=1, kind="stable")
    np.testing.assert_array_equal(results.ranking.indices, order[:, : results.ranking.k])
    for position, query in enumerate(results.matches.queries):
        row = matrix[query].numpy()
        true = results.matches.true[position]
        assert row[results.nearest_true[position]] == row[true].min()


def test_blocks_of_queries_change_nothing(
    results: Results, table: CropTable, embed: Embed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("passerby.visual.results.BLOCK_BYTES", 4 * len(results.gallery) * 5)
    again = collect_results(table, embed)
    np.testing.assert_array_equal(again.nearest_true, results.nearest_true)
    np.testing.assert_array_equal(again.camera_first, results.camera_first)
    np.testing.assert_array_equal(again.ranking.indices, results.ranking.indices)


def test_a_reranked_report_keeps_the_plain_one(
    results: Results, table: CropTable, embed: Embed
) -> None:
    again = collect_results(table, embed, reranking=Reranking(k1=6, k2=3))
    matrix = k_reciprocal_distances(results.queries, results.features, k1=6, k2=3)
    assert again.report.mAP == pytest.approx(evaluate(matrix, *labels(results)).mAP, abs=1e-6)
    assert again.plain is not None
    assert again.plain.mAP == results.report.mAP
    best = np.argsort(matrix, axis=1, kind="stable")[:, 0]
    assert (again.ranking.indices[:, 0] == best).mean() > 0.95


def test_a_pair_of_cameras_is_a_search_in_one_camera(results: Results) -> None:
    matrix = camera_matrix(results)
    asked = results.query.camera == 2
    searched = results.gallery.camera == 3
    part = distances(results.queries[torch.from_numpy(asked)], results.features[searched])
    query_ids, gallery_ids, query_cameras, gallery_cameras = labels(results)
    alone = evaluate(
        part,
        query_ids[asked],
        gallery_ids[searched],
        query_cameras[asked],
        gallery_cameras[searched],
        ranks=(1,),
    )
    assert matrix.mAP[1, 2] == pytest.approx(alone.mAP)
    assert matrix.rank1[1, 2] == pytest.approx(alone.cmc[1])
    assert matrix.count[1, 2] == alone.valid_queries == 12
    assert (np.diag(matrix.count) == 0).all()
    assert np.isnan(np.diag(matrix.mAP)).all()
    assert [cell[0] for cell in matrix.cells(1)] == sorted(cell[0] for cell in matrix.cells(1))


def test_many_cameras_are_cut_to_the_largest(results: Results) -> None:
    assert camera_matrix(results, most=2).mAP.shape == (2, 2)


def test_counts_of_cameras_add_up(results: Results) -> None:
    rows = camera_counts(results)
    assert sum(row.queries for row in rows) == len(results.query)
    assert sum(row.gallery for row in rows) == len(results.gallery)
    total = sum(row.mAP * row.queries for row in rows if row.mAP is not None)
    assert total / len(results.query) == pytest.approx(results.report.mAP)


def test_the_twins_are_the_first_confusion(results: Results) -> None:
    worst = confusions(results)[0]
    assert (worst.person, worst.other) == (3, 4)
    assert worst.queries == worst.of == 3
    assert results.query.identity[worst.query] == 3
    assert results.gallery.identity[worst.row] == 4
    assert worst.similarity == pytest.approx(
        float(results.queries[worst.query] @ results.features[worst.row]), abs=1e-6
    )


def test_groups_hold_every_query_once(results: Results) -> None:
    for groups in (by_height(results), by_matches(results)):
        assert sum(group.queries for group in groups) == results.report.valid_queries
        mean = sum(group.queries * group.mAP for group in groups) / results.report.valid_queries
        assert mean == pytest.approx(results.report.mAP)
    assert len(by_height(results)) == 4
    assert [group.name for group in by_matches(results)] == ["4 to 7"]


def test_heights_come_from_the_files_without_boxes(table: CropTable) -> None:
    bare = CropTable(**{k: v for k, v in table.columns().items() if k != "box"}, root=table.root)  # type: ignore[arg-type]
    assert set(box_heights(bare)) == {32.0}
    assert with_boxes(bare) is bare
    np.testing.assert_allclose(box_heights(table), table.box[:, 3])  # type: ignore[index]


def test_boxes_of_a_simulated_city_are_found(table: CropTable) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")

    bare = CropTable(**{k: v for k, v in table.columns().items() if k != "box"}, root=table.root)  # type: ignore[arg-type]
    order = np.random.default_rng(0).permutation(len(table))
    assert table.box is not None
    columns = {name: table.box[order, n] for n, name in enumerate(("x0", "y0", "x1", "y1"))}
    file = table.root / "sightings.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"path": table.path[order], **columns}), file)
    try:
        np.testing.assert_array_equal(with_boxes(bare).box, table.box)
        file.write_bytes(b"PAR1 and nothing more")
        assert with_boxes(bare) is bare
    finally:
        file.unlink()


def test_no_rows_and_no_matches_are_said(table: CropTable, embed: Embed) -> None:
    with pytest.raises(InputError, match="no query or no gallery"):
        collect_results(table.select(table.split == "gallery"), embed)
    strangers = table.select((table.split == "query") | (table.identity == 0))
    with pytest.raises(InputError, match="no query has a true match"):
        collect_results(strangers, lambda rows: np.ones((len(rows), 4)))
