"""Each loss against its figures, a slow oracle with loops, and numerical gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from passerby.errors import InputError
from passerby.losses import (
    CenterLoss,
    center,
    circle,
    cross_entropy,
    focal_weight,
    pair_circle,
    triplet,
    weighted_triplet,
)
from passerby.losses.circle import circle_logits, circle_of_masks
from passerby.losses.triplet import triplet_of_distances
from passerby.losses.weighted_triplet import weighted_triplet_of_distances


def batch(seed: int, count: int, people: int, dimension: int = 5) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    features = torch.randn(count, dimension, generator=random, dtype=torch.float64)
    return features, torch.randint(people, (count,), generator=random)


batches = st.builds(
    batch, st.integers(0, 2**20), st.integers(2, 12), st.integers(1, 5), st.integers(1, 6)
)


def distance(a: Tensor, b: Tensor) -> float:
    return math.sqrt(max(sum((x - y) ** 2 for x, y in zip(a.tolist(), b.tolist(), strict=True)), 0))


# --- figures ---------------------------------------------------------------------------------


def test_cross_entropy_figures() -> None:
    logits, labels = torch.tensor([[2.0, 0, 0, 0]]), torch.tensor([0])
    assert cross_entropy(logits, labels, smoothing=0).item() == pytest.approx(
        0.3407529539, abs=1e-6
    )
    assert cross_entropy(logits, labels).item() == pytest.approx(0.4907529539, abs=1e-6)
    other = cross_entropy(logits, labels, others_only=True).item()
    assert other == pytest.approx(0.5407529539, abs=1e-6)


@pytest.mark.parametrize(
    ("gamma", "margin", "logits", "loss"),
    [
        (64, 0.35, (-2.4, -5.28, -7.2), 0.0623779167),
        (128, 0.25, (-12.48, -2.88, -6.72), 9.6213321727),
    ],
)
def test_class_circle_figures(gamma: float, margin: float, logits: tuple, loss: float) -> None:
    cosines, labels = torch.tensor([[0.6, 0.2, -0.1]], dtype=torch.float64), torch.tensor([0])
    got = circle_logits(cosines, labels, gamma=gamma, margin=margin)
    assert got[0].tolist() == pytest.approx(logits, abs=1e-6)
    assert circle(cosines, labels, gamma=gamma, margin=margin).item() == pytest.approx(
        loss, abs=1e-6
    )


@pytest.mark.parametrize(
    ("gamma", "margin", "loss"), [(128, 0.25, 7.0425701504), (80, 0.4, 1.39476870e-05)]
)
def test_pair_circle_figures(gamma: float, margin: float, loss: float) -> None:
    similarities = torch.tensor([[0.8, 0.7, 0.3, 0.1]], dtype=torch.float64)
    positive = torch.tensor([[True, True, False, False]])
    got = circle_of_masks(similarities, positive, ~positive, gamma, margin).item()
    assert got == pytest.approx(loss, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("p", "weight"),
    [
        (0.5, 0.1732868),
        (0.8, 8.925742e-3),
        (0.9, 1.053605e-3),
        (0.95, 1.282332e-4),
        (0.99, 1.005034e-6),
        (1.0, 0.0),
    ],
)
def test_focal_weight_figures(p: float, weight: float) -> None:
    assert focal_weight(torch.tensor(p, dtype=torch.float64)).item() == pytest.approx(
        weight, rel=1e-6, abs=1e-12
    )


@pytest.mark.parametrize(("scale", "loss"), [(1.0, 0.4740770), (10.0, None)])
def test_soft_margin_figures(scale: float, loss: float | None) -> None:
    # one anchor's positive at 1.0 and negative at 1.5
    distances = scale * torch.tensor([[0.0, 1.0, 1.5]] * 3, dtype=torch.float64)
    got = triplet_of_distances(distances, torch.tensor([0, 0, 1]), margin=None)
    row = math.log1p(math.exp(scale * (1.0 - 1.5)))
    other = math.log1p(math.exp(scale * 1.5))  # the third anchor: itself against the nearest
    assert got.item() == pytest.approx((2 * row + other) / 3, abs=1e-6)
    if loss is not None:
        assert row == pytest.approx(loss, abs=1e-6)


# --- oracles ---------------------------------------------------------------------------------


@given(batches, st.sampled_from([None, 0.0, 0.3, 1.4]))
@settings(max_examples=60, deadline=None)
def test_triplet_is_the_slow_triplet(data: tuple[Tensor, Tensor], margin: float | None) -> None:
    features, labels = data
    total = 0.0
    for i, anchor in enumerate(features):
        same = [
            distance(anchor, f) for f, y in zip(features, labels, strict=True) if y == labels[i]
        ]
        rest = [
            distance(anchor, f) for f, y in zip(features, labels, strict=True) if y != labels[i]
        ]
        gap = max(same) - min(rest) if rest else -math.inf
        total += math.log1p(math.exp(gap)) if margin is None else max(0.0, gap + margin)
    expected = total / len(labels)
    assert triplet(features, labels, margin=margin).item() == pytest.approx(expected, abs=2e-6)


@given(batches)
@settings(max_examples=60, deadline=None)
def test_weighted_triplet_is_the_slow_one(data: tuple[Tensor, Tensor]) -> None:
    features, labels = data
    total = 0.0
    for i, anchor in enumerate(features):
        d = [distance(anchor, f) for f in features]
        same = [x for x, y in zip(d, labels, strict=True) if y == labels[i]]
        rest = [x for x, y in zip(d, labels, strict=True) if y != labels[i]]
        if rest:
            near = sum(x * math.exp(x) for x in same) / sum(math.exp(x) for x in same)
            far = sum(x * math.exp(-x) for x in rest) / sum(math.exp(-x) for x in rest)
            total += math.log1p(math.exp(near - far))
    expected = total / len(labels)
    assert weighted_triplet(features, labels).item() == pytest.approx(expected, abs=2e-6)


def test_weighted_triplet_legacy_is_the_reference_arithmetic() -> None:
    features, labels = batch(3, 10, 3)
    for scale in (1.0, 12.0):
        d = torch.cdist(scale * features, scale * features)
        same = (labels[:, None] == labels[None]).double()
        expected = 0.0
        for i in range(len(d)):
            p, n = d[i] * same[i], d[i] * (1 - same[i])
            wp = (p - p.max()).exp() * same[i]
            wn = (-n - (-n).max()).exp() * (1 - same[i])
            wp, wn = wp / (wp.sum() + 1e-6), wn / (wn.sum() + 1e-6)
            expected += math.log1p(math.exp(float((p * wp).sum() - (n * wn).sum()))) / len(d)
        got = weighted_triplet(scale * features, labels, legacy=True).item()
        assert got == pytest.approx(expected, rel=1e-6)
    # far negatives: the weights of positives at 0 and 1 remain, as e^100 is masked before
    for gap in (90.0, 300.0):
        far = torch.tensor([[0.0, 0.0], [0.0, 1.0], [gap, 0.0], [gap, 1.0]], requires_grad=True)
        loss = weighted_triplet(far, torch.tensor([0, 0, 1, 1]), legacy=True)
        loss.backward()
        assert loss.item() == pytest.approx(1.124, abs=5e-4)
        assert far.grad is not None and far.grad.isfinite().all()
    # where distances are moderate the two arithmetics agree
    near = weighted_triplet(features, labels).item()
    assert weighted_triplet(features, labels, legacy=True).item() == pytest.approx(near, abs=1e-4)


@given(batches)
@settings(max_examples=40, deadline=None)
def test_center_is_the_slow_center(data: tuple[Tensor, Tensor]) -> None:
    features, labels = data
    centers = torch.randn(5, features.shape[1], dtype=torch.float64)
    gaps = [distance(f, centers[y]) ** 2 for f, y in zip(features, labels, strict=True)]
    expected = sum(gaps) / len(gaps)
    assert center(features, labels, centers).item() == pytest.approx(expected, rel=1e-9)


@given(batches)
@settings(max_examples=60, deadline=None)
def test_pair_circle_is_the_slow_one(data: tuple[Tensor, Tensor]) -> None:
    features, labels = data
    unit = features / features.norm(dim=1, keepdim=True)
    losses = []
    for i in range(len(labels)):
        others = [j for j in range(len(labels)) if j != i]
        s = {j: float(unit[i] @ unit[j]) for j in others}
        up = [
            math.exp(-16 * max(0, 1.25 - s[j]) * (s[j] - 0.75)) for j in s if labels[j] == labels[i]
        ]
        down = [
            math.exp(16 * max(0, s[j] + 0.25) * (s[j] - 0.25)) for j in s if labels[j] != labels[i]
        ]
        if up and down:
            losses.append(math.log1p(sum(up) * sum(down)))
    expected = sum(losses) / len(losses) if losses else 0.0
    got = pair_circle(features, labels, gamma=16, margin=0.25).item()
    assert got == pytest.approx(expected, rel=1e-6, abs=1e-9)


# --- gradients and properties ------------------------------------------------------------------

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
FUNCTIONS = {
    "triplet": lambda x: triplet(x, LABELS),
    "soft triplet": lambda x: triplet(x, LABELS, margin=None),
    "weighted triplet": lambda x: weighted_triplet(x, LABELS),
    "legacy weighted triplet": lambda x: weighted_triplet(x, LABELS, legacy=True),
    "center": lambda x: center(x, LABELS, torch.ones(3, 4, dtype=torch.float64)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_numerically_right(name: str) -> None:
    features = batch(7, 6, 3, 4)[0].requires_grad_()
    assert torch.autograd.gradcheck(FUNCTIONS[name], (features,), atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_circle_gradient_does_not_flow_through_the_weights(smoothing: float) -> None:
    cosines = torch.tensor([[0.6, 0.2, -0.1]], dtype=torch.float64, requires_grad=True)
    label = torch.tensor([0])
    circle(cosines, label, smoothing=smoothing).backward()
    # logits are linear in the cosines when the weights are constants
    slope = 64 * torch.tensor([1.35 - 0.6, 0.2 + 0.35, -0.1 + 0.35], dtype=torch.float64)
    p = circle_logits(cosines, label).detach().softmax(1)[0]
    target = torch.tensor([1.0, 0, 0]) * (1 - smoothing) + smoothing / 3
    assert torch.allclose(cosines.grad[0], slope * (p - target), atol=1e-9)


@given(batches, st.randoms())
@settings(max_examples=30, deadline=None)
def test_order_of_the_batch_does_not_matter(data: tuple[Tensor, Tensor], random) -> None:
    features, labels = data
    order = list(range(len(labels)))
    random.shuffle(order)
    for loss in (triplet, weighted_triplet, pair_circle):
        before = loss(features, labels).item()
        assert loss(features[order], labels[order]).item() == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize("loss", [triplet, weighted_triplet, pair_circle])
@pytest.mark.parametrize("same", ["people", "features", "nobody"])
def test_degenerate_batches_have_finite_losses_and_gradients(loss, same: str) -> None:
    features = torch.ones(4, 3) if same == "features" else torch.randn(4, 3)
    labels = {"people": torch.zeros(4), "features": torch.tensor([0, 0, 1, 1])}.get(
        same, torch.arange(4)
    )
    features.requires_grad_()
    value = loss(features, labels.long())
    value.backward()
    assert value.isfinite()
    assert features.grad.isfinite().all()


def test_one_person_alone_costs_nothing() -> None:
    features, labels = torch.randn(4, 3), torch.zeros(4, dtype=torch.int64)
    for loss in (triplet, weighted_triplet, pair_circle):
        assert loss(features, labels).item() == 0.0


def test_a_label_out_of_place_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(B, \.\.\.\) and \(B,\)"):
        triplet(torch.randn(4, 3), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match="centres have 2"):
        center(torch.randn(4, 3), torch.zeros(4, dtype=torch.int64), torch.zeros(1, 2))


def test_center_module_learns_the_means() -> None:
    features, labels = batch(2, 30, 3, 4)
    loss = CenterLoss(3, 4, generator=torch.Generator().manual_seed(0)).double()
    optimiser = torch.optim.SGD(loss.parameters(), lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        (0.0005 * loss(features, labels)).backward()
        loss.rescale_gradients(0.0005)
        optimiser.step()
    means = torch.stack([features[labels == y].mean(0) for y in range(3)])
    assert torch.allclose(loss.centers, means, atol=1e-6)


def test_losses_stay_in_float32_under_autocast() -> None:
    features, labels = torch.randn(8, 64) * 10, torch.arange(8) // 2
    with torch.autocast("cpu", torch.bfloat16):
        half = triplet(features, labels), weighted_triplet(features, labels)
    full = triplet(features, labels), weighted_triplet(features, labels)
    assert half == full


def test_weighted_triplet_of_distances_may_be_asymmetric() -> None:
    distances = torch.rand(4, 4)
    labels = torch.tensor([0, 0, 1, 1])
    a = weighted_triplet_of_distances(distances, labels)
    assert a != weighted_triplet_of_distances(distances.T, labels)
