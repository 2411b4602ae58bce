"""The two stores of a queue write alike, and what is no queue is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from passerby.errors import InputError
from passerby.ingest.jobs import Job, JobQueue, JobState, Policy, QueueError, Store
from passerby.ingest.jobs_sqlite import SqliteStore
from passerby.ingest.jobs_worker import open_queue

LONG = Policy(lease=600, tries=3, first_wait=0.1, longest_wait=0.3)
JOB = Job(source="/media/1.mp4", camera="C01", start=1_777_593_600_001)


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    if address.startswith("nats://"):
        from passerby.ingest.jobs_nats import NatsStore

        made: Store = NatsStore(address, LONG.lease, "toy")
    else:
        made = SqliteStore(Path(address), "toy")
    yield made
    made.close()


def test_a_store_writes_only_over_the_version_that_it_holds(store: Store) -> None:
    first = JobState(job=JOB)
    assert store.read(JOB.id) is None
    version = store.write(first, None)
    assert version is not None
    assert store.write(first, None) is None, "it is there already"
    second = first.claimed("w", LONG)
    newer = store.write(second, version)
    assert newer is not None
    assert store.write(first.claimed("other", LONG), version) is None, "another was faster"
    found = store.read(JOB.id)
    assert found is not None
    assert (found.state, found.version) == (second, newer)
    store.put(first)
    assert store.write(second, newer) is None, "another state is another version"
    assert list(store.states()) == [first]


def test_waits_double_up_to_the_longest() -> None:
    policy = Policy(first_wait=5, longest_wait=60)
    assert [policy.wait(tries) for tries in range(1, 7)] == [5, 10, 20, 40, 60, 60]


def test_what_is_no_queue_is_told(tmp_path: Path) -> None:
    for address, said in {
        "redis://localhost": "kind 'redis'",
        "nats://user:secret@localhost": "holds a password",
        "nats://localhost/a.b": "cannot be read",
        "nats://localhost/a?replicas=2": "cannot be read",
    }.items():
        with pytest.raises(InputError, match=said) as error:
            open_queue(address, tmp_path, "toy")
        assert "secret" not in str(error.value)
    with pytest.raises(QueueError, match="nats-server"):
        open_queue("nats://127.0.0.1:1", tmp_path, "toy")
    (tmp_path / "text").write_text("no database" * 100)
    with pytest.raises(QueueError, match="text"):
        open_queue(str(tmp_path / "text"), tmp_path, "toy")


def test_a_submission_that_was_cut_off_is_made_good(nats: Any, tmp_path: Path) -> None:
    from passerby.ingest.jobs_nats import NatsStore

    store = NatsStore(f"{nats.address}/cut", LONG.lease, "toy")
    with JobQueue(store, LONG) as queue:
        store.write(JobState(job=JOB), None)  # and here the submitter died
        assert queue.claim("w", wait=0.3) is None
        assert not queue.submit(JOB)
        claim = queue.claim("w", wait=60)
        assert claim is not None
        claim.complete({})
