import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from passerby.cluster import ClusterMemory
from passerby.data import CropTable, ImageStore, read
from passerby.data.samplers import CameraSampler
from passerby.errors import InputError
from passerby.losses import cluster_contrast
from passerby.models import load, parameters
from passerby.recipes import RECIPES
from passerby.recipes import cluster_contrast as recipe
from passerby.recipes.cluster_contrast import (
    ClusterContrast,
    ClusterContrastMethod,
    new_network,
    run,
    small_cpu,
)
from passerby.train import Batch
from tests.recipes.tiny import tiny

TINY = tiny(
    small_cpu(), init="", k1=8, k2=3, eps=0.6, min_samples=3, iterations=8, epochs=4, warmup=0,
    learning_rate=1e-3, test_every=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def table(market: Path) -> CropTable:
    return read("market1501", market)


def events(out: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def test_defaults_are_the_papers() -> None:
    config = ClusterContrast()
    assert (config.k1, config.k2, config.min_samples) == (30, 6, 4)
    assert (config.temperature, config.momentum, config.smoothing) == (0.05, 0.1, 0.1)
    assert (config.identities * config.images, config.iterations) == (256, 200)
    assert (config.epochs, config.milestones, config.decay) == (50, (20, 40), 0.1)
    network, card = new_network(replace(config, ghost=0))
    # the dense branch and three blocks of 16 inner channels: under 27.06 M in all
    assert parameters(network) == 27_048_400
    assert card.interpolation == "bicubic"
    assert recipe.paper_literal().eps == 0.4
    sets = ("market1501", "dukemtmc-reid", "personx", "msmt17")
    published = [RECIPES[f"cluster-contrast-{name}"].options() for name in sets]
    assert [config.eps for config in published] == [0.4, 0.7, 0.7, 0.7]
    assert [config.data for config in published] == [f"{name}:PATH" for name in sets]
    assert [config.iterations for config in published] == [200, 200, 200, 400]
    assert RECIPES["cluster-contrast-literal-msmt17"].options().size == (224, 224)


def test_learning_without_labels_finds_people(table: CropTable, tmp_path: Path) -> None:
    report = run(replace(TINY, out=tmp_path), table)
    assert report is not None
    begun = events(tmp_path, "begin")
    assert [line["epoch"] for line in begun] == [1, 2, 3, 4]
    assert report.mAP > begun[0]["mAP"] + 0.05
    assert begun[-1]["nmi"] > begun[0]["nmi"]
    assert {"clusters", "outliers", "purity", "ari", "findings"} <= begun[0].keys()
    card = load(tmp_path / "model.safetensors")[1]
    assert card.training["recipe"] == "cluster-contrast"
    assert run(replace(TINY, out=tmp_path), table).mAP == pytest.approx(report.mAP, abs=1e-6)  # type: ignore[union-attr]


def test_identities_score_the_log_and_nothing_else(table: CropTable, tmp_path: Path) -> None:
    short = replace(TINY, epochs=2, iterations=3, test_every=0)
    run(replace(short, out=tmp_path / "known"), table)
    blind = replace(table, identity=np.where(table.split == "train", -1, table.identity))
    run(replace(short, out=tmp_path / "blind"), blind)
    known, unknown = (
        load(tmp_path / name / "model.safetensors")[0].state_dict() for name in ("known", "blind")
    )
    assert all(torch.equal(known[key], unknown[key]) for key in known)
    assert "purity" not in events(tmp_path / "blind", "begin")[0]
    assert events(tmp_path / "blind", "begin")[0]["findings"] == ["people_unknown"]


def test_pictures_without_any_labels_or_queries_will_do(table: CropTable, tmp_path: Path) -> None:
    train = table.select(table.split == "train")
    bare = replace(train, identity=np.full(len(train), -1), camera=np.full(len(train), -1))
    assert run(replace(TINY, out=tmp_path, epochs=1, iterations=2), bare) is None
    assert "cameras_unknown" in events(tmp_path, "begin")[0]["findings"]
    assert json.loads((tmp_path / "report.json").read_text())["training"]["crops"] == len(train)


def tracked(table: CropTable) -> CropTable:
    """The table with a tracklet for each person at each camera, and a picture that lacks one."""
    tracklet = 100 * table.identity + table.camera
    tracklet[np.flatnonzero(table.split == "train")[0]] = -1
    return replace(table, tracklet=tracklet)


def test_random_weights_begin_with_tracklets(table: CropTable, tmp_path: Path) -> None:
    config = replace(TINY, out=tmp_path, epochs=3, tracklet_epochs=2)
    report = run(config, tracked(table))
    begun = events(tmp_path, "begin")
    train = tracked(table).train
    known = train.tracklet[train.tracklet >= 0]  # type: ignore[index]
    assert [line.get("tracklets") for line in begun] == [*2 * [len(np.unique(known))], None]
    assert report is not None
    assert report.mAP > begun[0]["mAP"] + 0.05


def test_tracklets_are_waited_with_until_something_clusters(table: CropTable) -> None:
    train = tracked(table).train
    store = ImageStore.load(train, size=TINY.size)
    config = replace(TINY, tracklet_epochs=1)
    method = ClusterContrastMethod(config, *new_network(config), store.images)
    method.set_metadata(train)
    method.on_epoch_start(1)
    method.config = replace(config, min_samples=100)
    assert method.on_epoch_start(2)["tracklets"]
    assert method.memory.by_camera
    method.config = config
    assert "tracklets" not in method.on_epoch_start(3)
    assert not method.memory.by_camera


def test_tracklets_that_are_not_there(table: CropTable, tmp_path: Path) -> None:
    config = replace(TINY, out=tmp_path, tracklet_epochs=2)
    with pytest.raises(InputError, match=r"says nothing of tracklets; .* --tracklet-epochs 0"):
        run(config, table)
    nowhere = replace(tracked(table), camera=np.full(len(table), -1))
    with pytest.raises(InputError, match="says nothing of cameras"):
        run(config, nowhere)
    with pytest.raises(InputError, match="no cameras, without which"):
        run(replace(config, use_cameras=False), tracked(table))


@pytest.mark.parametrize("tracklet_epochs", [0, 2])
def test_a_killed_run_continues_exactly(
    table: CropTable, tmp_path: Path, tracklet_epochs: int
) -> None:
    table = tracked(table)
    short = replace(TINY, epochs=2, iterations=4, test_every=0)
    whole = replace(short, out=tmp_path / "whole", tracklet_epochs=tracklet_epochs)
    run(whole, table)

    class StopError(Exception):
        pass

    class Cut(ClusterContrastMethod):
        steps = 0

        def after_step(self) -> None:
            Cut.steps += 1
            if Cut.steps == 6:  # in the second epoch
                raise StopError

    cut = replace(whole, out=tmp_path / "cut", checkpoint_every=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "ClusterContrastMethod", Cut)
        with pytest.raises(StopError):
            run(cut, table)
    run(cut, table)
    ours, again = (
        load(tmp_path / name / "model.safetensors")[0].state_dict() for name in ("whole", "cut")
    )
    assert all(torch.equal(ours[key], again[key]) for key in ours)
    assert len(events(tmp_path / "cut", "begin")) == 2


def test_a_step_is_the_loss_and_then_the_memory(table: CropTable) -> None:
    train = table.train
    store = ImageStore.load(train, size=TINY.size)
    torch.manual_seed(0)
    network, card = new_network(TINY)
    method = ClusterContrastMethod(TINY, network, card, store.images)
    method.set_metadata(table)
    method.on_epoch_start(1)
    assert isinstance(method.sampler, CameraSampler)
    centroids = method.memory.centroids.clone()
    rows = method.sampler.batches(1)[0]
    images = store.images[rows].float() / 255
    method.train()
    state = {key: value.clone() for key, value in network.state_dict().items()}
    loss = method.losses(Batch(images, rows))["contrast"]
    network.load_state_dict(state)
    features = network(images).after_bn
    expected = cluster_contrast(features, method.labels[rows], centroids)
    torch.testing.assert_close(loss, expected)
    follower = ClusterMemory(network.dimension)
    follower.begin(centroids)
    follower.update(features, method.labels[rows])
    torch.testing.assert_close(method.memory.centroids, follower.centroids)


def test_an_epoch_that_does_not_cluster(table: CropTable, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be learned from: nothing clusters"):
        run(replace(TINY, out=tmp_path / "none", min_samples=100), table)
    with pytest.raises(InputError, match="cannot be learned from: everything is one cluster"):
        run(replace(TINY, out=tmp_path / "one", eps=0.999, k1=40, k2=1, min_samples=1), table)
    # later on the clusters of the epoch before stay
    train = table.train
    store = ImageStore.load(train, size=TINY.size)
    torch.manual_seed(0)
    network, card = new_network(TINY)
    method = ClusterContrastMethod(TINY, network, card, store.images)
    method.set_metadata(train)
    method.on_epoch_start(1)
    before = method.labels.clone()
    method.config = replace(TINY, min_samples=100)
    facts = method.on_epoch_start(2)
    assert facts["labels_kept"]
    assert torch.equal(method.labels, before)


def test_going_on_from_a_model_file(table: CropTable, tmp_path: Path) -> None:
    config = replace(TINY, init="default", size=(128, 64), epochs=1, out=tmp_path / "run")
    network, card = new_network(config)
    bundled, original = load(recipe.find_file("default"))
    assert card.architecture == original.architecture
    assert card.training == {}
    assert all(
        torch.equal(value, bundled.state_dict()[key]) for key, value in network.state_dict().items()
    )
    with pytest.raises(InputError, match="give one of them"):
        run(replace(config, weights=Path("x.pth")), table)
    with pytest.raises(InputError, match=r"nowhere\.safetensors"):
        run(replace(config, init="nowhere.safetensors", weights=None), table)
