"""The store of jobs of many machines: NATS JetStream.

The state of a job is an entry of a key-value bucket. A write names the revision that it replaces,
which decides between two workers that both believe they have the job. A message of a work-queue
stream gives the job out: a durable pull consumer hands it to one worker at a time, and to another
worker when the first gives no sign for a lease (``ack_wait``).

The server must sync what it acknowledges, see the documentation (``sync_interval: always``).
"""

import asyncio
import json
import logging
import re
import ssl
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from passerby.city.address import read_password
from passerby.errors import InputError, MissingExtraError
from passerby.ingest.jobs import Entry, JobState, QueueError, Store

try:
    import nats
    import nats.errors
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext, api
    from nats.js.errors import (
        APIError,
        BucketNotFoundError,
        KeyNotFoundError,
        KeyWrongLastSequenceError,
    )
    from nats.js.kv import KeyValue
except ImportError:
    raise MissingExtraError("nats-py", "nats") from None

LOG = logging.getLogger("passerby.ingest")
PASSWORD = "PASSERBY_QUEUE_PASSWORD"  # an environment variable; with _FILE, a file's path
PATIENCE = 30.0  # seconds for an answer; a server that syncs to a busy disk may need long
SHORTEST_WAIT = 0.2  # seconds for a message; the server needs a moment to answer
WRONG_LAST = (10071, 10164)  # the server's codes for "not the revision that you expect"
STREAM_EXISTS = 10058  # with another configuration, more replicas for example
ONCE = {"Nats-Expected-Last-Subject-Sequence": "0"}  # only when there is no such message yet
OPTIONS = ("replicas", "ca", "cert", "key", "name")
EXAMPLE = "nats://HOST:PORT/NAME"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
NO_TLS = "the server offers no TLS, and nothing was sent to it"

T = TypeVar("T")


class _Client(Client):
    """A client that sends nothing, and so no password, before the connection is encrypted.

    The library encrypts only when the server asks for it, also where the address is ``tls://``.
    """

    def _connect_command(self) -> bytes:
        asked = "tls" in self.options
        if asked and not self._server_info.get("tls_required"):
            raise nats.errors.Error(NO_TLS)
        return super()._connect_command()


class NatsStore(Store):
    """States and messages on a NATS server or cluster."""

    def __init__(self, address: str, lease: float, city: str) -> None:
        """Connect, and make the stream, the consumer and the bucket when they are not there.

        Args:
            address: ``nats://[USER@]HOST:PORT[,HOST:PORT][/NAME][?replicas=3]``, or ``tls://`` for
                an encrypted connection, with ``ca=FILE`` (of the authority that signed the server's
                certificate; the system's without it), ``cert=FILE`` and ``key=FILE`` of this
                client, and ``name=HOST`` (in the server's certificate).
            lease: Seconds after which an unacknowledged message is given out again. The queue has
                one lease: that of the last program to open it.
            city: Id of the city. Jobs of other cities are in streams of their own, so that no
                worker takes one.

        Raises:
            InputError: The address cannot be read.
            QueueError: No server answers.
        """
        self._options, name, self._replicas = _parse(address)
        self.name = f"{name}-{city}"
        self._lease = lease
        self._place = address.partition("://")[2].rpartition("@")[2].partition("?")[0]
        self._connection: Client | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self._run(self._open())
        except BaseException:
            self.close()
            raise

    def _run(self, work: Coroutine[Any, Any, T], patience: float | None = None) -> T:
        """Run a coroutine on the connection's own thread, which also keeps the connection alive."""
        future = asyncio.run_coroutine_threadsafe(
            asyncio.wait_for(work, patience or PATIENCE), self._loop
        )
        try:
            return future.result()
        except (nats.errors.Error, TimeoutError, OSError) as error:
            reason = str(error) or "no answer in time"
            raise QueueError(
                f"the queue at {self._place} cannot be used ({reason}); is nats-server with "
                "JetStream running there?"
            ) from error

    async def _open(self) -> None:
        await self._look()

        async def log(error: Exception) -> None:
            LOG.info("queue at %s: %s", self._place, error)

        self._connection = _Client()
        await self._connection.connect(
            **self._options,
            error_cb=log,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            pending_size=0,  # a request fails while the server is away; it is not sent later
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
            if error.err_code != STREAM_EXISTS:
                raise
        self._states = await self._bucket()
        consumer = api.ConsumerConfig(
            durable_name="workers",
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=self._lease,
            max_deliver=-1,  # the state counts the tries
            max_ack_pending=100_000,  # this counts also the jobs that wait for another try
        )
        await self._stream.add_consumer(f"{self.name}_jobs", consumer)
        self._pull = await self._stream.pull_subscribe_bind("workers", f"{self.name}_jobs")

    async def _look(self) -> None:
        """Find one of the servers, and see that it encrypts as is asked: the client would try on.

        Raises:
            OSError: None answers, or its certificate is not as it should be.
            nats.errors.Error: It offers no encryption.
        """
        fault: Exception | None = None
        for server in self._options["servers"]:
            parts = urlsplit(server)
            try:
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 4222)
                try:
                    info = json.loads((await reader.readline()).removeprefix(b"INFO") or b"{}")
                    if context := self._options.get("tls"):
                        if not info.get("tls_required"):
                            raise nats.errors.Error(NO_TLS)
                        name = self._options.get("tls_hostname") or parts.hostname
                        await writer.start_tls(context, server_hostname=name)
                    elif info.get("tls_required"):
                        raise nats.errors.Error("the server asks for TLS; write tls://")
                finally:
                    writer.close()
                return
            except (OSError, ValueError, nats.errors.Error) as error:
                fault = error
        raise fault or OSError("no server is named")

    async def _bucket(self) -> KeyValue:
        name = f"{self.name}_states"
        try:
            return await self._stream.key_value(name)
        except BucketNotFoundError:
            return await self._stream.create_key_value(
                api.KeyValueConfig(bucket=name, replicas=self._replicas)
            )

    def close(self) -> None:
        """See :meth:`Store.close`."""
        if self._connection is not None:
            closing = self._connection.close()
            asyncio.run_coroutine_threadsafe(closing, self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # states ----------------------------------------------------------------------------------

    def read(self, job_id: str) -> Entry | None:
        """See :meth:`Store.read`."""
        return self._run(self._read(job_id))

    async def _read(self, job_id: str) -> Entry | None:
        try:
            found = await self._states.get(job_id)
        except KeyNotFoundError:
            return None
        return Entry(state=JobState.from_json(found.value or b""), version=found.revision)

    def write(self, state: JobState, version: str | int | None) -> str | int | None:
        """See :meth:`Store.write`."""
        return self._run(self._write(state, version))

    async def _write(self, state: JobState, version: str | int | None) -> int | None:
        record = state.to_json().encode()
        try:
            if version is None:
                return await self._states.create(state.job.id, record)
            return await self._states.update(state.job.id, record, last=int(version))
        except KeyWrongLastSequenceError:
            return None

    def put(self, state: JobState) -> None:
        """See :meth:`Store.put`."""
        self._run(self._states.put(state.job.id, state.to_json().encode()))

    def states(self) -> Iterator[JobState]:
        """See :meth:`Store.states`."""
        yield from self._run(self._all(), 60 * PATIENCE)

    async def _all(self) -> list[JobState]:
        expected = (await self._states.status()).values
        watcher: Any = await self._states.watchall(ignore_deletes=True)
        found: dict[str, JobState] = {}
        while len(found) < expected:
            # the watcher may say with None that this is all before the first entry has come
            if (entry := await watcher.updates(timeout=PATIENCE)) is not None:
                found[entry.key] = JobState.from_json(entry.value or b"")
        await watcher.stop()
        return list(found.values())

    # messages --------------------------------------------------------------------------------

    def publish(self, state: JobState, *, again: bool) -> None:
        """See :meth:`Store.publish`."""
        self._run(self._publish(state, again))

    async def _publish(self, state: JobState, again: bool) -> None:
        subject = f"{self.name}.jobs.{state.job.id}"
        if again:  # else a late acknowledgement of the old message would remove the new one
            await self._stream.purge_stream(f"{self.name}_jobs", subject=subject)
        try:
            await self._stream.publish(subject, state.to_json().encode(), headers=dict(ONCE))
        except APIError as error:
            if error.err_code not in WRONG_LAST:
                raise

    def next(self, wait: float) -> Entry | None:
        """See :meth:`Store.next`."""
        end = time.monotonic() + wait
        while True:
            left = max(end - time.monotonic(), SHORTEST_WAIT)
            entry = self._run(self._next(left), PATIENCE + left)
            if entry is not None or not self._run(self._more()):
                return entry
            # the answer came too late, on a busy machine: ask again

    async def _next(self, wait: float) -> Entry | None:
        try:
            messages = await self._pull.fetch(1, timeout=wait)
        except nats.errors.TimeoutError:
            return None
        if not messages:
            return None
        submitted = JobState.from_json(messages[0].data)
        entry = await self._read(submitted.job.id) or Entry(state=submitted, version=None)
        return Entry(state=entry.state, version=entry.version, message=messages[0])

    async def _more(self) -> bool:
        """Whether there is a message that nobody was given yet, or one that has just come."""
        if self._pull.pending_msgs:
            return True
        found = await self._pull.consumer_info()
        return bool(found.num_pending) or bool(self._pull.pending_msgs)

    def extend(self, entry: Entry) -> None:
        """See :meth:`Store.extend`."""
        message: Msg = entry.message
        self._run(message.in_progress())

    def acknowledge(self, entry: Entry, again_in: float | None = None) -> None:
        """See :meth:`Store.acknowledge`."""
        message: Msg = entry.message
        if again_in is None:
            self._run(message.ack_sync(PATIENCE), 2 * PATIENCE)
        else:
            self._run(message.nak(delay=again_in))


def _parse(address: str) -> tuple[dict[str, Any], str, int]:
    """The options of the connection, the queue's name, and the number of its replicas."""
    scheme, _, rest = address.partition("://")
    parts = urlsplit(f"//{rest}")
    name = parts.path.strip("/") or "passerby"
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    user, at, hosts = parts.netloc.rpartition("@")
    if ":" in user:
        raise InputError(
            f"the queue's address holds a password; leave it out and set it as {PASSWORD}, or in "
            f"a file whose path is in {PASSWORD}_FILE"
        )
    if unknown := sorted(set(given) - set(OPTIONS)):
        raise InputError(
            f"the queue's address cannot be read: there is no option '{unknown[0]}'; there are "
            f"{', '.join(OPTIONS)}"
        )
    replicas = given.get("replicas", "1")
    servers = [_server(scheme, host) for host in hosts.split(",")]
    if not _NAME.fullmatch(name) or replicas not in ("1", "3", "5") or None in servers:
        raise InputError(
            f"the queue's address cannot be read; give {EXAMPLE} or {EXAMPLE.replace('/NAME', '')}"
            ",HOST:PORT/NAME, the name of letters, digits, dashes, and replicas as 1, 3 or 5"
        )
    options: dict[str, Any] = {"servers": servers, "connect_timeout": int(PATIENCE / 2)}
    if scheme == "tls":
        options["tls"] = _tls(given)
        if "name" in given:
            options["tls_hostname"] = given["name"]
    elif files := sorted(set(given) & {"ca", "cert", "key", "name"}):
        raise InputError(f"'{files[0]}' in the queue's address is for tls://, not for nats://")
    if at:
        options |= {"user": user, "password": read_password(variable=PASSWORD)}
    return options, name, int(replicas)


def _server(scheme: str, host: str) -> str | None:
    """The address of one server; None where it cannot be read."""
    try:
        parts = urlsplit(f"{scheme}://{host}")
        readable = parts.hostname and parts.port != 0
    except ValueError:
        return None
    return f"{scheme}://{host}" if readable else None


def _tls(given: Mapping[str, str]) -> ssl.SSLContext:
    """What is demanded of the server's certificate, and this client's own."""
    if ("cert" in given) != ("key" in given):
        raise InputError("the queue's address needs both, cert=FILE and key=FILE, or neither")
    try:
        context = ssl.create_default_context(cafile=given.get("ca"))
        if "cert" in given:
            context.load_cert_chain(given["cert"], given["key"])
    except OSError as error:  # also what is no certificate
        raise InputError(f"a file in the queue's address cannot be used: {error}") from None
    return context
