"""The cluster memory against one sample at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from passerby.cluster import ClusterMemory, cluster_centroids
from passerby.cluster.memory import momentum_update
from passerby.errors import InputError
from passerby.losses import cluster_contrast_of_logits


def slow_update(centroids: Tensor, features: Tensor, labels: Tensor, momentum: float) -> Tensor:
    """The published backward pass, sample by sample."""
    memory = centroids.clone()
    for q, y in zip(features, labels.tolist(), strict=True):
        memory[y] = momentum * memory[y] + (1 - momentum) * q
        memory[y] /= memory[y].norm()
    return memory


def slow_hard_update(
    centroids: Tensor, features: Tensor, labels: Tensor, momentum: float
) -> Tensor:
    memory = centroids.clone()
    for y in sorted(set(labels.tolist())):
        own = [q for q, label in zip(features, labels.tolist(), strict=True) if label == y]
        worst = min(own, key=lambda q: float(q @ centroids[y]))
        memory[y] = momentum * memory[y] + (1 - momentum) * worst
        memory[y] /= memory[y].norm()
    return memory


def batch(seed: int, B: int = 32, K: int = 7, D: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    centroids = F.normalize(torch.randn(K, D, generator=random), dim=1)
    features = F.normalize(torch.randn(B, D, generator=random), dim=1)
    return centroids, features, torch.randint(K, (B,), generator=random)


@given(st.integers(0, 2**20), st.integers(1, 40), st.integers(1, 9), st.floats(0, 0.9))
@settings(max_examples=60, deadline=None)
def test_update_is_sample_by_sample(seed: int, B: int, K: int, momentum: float) -> None:
    centroids, features, labels = batch(seed, B, K)
    before = centroids.clone()
    updated = momentum_update(centroids, features, labels, momentum=momentum)
    assert torch.allclose(updated, slow_update(centroids, features, labels, momentum), atol=1e-6)
    assert torch.equal(centroids, before)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_memory_follows_the_batch(seed: int, hard: bool) -> None:
    centroids, features, labels = batch(seed)
    memory = ClusterMemory(12, momentum=0.1, hard=hard)
    memory.begin(centroids)
    logits = memory(features, labels)
    assert torch.allclose(logits, features @ centroids.T / 0.05, atol=1e-5)
    memory.update(features, labels)
    slow = slow_hard_update if hard else slow_update
    assert torch.allclose(memory.centroids, slow(centroids, features, labels, 0.1), atol=1e-6)


def test_equally_hard_samples_take_the_first() -> None:
    memory = ClusterMemory(3, hard=True, momentum=0.5)
    memory.begin(torch.eye(3))
    rows = torch.tensor([[0.0, 1, 0], [0, 0, 1]])
    memory.update(rows, torch.tensor([0, 0]))
    assert torch.allclose(memory.centroids[0], torch.tensor([0.5, 0.5, 0]) * 2**0.5)


def test_an_update_before_backward_leaves_the_gradient() -> None:
    centroids, features, labels = batch(1)
    gradients = []
    for early in (False, True):
        memory = ClusterMemory(12)
        memory.begin(centroids)
        rows = features.clone().requires_grad_()
        loss = cluster_contrast_of_logits(memory(rows, labels), labels)
        if early:
            memory.update(rows, labels)
        loss.backward()
        gradients.append(rows.grad)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("seed", range(3))
def test_clusters_of_cameras_are_told_apart_within_them(seed: int) -> None:
    centroids, features, labels = batch(seed)
    cameras = torch.arange(len(centroids)) % 2
    memory = ClusterMemory(12)
    memory.begin(centroids, cameras)
    assert memory.by_camera
    loss = cluster_contrast_of_logits(memory(features, labels), labels, balance=1.0)
    slow = []
    for row, y in zip(features, labels.tolist(), strict=True):
        near = [k for k in range(len(centroids)) if k % 2 == y % 2]
        logits = torch.stack([row @ centroids[k] / 0.05 for k in near])
        slow.append(logits.logsumexp(dim=0) - row @ centroids[y] / 0.05)
    torch.testing.assert_close(loss, torch.stack(slow).mean())
    memory.begin(centroids)
    assert not memory.by_camera
    with pytest.raises(InputError, match="give one each"):
        memory.begin(centroids, cameras[1:])


def test_centroids_are_unit_means() -> None:
    features = torch.randn(50, 6)
    labels = np.random.default_rng(0).permutation(np.repeat([-1, 0, 1, 2, 3], 10))
    found = cluster_centroids(features, labels)
    for y in range(4):
        mean = features[torch.from_numpy(labels == y)].mean(dim=0)
        assert torch.allclose(found[y], mean / mean.norm(), atol=1e-6)


def test_state_of_another_number_of_clusters_is_taken() -> None:
    centroids, features, labels = batch(2)
    memory, other = ClusterMemory(12), ClusterMemory(12)
    memory.begin(centroids, torch.arange(len(centroids)))
    memory.update(features, labels)
    other.begin(centroids[:3])
    other.load_state_dict(memory.state_dict())
    assert torch.equal(other.centroids, memory.centroids)
    assert torch.equal(other.cameras, memory.cameras)
    with pytest.raises(RuntimeError, match="size mismatch"):
        ClusterMemory(5).load_state_dict(memory.state_dict())


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="momentum 2"):
        ClusterMemory(3, momentum=2)
    with pytest.raises(InputError, match="empty"):
        ClusterMemory(3)(torch.ones(2, 3), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(InputError, match="numbered"):
        cluster_centroids(torch.ones(3, 2), np.array([0, 2, 2]))
    with pytest.raises(InputError, match="numbered"):
        cluster_centroids(torch.ones(3, 2), np.array([-1, -1, -1]))
    with pytest.raises(InputError, match="2 labels for 3"):
        cluster_centroids(torch.ones(3, 2), np.array([0, 1]))
