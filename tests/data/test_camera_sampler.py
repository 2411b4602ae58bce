"""The camera sampler against the published loop, and its properties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.data import CameraSampler
from passerby.data.samplers import numpy_generator
from passerby.errors import InputError


def published(sampler: CameraSampler, epoch: int) -> list[list[int]]:
    """The sampler of SpCL with its lists, on the same random numbers; singletons skipped."""
    random = numpy_generator(sampler.seed, epoch)
    labels, cameras = sampler.labels.tolist(), sampler.cameras
    pid_index: dict[int, list[int]] = {}
    for index, pid in enumerate(labels):
        if pid >= 0:
            pid_index.setdefault(pid, []).append(index)
    pids = [pid for pid in sorted(pid_index) if len(pid_index[pid]) > 1]
    K, P = sampler.images, sampler.identities
    batches: list[list[int]] = []
    wanted = sampler.iterations or max(1, len(pids) // P)
    while len(batches) < wanted:
        order = random.permutation(len(pids)).tolist()
        while len(order) < P:
            order += random.permutation(len(pids)).tolist()
        while len(order) >= P and len(batches) < wanted:
            made = []
            for kid in order[:P]:
                index = pid_index[pids[kid]]
                anchor = index[random.integers(len(index))]
                made.append(anchor)
                select = []
                if cameras is not None:
                    select = [i for i in index if cameras[i] != cameras[anchor]]
                if not select:
                    select = [i for i in index if i != anchor]
                made += random.choice(select, K - 1, replace=len(select) < K).tolist()
            batches.append(made)
            order = order[P:]
    return batches


@given(
    st.integers(0, 2**20),
    st.integers(2, 25),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.one_of(st.none(), st.integers(1, 30)),
)
@settings(max_examples=80, deadline=None)
def test_batches_are_the_published_ones(
    seed: int, people: int, size: tuple[int, int], iterations: int | None
) -> None:
    random = np.random.default_rng(seed)
    labels = np.concatenate([[0, 0], random.integers(-1, people, 80)])
    cameras = random.integers(1, 4, len(labels)) if seed % 3 else None
    sampler = CameraSampler(
        labels=labels,
        cameras=cameras,
        identities=size[0],
        images=size[1],
        iterations=iterations,
        seed=seed,
    )
    batches = sampler.batches(2)
    assert [batch.tolist() for batch in batches] == published(sampler, 2)
    for batch in batches:
        assert batch.shape == (sampler.batch_size,)
        assert batch.dtype == torch.int64
        groups = labels[batch.numpy()].reshape(size)
        assert (groups >= 0).all()
        assert (groups == groups[:, :1]).all()


def test_partners_come_from_other_cameras() -> None:
    labels = np.repeat(np.arange(6), 12)
    cameras = np.tile(np.arange(12) % 3, 6)
    sampler = CameraSampler(labels=labels, cameras=cameras, identities=3, images=5, iterations=40)
    for batch in sampler.batches(1):
        rows = batch.numpy().reshape(3, 5)
        assert (cameras[rows[:, 1:]] != cameras[rows[:, :1]]).all()
        # eight pictures of other cameras, four wanted: none twice
        assert all(len(set(row)) == 5 for row in rows.tolist())
    free = CameraSampler(labels=labels, identities=3, images=5, iterations=40)
    rows = torch.stack(free.batches(1)).numpy().reshape(-1, 5)
    assert (cameras[rows[:, 1:]] == cameras[rows[:, :1]]).any()


def test_one_camera_alone_pairs_its_own_pictures() -> None:
    labels = np.repeat(np.arange(4), 3)
    cameras = np.repeat([1, 1, 2, 2], 3)
    sampler = CameraSampler(labels=labels, cameras=cameras, identities=4, images=3, iterations=20)
    for batch in sampler.batches(1):
        rows = batch.numpy().reshape(4, 3)
        assert (rows[:, 1:] != rows[:, :1]).all()


def test_singletons_and_outliers_rest() -> None:
    labels = np.array([-1, 0, 1, 1, 2, 2, 2, -1, 3])
    sampler = CameraSampler(labels=labels, identities=2, images=2, iterations=50)
    seen = {int(i) for batch in sampler.batches(1) for i in batch}
    assert seen == {2, 3, 4, 5, 6}


def test_no_identity_twice_in_a_batch_while_there_are_enough() -> None:
    labels = np.repeat(np.arange(7), 3)
    sampler = CameraSampler(labels=labels, identities=4, images=2, iterations=30)
    for batch in sampler.batches(1):
        assert len(set(labels[batch.numpy()].tolist())) == 4
    few = CameraSampler(labels=labels, identities=20, images=2, iterations=5)
    for batch in few.batches(1):
        uses = np.bincount(labels[batch.numpy()], minlength=7)
        assert uses.max() - uses.min() <= 2  # 2 or 3 turns each, of 2 pictures


def test_epochs_differ_and_repeat() -> None:
    labels = np.repeat(np.arange(40), 9)
    sampler = CameraSampler(labels=labels, identities=8, images=4, iterations=6, seed=3)
    first, again, second = sampler.batches(1), sampler.batches(1), sampler.batches(2)
    assert len(first) == 6
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], second[0])
    assert len(CameraSampler(labels=labels, identities=8, images=4).batches(1)) == 5


def test_impossible_batches_are_refused() -> None:
    labels = np.array([0, 0, 1])
    with pytest.raises(InputError, match="two pictures or more"):
        CameraSampler(labels=np.arange(5))
    with pytest.raises(InputError, match="two pictures or more"):
        CameraSampler(labels=np.full(5, -1))
    with pytest.raises(InputError, match="2 cameras for 3 labels"):
        CameraSampler(labels=labels, cameras=np.array([1, 2]))
    with pytest.raises(InputError, match="epoch of 0 iterations"):
        CameraSampler(labels=labels, iterations=0)
    with pytest.raises(InputError, match="at least one identity"):
        CameraSampler(labels=labels, images=0)
    with pytest.raises(InputError, match="whole numbers"):
        CameraSampler(labels=labels, cameras=np.array([0.5, 1, 2]))
