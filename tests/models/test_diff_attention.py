"""Diff Attention against the formulas, pair by pair."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models import diff_attention
from passerby.models.diff_attention import (
    DiffAttention,
    Transform,
    attended_blocks,
    attended_distances,
)

TRANSFORMS: tuple[Transform, ...] = ("absolute", "difference", "square")


def made(dimension: int = 16, **options: object) -> DiffAttention:
    torch.manual_seed(0)
    return DiffAttention(dimension, **options).double()  # type: ignore[arg-type]


def rows(count: int, dimension: int = 16, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimension, generator=generator, dtype=torch.float64)


def oracle(attention: DiffAttention, q: Tensor, g: Tensor, *, normalise: bool) -> Tensor:
    """Equations 4 to 6 for one pair, as printed."""
    if attention.length is not None:
        q, g = q / q.norm() * attention.length, g / g.norm() * attention.length
    difference = q - g
    t = {"absolute": difference.abs(), "square": difference**2}.get(attention.transform, difference)
    w = attention.aggregation.weight.flatten()
    bias = attention.aggregation.bias
    assert bias is not None
    x = w[0] * t + w[1] * q + w[-1] * g + bias
    a = torch.sigmoid(attention.excite.weight @ torch.relu(attention.squeeze.weight @ x))
    u, v = a * q, a * g
    if normalise:
        u, v = u / u.norm(), v / v.norm()
    return ((u - v + 1e-6) ** 2).sum().sqrt()


def every_pair(attention: DiffAttention, queries: Tensor, gallery: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.stack(
            [
                torch.stack([oracle(attention, q, g, normalise=True) for g in gallery])
                for q in queries
            ]
        )


@pytest.mark.parametrize(("ratio", "count"), [(4, 2_097_156), (512, 16_388)])
def test_the_papers_parameter_counts(ratio: int, count: int) -> None:
    attention = DiffAttention(2048, ratio=ratio)
    assert sum(p.numel() for p in attention.parameters()) == count
    tied = DiffAttention(2048, ratio=ratio, tied=True)
    assert sum(p.numel() for p in tied.parameters()) == count - 1


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("length", [None, 4.0])
def test_distances_are_the_formulas(transform: Transform, tied: bool, length: float | None) -> None:
    attention = made(transform=transform, tied=tied, length=length)
    queries, gallery = rows(5), rows(9, seed=2)
    expected = every_pair(attention, queries, gallery)
    assert torch.allclose(attended_distances(attention, queries, gallery), expected, atol=1e-12)
    own = gallery.expand(5, 9, 16)
    assert torch.allclose(attention.candidates(queries, own), expected, atol=1e-12)
    single = attended_distances(attention.float(), queries.float(), gallery.float())
    assert torch.allclose(single.double(), expected, atol=1e-6)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_blocks_change_nothing(pairs: int, Q: int, G: int) -> None:
    attention = made()
    queries, gallery = rows(Q), rows(G, seed=2)
    whole = attended_distances(attention, queries, gallery)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diff_attention, "CPU_BLOCK_BYTES", pairs * 4 * 16)
        blocks = list(attended_blocks(attention, queries, gallery))
        own = attention.candidates(queries, gallery.expand(Q, G, 16))
    assert all(block.shape[0] * block.shape[1] <= max(pairs, G) for block in blocks)
    assert torch.allclose(torch.cat(blocks), whole, atol=1e-12)
    assert torch.allclose(own, whole, atol=1e-12)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("kept", [4096, 4])
def test_batch_distances_mirror_each_pair(
    monkeypatch: pytest.MonkeyPatch, transform: Transform, normalise: bool, kept: int
) -> None:
    monkeypatch.setattr(diff_attention, "KEPT_PAIRS", kept)
    attention, features = made(transform=transform), rows(6)
    found = attention(features, normalise=normalise)
    for i in range(6):
        for j in range(i + 1, 6):
            expected = oracle(attention, features[i], features[j], normalise=normalise)
            assert found[i, j].item() == pytest.approx(expected.item(), abs=1e-12)
    assert torch.equal(found, found.T)
    assert torch.equal(found.diagonal(), torch.zeros(6, dtype=torch.float64))


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("kept", [4096, 2])
def test_gradients(
    monkeypatch: pytest.MonkeyPatch, transform: Transform, normalise: bool, kept: int
) -> None:
    monkeypatch.setattr(diff_attention, "KEPT_PAIRS", kept)
    attention = made(8, transform=transform, ratio=2)
    features = rows(4, 8).requires_grad_()
    names, values = zip(*attention.named_parameters(), strict=True)

    def distances(features: Tensor, *parameters: Tensor) -> Tensor:
        state = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(attention, state, (features,), {"normalise": normalise})

    copies = [value.detach().clone().requires_grad_() for value in values]
    assert torch.autograd.gradcheck(distances, (features, *copies))


def test_equal_and_zero_rows_have_finite_gradients() -> None:
    attention = made()
    features = torch.stack([rows(1)[0], rows(1)[0], torch.zeros(16, dtype=torch.float64)])
    features.requires_grad_()
    attention(features, normalise=True).sum().backward()
    assert features.grad is not None
    assert bool(features.grad.isfinite().all())


@pytest.mark.parametrize(
    ("transform", "symmetric"), [("absolute", True), ("square", True), ("difference", False)]
)
def test_tied_weights_make_the_distance_symmetric(transform: Transform, symmetric: bool) -> None:
    attention, both = made(transform=transform, tied=True), rows(7)
    found = attended_distances(attention, both, both)
    assert torch.allclose(found, found.T, atol=1e-6) == symmetric
    free = attended_distances(made(transform=transform), both, both)
    assert not torch.allclose(free, free.T, atol=1e-6)


def test_a_length_makes_the_scale_of_features_irrelevant() -> None:
    queries, gallery = rows(3), rows(4, seed=2)
    fixed, free = made(length=4.0), made()
    assert torch.allclose(
        attended_distances(fixed, queries, gallery),
        attended_distances(fixed, F.normalize(queries, dim=1), 7 * gallery),
        atol=1e-12,
    )
    assert not torch.allclose(
        attended_distances(free, queries, gallery), attended_distances(free, queries, 7 * gallery)
    )


def test_an_attention_that_weighs_all_alike_is_the_cosine() -> None:
    attention = made()
    torch.nn.init.zeros_(attention.excite.weight)
    queries, gallery = rows(3), rows(4, seed=2)
    cosines = F.normalize(queries, dim=1) @ F.normalize(gallery, dim=1).T
    expected = (2 - 2 * cosines).sqrt()
    assert torch.allclose(attended_distances(attention, queries, gallery), expected, atol=1e-4)


def test_autocast_does_not_touch_the_distances() -> None:
    attention, features = made().float(), rows(6).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = attention(features.bfloat16())
    assert found.dtype == torch.float32
    assert torch.equal(found, attention(features.bfloat16().float()))


def test_empty_sides() -> None:
    attention = made()
    assert attended_distances(attention, rows(0), rows(4)).shape == (0, 4)
    assert attended_distances(attention, rows(3), rows(0)).shape == (3, 0)
    assert attention.candidates(rows(3), rows(0).expand(3, 0, 16)).shape == (3, 0)
    assert attention(rows(1)).shape == (1, 1)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="ratio 5 does not divide 16"):
        DiffAttention(16, ratio=5)
    with pytest.raises(InputError, match="no input transform 'cube'"):
        DiffAttention(16, transform="cube")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="length 0"):
        DiffAttention(16, length=0.0)
    attention = made()
    with pytest.raises(InputError, match="made for 16 dimensions"):
        attended_distances(attention, rows(3, 8), rows(3, 8))
    with pytest.raises(InputError, match="NaN"):
        attended_distances(attention, rows(3) * float("nan"), rows(3))
    with pytest.raises(InputError, match=r"give \(Q, k, D\)"):
        attention.candidates(rows(3), rows(3))
