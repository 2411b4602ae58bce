from dataclasses import replace
from pathlib import Path

import pytest
import torch

from passerby.data import CropTable, read
from passerby.losses import center, cross_entropy, weighted_triplet
from passerby.models import load, parameters
from passerby.recipes.agw import Agw, AgwMethod, run, small_cpu
from passerby.recipes.bag_of_tricks import new_network
from tests.recipes.tiny import LABELS, batch, tiny

TINY = tiny(small_cpu(), epochs=6, warmup=1)


@pytest.fixture(scope="module")
def table(market: Path) -> CropTable:
    return read("market1501", market)


def test_the_network_is_the_papers() -> None:
    # trunk 23,508,032, non-local blocks 28,687, BNNeck 4,096, GeM 1
    assert parameters(new_network(Agw(), 0)[0]) == 23_508_032 + 28_687 + 4_096 + 1


def test_the_terms_are_the_losses_of_their_names() -> None:
    labels = LABELS
    method = AgwMethod(TINY, labels)
    terms = method.losses(batch())
    output = method.network(batch().images)
    assert method.center is not None
    expected = {
        "identity": cross_entropy(output.logits, labels, smoothing=0.1),
        "triplet": weighted_triplet(output.before_bn, labels, legacy=True),
        "center": 0.0005 * center(output.before_bn, labels, method.center.centers),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)


def test_training_learns_and_the_file_is_the_network(table: CropTable, tmp_path: Path) -> None:
    report = run(replace(TINY, out=tmp_path), table)
    assert report.mAP > 0.4
    network, card = load(tmp_path / "model.safetensors")
    assert (card.pooling, card.structure) == ("gem", {"non_local": "agw"})
    # the exponent of GeM and the scale of the non-local blocks have moved from where they start
    state = network.state_dict()
    assert state["pool.p"].item() != 3.0
    gates = [value for key, value in state.items() if "non_local" in key and "W.1.weight" in key]
    assert gates
    assert all(gate.abs().max() > 0 for gate in gates)
