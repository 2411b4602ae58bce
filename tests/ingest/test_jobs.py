"""One contract for both queues: no job is lost, none is in two hands, none changes anything twice.

`python test_jobs.py CITY ADDRESS` is a worker in a process of its own that is killed at work.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from passerby.city import City
from passerby.errors import InputError
from passerby.ingest import Detector, create_small_city
from passerby.ingest.jobs import (
    DEAD,
    DONE,
    RUNNING,
    WAITING,
    Claim,
    Job,
    JobQueue,
    LeaseLostError,
    Policy,
    QueueError,
)
from passerby.ingest.jobs_worker import (
    Ingester,
    SurroundingsError,
    WorkReport,
    open_queue,
    work,
)
from passerby.runtime import Embedder

START = 1_777_593_600_000
LONG = Policy(lease=600, tries=3, first_wait=0.1, longest_wait=0.3)
SHORT = Policy(lease=0.4, tries=3, first_wait=0.1, longest_wait=0.3)
WAIT = 60.0  # seconds, for what must come; a busy machine may take long

Open = Callable[[Policy], JobQueue]


@pytest.fixture
def open_here(address: str, tmp_path: Path) -> Iterator[Open]:
    made: list[JobQueue] = []

    def opened(policy: Policy) -> JobQueue:
        made.append(open_queue(address, tmp_path, "toy", policy))
        return made[-1]

    yield opened
    for queue in made:
        queue.close()


def job(number: int) -> Job:
    return Job(source=f"/media/{number}.mp4", camera="C01", start=START + number)


def take(queue: JobQueue, worker: str = "w") -> Claim:
    claim = queue.claim(worker, wait=WAIT)
    assert claim is not None
    return claim


def state(queue: JobQueue, number: int) -> str:
    found = queue.state(job(number).id)
    assert found is not None
    return found.state


def test_the_same_job_is_submitted_once(open_here: Open) -> None:
    queue = open_here(LONG)
    assert queue.submit(job(1))
    assert not queue.submit(job(1))
    assert not queue.submit(job(1), again=True), "it waits already"
    assert queue.submit(job(2))
    claim = take(queue)
    assert not queue.submit(claim.job, again=True), "it runs"
    claim.complete({})
    assert not queue.submit(claim.job)
    assert queue.submit(claim.job, again=True)
    assert queue.counts() == {WAITING: 2, RUNNING: 0, DONE: 0, DEAD: 0}
    assert queue.state("0" * 32) is None


def test_a_job_is_in_one_hand(open_here: Open) -> None:
    queue, other = open_here(LONG), open_here(LONG)
    for number in range(3):
        queue.submit(job(number))
    claims = [take(queue), take(other), take(queue)]
    assert {claim.job.id for claim in claims} == {job(number).id for number in range(3)}
    assert queue.claim("w", wait=0.5) is None
    assert other.claim("w") is None
    for claim in claims:
        claim.complete({"added": 1})
    assert queue.counts()[DONE] == 3
    assert other.claim("w") is None


def test_progress_and_report_are_seen_by_all(open_here: Open) -> None:
    queue, other = open_here(LONG), open_here(LONG)
    queue.submit(job(1))
    claim = take(queue, "machine:1")
    claim.renew({"frames": 25})
    seen = other.state(job(1).id)
    assert seen is not None
    assert (seen.state, seen.worker, seen.tries) == (RUNNING, "machine:1", 1)
    assert seen.progress == {"frames": 25}
    claim.complete({"added": 7})
    seen = other.state(job(1).id)
    assert seen is not None
    assert (seen.state, seen.progress) == (DONE, {"added": 7})


def test_a_silent_worker_loses_its_job(open_here: Open) -> None:
    queue, other = open_here(SHORT), open_here(SHORT)
    queue.submit(job(1))
    first = take(queue, "first")
    second = take(other, "second")
    assert second.job == first.job
    assert second.state.tries == 2
    for late in (lambda: first.renew({}), lambda: first.fail("x"), first.release):
        with pytest.raises(LeaseLostError):
            late()
    first.complete({"added": 1})
    assert state(queue, 1) == DONE, "the work is done, whoever had the lease"
    second.complete({"added": 0})
    assert queue.claim("third", wait=0.5) is None


def test_a_sign_of_life_keeps_the_job(open_here: Open) -> None:
    queue, other = open_here(Policy(lease=3)), open_here(Policy(lease=3))
    queue.submit(job(1))
    claim, longest = take(queue), 0.0
    begin = last = time.monotonic()
    while last - begin < 4:
        taken = other.claim("thief", wait=0.2)
        claim.renew({}) if taken is None else None
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
        if longest > 1:
            pytest.skip("the machine is too busy to tell")
        assert taken is None
    claim.complete({})


def test_a_job_that_fails_waits_and_is_put_aside_in_the_end(open_here: Open) -> None:
    queue = open_here(LONG)
    queue.submit(job(1))
    for number in (1, 2, 3):
        claim = take(queue)
        assert claim.state.tries == number
        assert claim.fail("cut off") == (WAITING if number < 3 else DEAD)
    assert queue.claim("w", wait=0.6) is None
    found = queue.state(job(1).id)
    assert found is not None
    assert (found.state, found.error) == (DEAD, "cut off")
    assert not queue.submit(job(1))
    assert queue.submit(job(1), again=True)
    claim = take(queue)
    assert claim.state.tries == 1
    claim.complete({})
    assert state(queue, 1) == DONE


def test_a_job_that_kills_its_workers_is_put_aside(open_here: Open) -> None:
    queue = open_here(SHORT)
    queue.submit(job(1))
    for number in (1, 2, 3):
        assert take(queue, f"w{number}").state.tries == number
    queue.submit(job(2))
    end = time.monotonic() + WAIT
    while state(queue, 1) != DEAD and time.monotonic() < end:
        queue.claim("next", wait=0.2)
    found = queue.state(job(1).id)
    assert found is not None
    assert (found.state, found.error) == (DEAD, "the worker w3 was lost")


def test_a_job_given_back_has_lost_no_try(open_here: Open) -> None:
    queue = open_here(LONG)
    queue.submit(job(1))
    for _ in range(5):
        claim = take(queue)
        assert claim.state.tries == 1
        claim.release()
    take(queue).complete({})


def test_jobs_outlive_those_who_opened_the_queue(open_here: Open) -> None:
    queue = open_here(SHORT)
    queue.submit(job(1))
    queue.submit(job(2))
    take(queue)
    again = open_here(SHORT)
    ids = set()
    for _ in range(2):
        claim = take(again, "new")
        ids.add(claim.job.id)
        claim.complete({})
    assert ids == {job(1).id, job(2).id}


def test_many_workers_do_each_job_once(open_here: Open) -> None:
    queues = [open_here(LONG) for _ in range(3)]
    for number in range(30):
        queues[number % 3].submit(job(number))
    done: list[str] = []
    reports: list[WorkReport] = []

    def run(one: Job, progress: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
        done.append(one.id)
        return {}

    def begin(queue: JobQueue) -> None:
        reports.append(work(queue, run, until_empty=True))

    threads = [threading.Thread(target=begin, args=(queue,)) for queue in queues * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == sorted(job(number).id for number in range(30))
    assert sum(report.done for report in reports) == 30
    assert queues[0].counts()[DONE] == 30


def test_a_worker_goes_on_after_failures_and_ends_when_asked(open_here: Open) -> None:
    queue, stop = open_here(LONG), threading.Event()
    heard: list[tuple[str, str]] = []
    calls: dict[str, int] = {}

    def run(one: Job, progress: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
        calls[one.source] = calls.get(one.source, 0) + 1
        if one == job(1):
            raise InputError("the clip is cut off")
        if one == job(2):
            raise SurroundingsError("the disk is full")
        if len(calls) == 3 and calls[job(1).source] >= 3:
            stop.set()
        return {"added": 1}

    def tell(what: str, one: Job, why: str) -> None:
        heard.append((what, one.source))
        if what == "dead":
            queue.submit(job(3))

    for number in (1, 2):
        queue.submit(job(number))
    report = work(queue, run, stop=stop, on_event=tell)
    assert (report.done, report.failed) == (1, 3)
    assert [what for what, source in heard if source == job(1).source] == [
        *("begun", "failed") * 2,
        *("begun", "dead"),
    ]
    left = queue.state(job(2).id)
    assert left is not None
    assert (left.state, left.tries) == (WAITING, 0)


def test_an_interrupted_worker_gives_its_job_back(open_here: Open) -> None:
    queue = open_here(LONG)
    queue.submit(job(1))

    def run(one: Job, progress: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(queue, run)
    claim = take(queue)
    assert claim.state.tries == 1


@pytest.fixture
def ingester(city: City, embedder: Embedder, detector: Detector) -> Ingester:
    return Ingester(city, embedder, detector)


def contents(city: City) -> list[tuple[str, int, str]]:
    return sorted((one.id, one.time, one.crop) for one in city.gallery.latest(10_000))


def test_a_killed_workers_job_is_finished_by_another_and_nothing_is_there_twice(
    open_here: Open,
    address: str,
    ingester: Ingester,
    tmp_path: Path,
    draw_clip: Callable[..., Path],
) -> None:
    city = ingester.city
    clip = draw_clip(tmp_path / "long.mp4", 60)  # several batches are stored
    work_on = Job(source=str(clip), camera="C01", start=START)
    queue = open_here(Policy(lease=4, tries=5, first_wait=0.1))
    queue.submit(work_on)
    command = [sys.executable, __file__, str(city.folder), address]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    part = city.count()
    assert part > 0
    while (found := queue.state(work_on.id)) and found.state not in (DONE, DEAD):
        work(queue, ingester, until_empty=True)
        time.sleep(0.1)
    with create_small_city(tmp_path / "whole", camera="C01", place=(116.4, 39.9)) as whole:
        Ingester(whole, ingester.embedder, ingester.detector)(work_on, lambda _: None)
        assert contents(city) == contents(whole)
        assert city.count() > part, "the second worker had something left to do"
    queue.submit(work_on, again=True)
    before = contents(city)
    assert work(queue, ingester, until_empty=True).done == 1
    assert contents(city) == before


def test_a_share_that_is_not_mounted_is_no_fault_of_the_job(
    city: City, embedder: Embedder, detector: Detector, tmp_path: Path
) -> None:
    run = Ingester(city, embedder, detector)
    share = tmp_path / "share"
    share.mkdir()
    here = Job(source=str(share / "1.mp4"), camera="C01", start=START)
    with pytest.raises(SurroundingsError, match="is it mounted"):
        run(here, lambda _: None)
    below = Job(source=str(share / "C01" / "1.mp4"), camera="C01", start=START)
    with pytest.raises(SurroundingsError, match="is it mounted"):
        run(below, lambda _: None)
    (share / "2.mp4").touch()
    with pytest.raises(InputError, match="no clip"):
        run(here, lambda _: None)


def test_a_worker_whose_machine_cannot_do_jobs_leaves_them_to_others(
    open_here: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It rests ever longer, so that it does not go through all jobs; no try counts."""
    monkeypatch.setattr("passerby.ingest.jobs_worker.LOOK", 0.05)
    queue, stop, rests, said = open_here(LONG), threading.Event(), [], []
    for number in range(20):
        queue.submit(job(number))

    def rest(seconds: float) -> bool:
        rests.append(seconds)
        return stop.is_set() or (len(rests) == 5 and (stop.set() or True))

    def run(_: Job, __: object) -> Any:
        raise SurroundingsError("the share is away")

    halted = types.SimpleNamespace(is_set=stop.is_set, wait=rest)
    work(queue, run, stop=halted, on_event=lambda *what: said.append(what))  # type: ignore[arg-type]
    assert rests == [0.05, 0.1, 0.2, 0.4, 0.8]
    assert [why for what, _, why in said if what == "left"] == ["the share is away"] * 5
    assert {(one.state, one.tries) for one in queue.states()} == {(WAITING, 0)}


@pytest.mark.slow
def test_a_killed_server_has_lost_nothing_and_is_found_again(nats: Any, tmp_path: Path) -> None:
    address = f"{nats.address}/killed"
    with open_queue(address, tmp_path, "toy", LONG) as queue:
        for number in range(20):
            queue.submit(job(number))
        claim = take(queue)
        claim.renew({"frames": 1})
        nats.stop(signal.SIGKILL)
        with pytest.raises(QueueError):
            queue.submit(job(99))
        nats.start()
        end = time.monotonic() + WAIT
        while True:
            try:
                claim.complete({})
                break
            except QueueError:
                assert time.monotonic() < end
        found = [queue.state(job(number).id) for number in range(20)]
        assert sorted(one.state for one in found if one) == [DONE, *[WAITING] * 19]
        report = work(queue, lambda *_: {}, until_empty=True)
        assert 19 <= report.done <= 20, "what was not acknowledged may be there or not"


if __name__ == "__main__":
    from conftest import ColourDetector, colour_embedder

    with City.open(sys.argv[1]) as own:
        ingest = Ingester(own, colour_embedder(), ColourDetector())

        def run_and_die(one: Job, progress: Callable[[Mapping[str, Any]], None]) -> Any:
            def look(seen: Mapping[str, Any]) -> None:
                progress(seen)
                if seen["sightings"]:
                    os.kill(os.getpid(), signal.SIGKILL)

            return ingest(one, look)

        with open_queue(sys.argv[2], own.folder, "toy", Policy(lease=4)) as mine:
            work(mine, run_and_die, until_empty=True)
