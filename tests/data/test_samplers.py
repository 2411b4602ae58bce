import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.data import PKSampler, ShuffleSampler, SwitchSampler
from passerby.errors import InputError


@given(st.integers(0, 2**20), st.integers(4, 30), st.integers(1, 4), st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_every_batch_is_p_times_k(seed: int, people: int, P: int, K: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(people), random.integers(0, people, 200)])
    random.shuffle(labels)
    sampler = PKSampler(labels=labels, identities=P, images=K, seed=seed)
    batches = sampler.batches(1)
    assert batches
    counts = np.bincount(labels)
    uses = np.bincount(torch.cat(batches).numpy(), minlength=len(labels))
    left = np.maximum(counts // K, 1)
    for batch in batches:
        assert batch.shape == (P * K,) == (sampler.batch_size,)
        groups = labels[batch.numpy()].reshape(P, K)
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0])) == P
        left[groups[:, 0]] -= 1
    # an identity with enough images never repeats one, nor has more chunks than it can fill
    assert uses[counts[labels] >= K].max(initial=0) <= 1
    assert left.min() >= 0
    # the epoch ends only when fewer than P identities have chunks left
    assert (left > 0).sum() < P


def test_epochs_differ_and_repeat() -> None:
    labels = np.repeat(np.arange(40), 9)
    sampler = PKSampler(labels=labels, identities=8, images=4, seed=3)
    first, again, second = sampler.batches(1), sampler.batches(1), sampler.batches(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], second[0])
    other = PKSampler(labels=labels, identities=8, images=4, seed=4)
    assert not torch.equal(first[0], other.batches(1)[0])


def test_all_images_take_part_over_epochs() -> None:
    labels = np.repeat(np.arange(10), 7)  # chunks of 4: three of seven rest in each epoch
    sampler = PKSampler(labels=labels, identities=5, images=4)
    seen = {int(i) for epoch in range(30) for batch in sampler.batches(epoch) for i in batch}
    assert seen == set(range(70))


def test_impossible_batches_are_refused() -> None:
    with pytest.raises(InputError, match="3 identities cannot fill batches of 4"):
        PKSampler(labels=np.arange(3), identities=4)
    with pytest.raises(InputError, match="at least one identity"):
        PKSampler(labels=np.arange(3), identities=0)
    with pytest.raises(InputError, match="whole numbers"):
        PKSampler(labels=np.array([0.5]), identities=1)
    with pytest.raises(InputError, match="5 rows cannot fill a batch of 6"):
        ShuffleSampler(count=5, batch_size=6)


def test_shuffle_sampler() -> None:
    sampler = ShuffleSampler(count=10, batch_size=3, seed=1)
    batches = sampler.batches(1)
    rows = torch.cat(batches).tolist()
    assert [len(b) for b in batches] == [3, 3, 3]
    assert len(set(rows)) == 9
    assert torch.equal(torch.cat(sampler.batches(1)), torch.cat(batches))
    assert not torch.equal(torch.cat(sampler.batches(2)), torch.cat(batches))


def test_once_takes_one_chunk_of_each_identity() -> None:
    labels = np.repeat([0, 1, 2, 3], [3, 8, 20, 9])
    sampler = PKSampler(labels=labels, identities=2, images=8, once=True)
    batches = sampler.batches(1)
    assert len(batches) == 2
    rows = torch.cat(batches).numpy().reshape(-1, 8)
    assert sorted(labels[rows[:, 0]]) == [0, 1, 2, 3]
    for chunk in rows:
        times = np.unique(chunk, return_counts=True)[1]
        assert (labels[chunk] == labels[chunk[0]]).all()
        # three pictures for eight places: 3, 3 and 2 times
        assert sorted(times) == ([2, 3, 3] if labels[chunk[0]] == 0 else [1] * 8)


def test_a_switch_decides_batch_by_batch() -> None:
    labels = np.repeat(np.arange(8), 10)
    balanced = PKSampler(labels=labels, identities=4, images=4, seed=2)
    random = ShuffleSampler(count=80, batch_size=16, seed=2)
    wanted = [False, True, True, False, True]
    asked = iter(wanted)
    sampler = SwitchSampler(random=random, balanced=balanced, wants_balanced=lambda: next(asked))
    batches = sampler.batches(3)
    assert sampler.group == 4
    assert len(batches) == 5
    pairs = [random.batches(3), balanced.batches(3)]
    assert len(pairs[1]) < 5  # the balanced ones start again
    for i, kind in enumerate(wanted):
        expected = pairs[kind][i % len(pairs[kind])]
        assert torch.equal(batches[i], expected)
    with pytest.raises(InputError, match="cannot take turns"):
        SwitchSampler(
            random=ShuffleSampler(count=80, batch_size=8), balanced=balanced, wants_balanced=bool
        )
