"""The contrast over clusters against loops and against its figures."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.losses import (
    cluster_contrast,
    cluster_contrast_of_logits,
    cross_entropy,
)
from passerby.losses.cluster_contrast import contrast_logits


def slow(
    features: Tensor, labels: Tensor, centroids: Tensor, options: tuple[float, float, float]
) -> float:
    """Equations 3 to 5 of the joint loss, one sample and one cluster at a time."""
    tau, epsilon, weight = options
    total = 0.0
    K = len(centroids)
    for feature, label in zip(features.tolist(), labels.tolist(), strict=True):
        length = math.sqrt(sum(x * x for x in feature))
        logits = [
            sum(x * c for x, c in zip(feature, centre, strict=True)) / length / tau
            for centre in centroids.tolist()
        ]
        whole = sum(math.exp(x) for x in logits)
        logs = [math.log(math.exp(x) / whole) for x in logits]
        contrast = -logs[label]
        smoothed = -(1 - epsilon) * logs[label] - epsilon / K * sum(logs)
        total += weight * contrast + (1 - weight) * smoothed
    return total / len(features)


def batch(seed: int, B: int, K: int, D: int) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    features = torch.randn(B, D, dtype=torch.float64, generator=random)
    centroids = F.normalize(torch.randn(K, D, dtype=torch.float64, generator=random), dim=1)
    return features, torch.randint(K, (B,), generator=random), centroids


@given(
    st.integers(0, 2**20),
    st.integers(1, 8),
    st.integers(1, 9),
    st.tuples(st.floats(0.05, 1), st.floats(0, 1), st.floats(0, 1)),
)
@settings(max_examples=60, deadline=None)
def test_loss_is_the_slow_one(seed: int, B: int, K: int, options: tuple) -> None:
    features, labels, centroids = batch(seed, B, K, 5)
    tau, epsilon, weight = options
    loss = cluster_contrast(
        features, labels, centroids, temperature=tau, smoothing=epsilon, balance=weight
    )
    expected = slow(features, labels, centroids, options)
    assert loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_figures() -> None:
    # logits (2, 0, 0, 0), y = 0, four clusters: InfoNCE 0.3407529539, smoothed by 0.1 0.4907529539
    logits, label = torch.tensor([[2.0, 0, 0, 0]], dtype=torch.float64), torch.tensor([0])
    assert cluster_contrast_of_logits(logits, label, balance=1).item() == pytest.approx(
        0.3407529539, abs=1e-9
    )
    assert cluster_contrast_of_logits(logits, label, balance=0).item() == pytest.approx(
        0.4907529539, abs=1e-9
    )
    halves = (0.3407529539 + 0.4907529539) / 2
    assert cluster_contrast_of_logits(logits, label).item() == pytest.approx(halves, abs=1e-9)
    # the same through features: cosines 0.1 and 0 at temperature 0.05
    features = torch.tensor([[0.1, math.sqrt(0.99)]], dtype=torch.float64)
    centroids = torch.tensor([[1.0, 0], [0, 0], [0, 0], [0, 0]], dtype=torch.float64)
    assert cluster_contrast(features, label, centroids).item() == pytest.approx(halves, abs=1e-9)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_joint_loss_is_smoothing_of_its_share(weight: float) -> None:
    logits, labels = torch.randn(6, 9), torch.arange(6)
    joint = cluster_contrast_of_logits(logits, labels, smoothing=0.2, balance=weight)
    assert torch.allclose(joint, cross_entropy(logits, labels, smoothing=(1 - weight) * 0.2))


def test_gradient_flows_to_features_alone() -> None:
    features, labels, centroids = batch(3, 5, 4, 6)
    centroids.requires_grad_()
    features.requires_grad_()
    cluster_contrast(features, labels, centroids).backward()
    assert centroids.grad is None
    assert torch.autograd.gradcheck(
        lambda x: cluster_contrast(x, labels, centroids.detach(), temperature=0.5), (features,)
    )


def test_one_cluster_teaches_nothing() -> None:
    features, labels, centroids = batch(4, 5, 1, 6)
    features.requires_grad_()
    loss = cluster_contrast(features, labels, centroids)
    loss.backward()
    assert loss.item() == 0
    assert features.grad.abs().max() == 0


def test_stays_in_float32_under_autocast() -> None:
    features, labels, centroids = (
        x.float() if x.is_floating_point() else x for x in batch(5, 8, 4, 64)
    )
    with torch.autocast("cpu", torch.bfloat16):
        half = cluster_contrast(features, labels, centroids)
    assert half == cluster_contrast(features, labels, centroids)


def test_bad_input_is_named() -> None:
    features, labels, centroids = batch(6, 5, 3, 6)
    with pytest.raises(InputError, match="temperature 0"):
        cluster_contrast(features, labels, centroids, temperature=0)
    with pytest.raises(InputError, match="balance 2"):
        cluster_contrast(features, labels, centroids, balance=2)
    with pytest.raises(InputError, match=r"centroids are \(3, 5\)"):
        contrast_logits(features, centroids[:, :5])
    with pytest.raises(InputError, match=r"\(B,\)"):
        cluster_contrast(features, labels[:2], centroids)
