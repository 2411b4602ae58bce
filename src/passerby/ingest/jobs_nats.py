"""The job queue of many machines: NATS JetStream.

A job is a message of a work-queue stream; a durable pull consumer hands it to one worker at a time
and again to another when the worker gives no sign for a lease (``ack_wait``). What became of a job
is a record in a key-value bucket, changed only from the revision that was read, which decides
between two workers that both believe to have it. The record is written before the message at
submission and before the acknowledgement at the end: whatever is cut off in between is made good
by submitting again, or by the job being handed out again.

The server must sync what it acknowledges, see the documentation (``sync_interval: always``).
"""

import asyncio
import logging
import re
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from passerby.city.address import read_password
from passerby.errors import InputError, MissingExtraError
from passerby.ingest.jobs import (
    DEAD,
    DONE,
    WAITING,
    Claim,
    Job,
    JobQueue,
    JobState,
    LeaseLostError,
    Policy,
    QueueError,
    claimed,
    failed,
    finished,
    kept,
    now,
    released,
)

try:
    import nats
    import nats.errors
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext, api
    from nats.js.errors import APIError, KeyNotFoundError, KeyWrongLastSequenceError
    from nats.js.kv import KeyValue
except ImportError:
    raise MissingExtraError("nats-py", "nats") from None

LOG = logging.getLogger("passerby.ingest")
PASSWORD = "PASSERBY_QUEUE_PASSWORD"  # an environment variable; with _FILE, a file's path
PATIENCE = 30.0  # seconds for an answer; a server that syncs to a busy disk may need long
WRONG_LAST = (10071, 10164)  # the server's codes for "not the revision you think"
ONCE = {"Nats-Expected-Last-Subject-Sequence": "0"}  # only where there is no such message yet
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

T = TypeVar("T")


class NatsQueue(JobQueue):
    """Jobs on a NATS server or cluster."""

    def __init__(self, address: str, policy: Policy) -> None:
        """Connect, and make the stream, the consumer and the bucket where they are not there.

        Args:
            address: ``nats://[USER@]HOST:PORT[/NAME][?replicas=3]``; several queues on one server
                have several names.
            policy: how patient it is; the lease is the consumer's, so that of the last to open.

        Raises:
            InputError: an address that cannot be; QueueError: nobody answers.
        """
        self.policy = policy
        self._options, self.name, self._replicas = _parse(address)
        parts = urlsplit(self._options["servers"][0])
        self._server = parts.hostname, parts.port or 4222
        self._place = address.partition("://")[2].rpartition("@")[2]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self._run(self._open())
        except BaseException:
            self.close()
            raise

    def _run(self, work: Coroutine[Any, Any, T], patience: float = PATIENCE) -> T:
        """Do something on the connection's own thread, which also keeps it alive."""
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, patience), self._loop)
        try:
            return future.result()
        except (nats.errors.Error, TimeoutError, OSError) as error:
            said = str(error) or "no answer in time"
            raise QueueError(
                f"the queue at {self._place} cannot be used ({said}); is nats-server with "
                "JetStream running there?"
            ) from error

    async def _open(self) -> None:
        _, writer = await asyncio.open_connection(*self._server)  # the client would try for ever
        writer.close()

        async def note(error: Exception) -> None:
            LOG.info("queue at %s: %s", self._place, error)

        self._connection = await nats.connect(
            **self._options,
            error_cb=note,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            pending_size=0,  # while the server is away nothing is kept to be sent later: it failed
        )
        self._stream: JetStreamContext = self._connection.jetstream(timeout=PATIENCE / 2)
        stream = api.StreamConfig(
            name=f"{self.name}_jobs",
            subjects=[f"{self.name}.jobs.*"],
            retention=api.RetentionPolicy.WORK_QUEUE,
            storage=api.StorageType.FILE,
            num_replicas=self._replicas,
        )
        try:
            await self._stream.add_stream(stream)
        except APIError as error:
            if error.err_code != 10058:  # it is there, with more replicas, say
                raise
        self._states = await self._bucket()
        consumer = api.ConsumerConfig(
            durable_name="workers",
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=self.policy.lease,
            max_deliver=-1,  # the record counts the tries
            max_ack_pending=100_000,  # also those that wait for another try
        )
        await self._stream.add_consumer(f"{self.name}_jobs", consumer)
        self._pull = await self._stream.pull_subscribe_bind("workers", f"{self.name}_jobs")

    async def _bucket(self) -> KeyValue:
        name = f"{self.name}_states"
        try:
            return await self._stream.key_value(name)
        except nats.js.errors.BucketNotFoundError:
            return await self._stream.create_key_value(
                api.KeyValueConfig(bucket=name, replicas=self._replicas)
            )

    def close(self) -> None:
        """See :meth:`JobQueue.close`."""
        connection = getattr(self, "_connection", None)
        if connection is not None:
            asyncio.run_coroutine_threadsafe(connection.close(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # submitting ------------------------------------------------------------------------------

    def submit(self, job: Job, *, again: bool = False) -> bool:
        """See :meth:`JobQueue.submit`."""
        return self._run(self._submit(job, again))

    async def _submit(self, job: Job, again: bool) -> bool:
        fresh, new = JobState(job=job).to_json().encode(), True
        subject = f"{self.name}.jobs.{job.id}"
        try:
            await self._states.create(job.id, fresh)
        except KeyWrongLastSequenceError:
            before, revision = await self._read(job.id)
            ended = before is None or before.state in (DONE, DEAD)
            if ended and not again:
                return False
            new = ended
            if ended:
                await self._states.update(job.id, fresh, last=revision)
                await self._stream.purge_stream(f"{self.name}_jobs", subject=subject)
        try:  # also for a known job: where a submitter died before this, it is made good
            await self._stream.publish(subject, fresh, headers=dict(ONCE))
        except APIError as error:
            if error.err_code not in WRONG_LAST:  # it is there already
                raise
        return new

    # working ---------------------------------------------------------------------------------

    def claim(self, worker: str, *, wait: float = 0.0) -> Claim | None:
        """See :meth:`JobQueue.claim`; a job whose worker was lost is taken over."""
        end = time.monotonic() + wait
        while True:
            left = max(end - time.monotonic(), 0.2)  # the server needs a moment to answer
            message = self._run(self._fetch(left), PATIENCE + left)
            if message is None:
                if self._run(self._more()):  # the answer came too late, on a busy machine
                    continue
                return None
            taken = self._run(self._take(message, worker))
            if taken is not None:
                return _NatsClaim(self, message, *taken)

    async def _fetch(self, wait: float) -> Msg | None:
        try:
            found = await self._pull.fetch(1, timeout=wait)
        except nats.errors.TimeoutError:
            return None
        return found[0] if found else None

    async def _more(self) -> bool:
        """Whether there is a message that nobody was given yet, or one that has just come."""
        if self._pull.pending_msgs:
            return True
        found = await self._pull.consumer_info()
        return bool(found.num_pending) or bool(self._pull.pending_msgs)

    async def _take(self, message: Msg, worker: str) -> tuple[JobState, int] | None:
        """Write that the worker has it; None where it is nobody's to take."""
        fresh = JobState.from_json(message.data)
        known, revision = await self._read(fresh.job.id)
        before = known or fresh
        if before.state in (DONE, DEAD):
            await message.ack_sync(PATIENCE)
            return None
        if before.due > now():  # a message that lay here while another worker had it
            await message.nak(delay=(before.due - now()) / 1000 + 0.05)
            return None
        after = claimed(before, worker, self.policy)
        try:
            revision = await self.write(after, revision)
        except LeaseLostError:  # another took it at this very moment
            await message.nak(delay=self.policy.lease)
            return None
        if after.state == DEAD:
            await message.ack_sync(PATIENCE)
            return None
        return after, revision

    async def write(self, state: JobState, revision: int) -> int:
        """Change a record that is still as it was read; returns its new revision.

        Raises:
            LeaseLostError: it is not.
        """
        try:
            record = state.to_json().encode()
            return await self._states.update(state.job.id, record, last=revision)
        except KeyWrongLastSequenceError:
            raise LeaseLostError(state.job.source) from None

    async def put(self, state: JobState) -> None:
        """Write a record, whatever it was."""
        await self._states.put(state.job.id, state.to_json().encode())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Let a claim talk to the server."""
        return self._run(work, 2 * PATIENCE)

    # looking ---------------------------------------------------------------------------------

    async def _read(self, job_id: str) -> tuple[JobState | None, int]:
        try:
            entry = await self._states.get(job_id)
        except KeyNotFoundError:
            return None, 0
        return JobState.from_json(entry.value or b""), entry.revision or 0

    def state(self, job_id: str) -> JobState | None:
        """See :meth:`JobQueue.state`."""
        return self._run(self._read(job_id))[0]

    def states(self) -> Iterator[JobState]:
        """See :meth:`JobQueue.states`."""
        yield from self._run(self._all(), 60 * PATIENCE)

    async def _all(self) -> list[JobState]:
        watcher = await self._states.watchall(ignore_deletes=True)
        found = []
        while (entry := await watcher.updates(timeout=PATIENCE)) is not None:
            found.append(JobState.from_json(entry.value or b""))
        await watcher.stop()
        return found


class _NatsClaim(Claim):
    def __init__(self, queue: NatsQueue, message: Msg, state: JobState, revision: int) -> None:
        super().__init__(state)
        self._queue, self._message, self._revision = queue, message, revision
        self._lock = threading.Lock()  # the worker's sign of life comes from another thread

    def keep(self, progress: Mapping[str, Any]) -> None:
        async def sign() -> int:
            after = kept(self.state, progress, self._queue.policy)
            revision = await self._queue.write(after, self._revision)
            await self._message.in_progress()
            return revision

        with self._lock:
            self._revision = self._queue.do(sign())

    def done(self, report: Mapping[str, Any]) -> None:
        async def end() -> None:
            await self._queue.put(finished(self.state, report))
            await self._message.ack_sync(PATIENCE)

        with self._lock:
            self._queue.do(end())

    def fail(self, error: str) -> str:
        after = failed(self.state, error, self._queue.policy)
        self._give_back(after)
        return after.state

    def release(self, wait: float = 0.0) -> None:
        self._give_back(released(self.state, wait))

    def _give_back(self, after: JobState) -> None:
        async def back() -> None:
            await self._queue.write(after, self._revision)
            if after.state == WAITING:
                await self._message.nak(delay=max(after.due - now(), 0) / 1000)
            else:
                await self._message.ack_sync(PATIENCE)

        with self._lock:
            self._queue.do(back())


def _parse(address: str) -> tuple[dict[str, Any], str, int]:
    """What connects, the queue's name, and how many servers keep it."""
    parts = urlsplit(address)
    name = parts.path.strip("/") or "passerby"
    replicas = parse_qs(parts.query).get("replicas", ["1"])[0]
    if parts.password is not None:
        raise InputError(
            f"the queue's address holds a password; leave it out and set it as {PASSWORD}, or in "
            f"a file whose path is in {PASSWORD}_FILE"
        )
    if not _NAME.fullmatch(name) or replicas not in ("1", "3", "5") or not parts.hostname:
        raise InputError(
            "the queue's address cannot be read; give nats://HOST:PORT/NAME, the name of letters, "
            "digits, dashes, and replicas as 1, 3 or 5"
        )
    server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    options: dict[str, Any] = {"servers": [server], "connect_timeout": int(PATIENCE / 2)}
    if parts.username:
        options |= {"user": parts.username, "password": read_password(variable=PASSWORD)}
    return options, name, int(replicas)
