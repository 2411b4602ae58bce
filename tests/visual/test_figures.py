import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from passerby.errors import InputError
from passerby.metrics import Calibration, candidate_pairs, reliability, survey
from passerby.models import ModelCard, build
from passerby.visual import Results
from passerby.visual.activation import activation_maps, overlay
from passerby.visual.curves import (
    ap_histogram,
    cmc_curve,
    reliability_diagram,
    similarity_histogram,
)
from passerby.visual.embedding import embedding_map, pick_people, project
from passerby.visual.training import cluster_curves, read_log, training_curves


def marks(svg: str, kind: str) -> int:
    root = ET.fromstring(svg)
    return sum(kind in element.attrib.get("class", "").split() for element in root.iter())


def test_curves_name_their_figures(results: Results) -> None:
    figure = cmc_curve(results.report, results.report)
    assert marks(figure.svg, "line") == 2
    assert f"rank-1 {results.report.cmc[1]:.1%}" in figure.svg
    assert len(figure.legend) == 2
    assert marks(ap_histogram(results.report).svg, "bar") == 20


def test_similarities_and_reliability(results: Results) -> None:
    found = survey(
        results.queries,
        results.features,
        results.query.identity,
        results.gallery.identity,
        results.query.camera,
        results.gallery.camera,
        candidates=20,
    )
    curve = Calibration(slope=9.0, intercept=-4.5, measured=True)
    figure = similarity_histogram(found, curve)
    assert marks(figure.svg, "area") == 2
    assert "probability ½ at 0.50" in figure.svg
    assert "probability" not in similarity_histogram(found, Calibration()).svg
    judged = reliability(curve, candidate_pairs(found, results.query.identity))
    diagram = reliability_diagram(judged)
    assert marks(diagram.svg, "mark") == marks(diagram.svg, "span") == len(judged.bins)


def test_the_map_has_a_mark_for_each_crop(results: Results) -> None:
    people = pick_people(results, 4, seed=1)
    assert len(people) == 4
    figure = embedding_map(results, people)
    assert marks(figure.svg, "mark") == 4 * (3 + 2 * 3)
    assert marks(figure.svg, "ring") == 4 * 3
    assert "of the variance" in figure.says


def test_principal_components_keep_distances_in_the_plane() -> None:
    flat = np.random.default_rng(0).normal(size=(9, 2)) @ np.random.default_rng(1).normal(
        size=(2, 6)
    )
    points, kept = project(flat.astype(np.float32))
    assert kept == pytest.approx(1.0)
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    np.testing.assert_allclose(
        np.linalg.norm(points[:, None] - points[None], axis=2), apart, atol=1e-5
    )


def test_tsne_is_repeatable(results: Results) -> None:
    rows = results.features[:20].numpy()
    first, kept = project(rows, "tsne", seed=3)
    assert kept is None
    np.testing.assert_array_equal(first, project(rows, "tsne", seed=3)[0])


def test_maps_that_cannot_be_are_said() -> None:
    with pytest.raises(InputError, match="no projection 'umap'"):
        project(np.zeros((4, 3), np.float32), "umap")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 crops"):
        project(np.zeros((2, 3), np.float32))


class TopHalf(nn.Module):
    """A backbone whose map is strong where the picture's top is."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        energy = torch.zeros(len(images), 5, 8, 4)
        energy[:, :, :4] = 2.0
        return energy


class Plain(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone


CARD = ModelCard(architecture="slim18", dimension=256, input_size=(64, 32))
CROPS = np.random.default_rng(0).integers(0, 256, (2, 64, 32, 3), dtype=np.uint8)


def test_activation_follows_the_energy_of_the_map() -> None:
    maps = activation_maps(Plain(TopHalf()), CARD, CROPS)
    assert maps.shape == (2, 64, 32)
    assert maps[:, :24].min() == 1.0
    assert maps[:, 40:].max() == 0.0
    shown = overlay(CROPS[0], maps[0])
    assert shown.shape == (64, 32, 3)
    assert shown[:24].mean() > shown[40:].mean()


def test_activation_of_a_network_leaves_its_mode() -> None:
    network = build("slim18", num_classes=0).train()
    maps = activation_maps(network, CARD, CROPS)
    assert network.training
    assert maps.min() == 0.0
    assert maps.max() == 1.0


def test_a_vector_is_no_map() -> None:
    with pytest.raises(InputError, match="not a map"):
        activation_maps(Plain(nn.AdaptiveAvgPool2d(1)), CARD, CROPS)
    with pytest.raises(InputError, match="no backbone"):
        activation_maps(nn.Identity(), CARD, CROPS)


def test_training_curves_skip_a_half_written_line(folder: Path) -> None:
    events = read_log(folder / "log.jsonl")
    assert [line["step"] for line in events] == [10, 20, 30, 40]
    losses, rate, speed = training_curves(events)
    assert [text for _, text in losses.legend] == ["sum", "identity", "triplet"]
    assert marks(losses.svg, "line") == 3
    assert marks(rate.svg, "line") == marks(speed.svg, "line") == 1


def test_a_log_without_steps_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_log(tmp_path / "log.jsonl")
    (tmp_path / "log.jsonl").write_text('{"event": "epoch", "step": 1}\n[1]\n', "utf-8")
    with pytest.raises(InputError, match="no training step"):
        training_curves(read_log(tmp_path / "log.jsonl"))


def test_cluster_curves_show_counts_quality_and_scores() -> None:
    scored = {"people": 40, "purity": 0.8, "nmi": 0.9, "ari": 0.7}
    events = [
        {"event": "begin", "epoch": 1, "clusters": 30, "outliers": 9, **scored, "mAP": 0.4},
        {"event": "step", "step": 3},
        {"event": "begin", "epoch": 2, "clusters": 38, "outliers": 5, **scored},
        {"event": "begin", "epoch": 3, "clusters": 39, "outliers": 2, **scored, "mAP": 0.5},
    ]
    counts, quality, score = cluster_curves(events)
    assert marks(counts.svg, "line") == 2
    assert "40 people" in counts.svg
    assert [text for _, text in quality.legend] == ["purity", "NMI", "ARI"]
    assert [text for _, text in score.legend] == ["mAP"]
    assert "epoch 3: 50.0%" in score.svg
    assert "epoch 2" not in score.svg


def test_clusters_of_unknown_people_have_no_quality_and_other_runs_no_clusters() -> None:
    begun = {"event": "begin", "epoch": 1, "clusters": 0, "outliers": 7}
    (counts,) = cluster_curves([begun])
    assert "people" not in counts.svg
    assert cluster_curves([{"event": "begin", "epoch": 1}, {"event": "step", "step": 1}]) == []
