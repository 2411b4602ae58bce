"""``passerby work``: do the ingest jobs of a queue, or show them."""

import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from passerby.cli.common import OfCity, OfPeople, Result
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.city import City
    from passerby.ingest.jobs import Job, JobQueue


@dataclass(frozen=True, kw_only=True)
class Work(Result, OfCity, OfPeople):
    """Do the ingest jobs of a queue; as many of these as you like, on as many machines.

    Jobs come from `passerby ingest SOURCE --city CITY --queue ADDRESS`. Ctrl-C (or SIGTERM) ends
    after the job at hand; a second one gives that job back and ends at once. What a worker that
    died had stored is not stored twice.
    """

    queue: str = "local"
    """local (a table in the city's folder), or nats://HOST:PORT[/NAME]."""
    detector: str | None = None
    """Person detector for clips and whole frames: a file, a pulled name, or default; without it
    they are left to others."""
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    """Arithmetic of the detector; the same for all workers of a queue, as a clip that was begun in
    one is not finished in another. auto: bf16 where the processor computes with it and an earlier
    clip of the city has shown that the boxes agree."""
    next_model: str | None = None
    """A network that `passerby admin gallery reembed` switches the gallery to meanwhile; jobs then
    go on with it."""
    until_empty: bool = False
    """End when no job can be begun now."""
    lease: float = 60.0
    """Seconds without a sign after which a worker is taken for dead and another takes its job."""
    tries: int = 5
    """A job that failed so often is put aside."""
    status: bool = False
    """Only show how many jobs there are, what runs, and what was put aside."""
    again: tuple[str, ...] = ()
    """Only submit these jobs again (ids); `all` for every job that was put aside."""

    def main(self) -> None:
        """Work, show the jobs, or submit some again."""
        from passerby.ingest.jobs import Policy
        from passerby.ingest.jobs_worker import open_queue

        if self.lease <= 0 or self.tries < 1:
            raise InputError("--lease and --tries must be more than zero")
        policy = Policy(lease=self.lease, tries=self.tries)
        with self.open() as city, open_queue(self.queue, city.folder, city.id, policy) as queue:
            if self.again:
                _submit_again(queue, self)
            elif self.status:
                _show_jobs(queue, self)
            else:
                _work(queue, city, self)


def _work(queue: "JobQueue", city: "City", options: Work) -> None:
    from passerby.ingest.jobs_worker import Ingester, work
    from passerby.runtime import Embedder

    detector = options.load_detector("work", city, None) if options.detector else None
    following = Embedder.load(options.next_model) if options.next_model else None
    ingester = Ingester(city, Embedder.load(options.model), detector, following)
    with asked_to_stop() as stop:
        report = work(queue, ingester, stop=stop, until_empty=options.until_empty, on_event=_report)
    words = f"{report.done} jobs done, {report.failed} tries failed, {report.lost} lost"
    options.show(report.as_dict(), words)


def _report(what: str, job: "Job", why: str) -> None:
    words = {"dead": "put aside", "left": "given back"}.get(what, what)
    print(f"passerby work: {words}: {job.source}{f' ({why})' if why else ''}", file=sys.stderr)


@contextmanager
def asked_to_stop(
    stop: threading.Event | None = None,
    words: str = "passerby work: ends after the job at hand; again to end at once",
) -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets, and says so; the second interrupts."""
    stop = stop or threading.Event()

    def ask(_number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        print(words, file=sys.stderr)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _submit_again(queue: "JobQueue", options: Work) -> None:
    if options.again == ("all",):
        jobs = [one.job for one in queue.states() if one.state == "dead"]
    else:
        found = {name: queue.state(name) for name in options.again}
        missing = [name for name, one in found.items() if one is None]
        if missing:
            raise InputError(f"there is no job '{missing[0]}'; --status names those put aside")
        jobs = [one.job for one in found.values() if one is not None]
    count = sum(queue.submit(job, again=True) for job in jobs)
    options.show({"submitted": count}, f"{count} jobs submitted again")


def _show_jobs(queue: "JobQueue", options: Work) -> None:
    states = list(queue.states())
    found = Counter(one.state for one in states)
    counts = {state: found[state] for state in ("waiting", "running", "done", "dead")}
    rows: list[dict[str, Any]] = [
        {
            "job": one.job.id,
            "state": one.state,
            "source": one.job.source,
            "tries": one.tries,
            "worker": one.worker,
            "progress": dict(one.progress),
            "error": one.error,
        }
        for one in states
        if one.state in ("running", "dead") or one.error
    ]
    lines = [", ".join(f"{count} {state}" for state, count in counts.items())]
    for row in rows:
        why = f": {row['error']}" if row["error"] else ""
        lines.append(f"{row['job']} {row['state']} (try {row['tries']}) {row['source']}{why}")
    options.show({**counts, "jobs": rows}, "\n".join(lines))
