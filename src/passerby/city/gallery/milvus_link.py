"""The address of a gallery on a Milvus server, and the connection to that server."""

import logging
import os
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from passerby.city.gallery.port import AwayError, StoreError
from passerby.errors import InputError, MissingExtraError

SCHEMES = ("milvus", "milvus+tls")
LEVELS = ("Strong", "Session", "Bounded", "Eventually")
TOKEN = "PASSERBY_MILVUS_TOKEN"  # the environment variable with "user:password" or an API key
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 3.0  # seconds between two attempts; doubled each time
NO_COLLECTION = 100
# Codes of Milvus that pass by themselves (its merr package): unavailable, too many requests, rate
# limit; collection not loaded, not fully loaded, on recovery; replica, channel or node not
# available. Its 1, not ready, is also the client's word for any fault of its own.
PASSING = {2, 4, 8, 101, 103, 106, 400, 401, 500, 501, 503, 901, 902, 903, 904, 905}
# Milvus 2.3 answers some of them with a general code and these words.
PASSING_WORDS = re.compile(
    "not ready|not available|no available|not healthy|unavailable|not serving|node not match"
    "|node offline|not fully loaded|recovering|on recovery|channel not found|context canceled"
    "|context deadline|rate limit|not shard leader|fail to get shard leaders"
    "|failed to get shard leaders|connection refused|fail connecting to server|retry timeout",
    re.IGNORECASE,
)
PASSING_STATES = {  # of gRPC
    "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN", "ABORTED", "RESOURCE_EXHAUSTED",
}  # fmt: skip


def is_milvus(where: object) -> bool:
    """Return whether an address names a Milvus server, not a folder."""
    return isinstance(where, str) and "://" in where and where.split("://")[0] in SCHEMES


@dataclass(frozen=True, kw_only=True)
class MilvusAddress:
    """``milvus://HOST:PORT/NAME?option=value&...``; ``milvus+tls://`` over TLS.

    An address holds no secret. The environment variable ``PASSERBY_MILVUS_TOKEN`` holds the account
    ("user:password" or an API key).

    Attributes:
        host: name or number of the server or of the cluster's proxy.
        port: its gRPC port.
        name: of the gallery; letters, digits and underscores.
        tls: encrypt the connection.
        database: Milvus database; empty for the default one.
        district: leading characters of a unit's code that name its district, the partition key.
        partitions: partitions over which Milvus spreads the districts.
        shards: write channels; each is one node's work.
        replicas: copies of the data in query nodes; at most the number of nodes.
        consistency: the writes that a read must see. "Strong" (every write that was acknowledged
            before, in any process), "Session" (the writes of this process), "Bounded" (all but the
            last seconds), "Eventually". Deletes and checks are always strong.
        patience: seconds for which a request is repeated while the server is away.
    """

    host: str
    port: int = 19530
    name: str = "passerby"
    tls: bool = False
    database: str = ""
    district: int = 4
    partitions: int = 64
    shards: int = 2
    replicas: int = 1
    consistency: str = "Strong"
    patience: float = 30.0

    def __post_init__(self) -> None:
        if not self.host:
            raise InputError("a Milvus address needs a host, like milvus://HOST:19530/NAME")
        if not (self.name.isidentifier() and self.name.isascii()):
            raise InputError(
                f"'{self.name}' cannot name a Milvus gallery; use letters, digits and underscores"
            )
        if self.consistency not in LEVELS:
            raise InputError(
                f"'{self.consistency}' is no consistency level; choose from {', '.join(LEVELS)}"
            )
        for name in ("district", "partitions", "shards", "replicas", "patience"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name}={getattr(self, name)} in a Milvus address; use 1 or more")

    @classmethod
    def parse(cls, text: str) -> "MilvusAddress":
        """Read an address.

        Raises:
            InputError: it is no Milvus address, or has an unknown option or value.
        """
        parts = urlsplit(text)
        if parts.scheme not in SCHEMES:
            raise InputError(f"'{text}' is no Milvus address; write milvus://HOST:19530/NAME")
        if parts.username or parts.password:
            raise InputError(f"a Milvus address must not hold a password; set {TOKEN} instead")
        kinds = {field.name: type(field.default) for field in fields(cls)[4:]}
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := sorted(set(given) - set(kinds)):
            raise InputError(
                f"a Milvus address has no option '{unknown[0]}'; it has {', '.join(kinds)}"
            )
        try:
            return cls(
                host=parts.hostname or "",
                port=parts.port or 19530,
                name=parts.path.strip("/") or "passerby",
                tls=parts.scheme.endswith("tls"),
                **{name: kinds[name](value) for name, value in given.items()},  # type: ignore
            )
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"the Milvus address '{text}' cannot be read: {error}") from None

    @property
    def uri(self) -> str:
        """The address for the client."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def __str__(self) -> str:
        """Return the address as text, with the options that differ from their defaults."""
        given = [(one.name, getattr(self, one.name), one.default) for one in fields(self)[4:]]
        changed = [(name, value) for name, value, usual in given if value != usual]
        query = f"?{urlencode(changed)}" if changed else ""
        return f"{SCHEMES[self.tls]}://{self.host}:{self.port}/{self.name}{query}"


class GoneError(StoreError):
    """There is no such collection on the server."""


class Link:
    """A client of one server, shared by the threads of a process."""

    def __init__(self, address: MilvusAddress) -> None:
        """Connect.

        Raises:
            MissingExtraError: pymilvus is not installed.
            AwayError: nobody answers at the address for as long as its patience.
            InputError: the server refuses the name or the password.
        """
        try:
            from pymilvus import MilvusClient
        except ImportError:
            raise MissingExtraError("pymilvus", "milvus") from None
        # the client logs every failed attempt with its stack; one clear error is raised instead
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self.address = address
        self.client: MilvusClient = self._repeat(
            lambda left: MilvusClient(
                uri=address.uri,
                token=os.environ.get(TOKEN, ""),
                db_name=address.database,
                timeout=left,
                dedicated=True,
            )
        )
        version = str(self.ask("get_server_version")).removeprefix("v").split(".")
        # Whether rows lie in the partition of their key. Milvus before 2.4 writes an upsert to the
        # partition of its primary key (milvus-io/milvus #30607): a search of its own one misses it.
        self.prunes = (int(version[0]), int(version[1])) >= (2, 4)

    def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the client; repeat it with back-off while the server is away.

        Every request the gallery makes may be repeated: writes are upserts and deletes by id or
        expression.
        """
        call = getattr(self.client, method)
        return self._repeat(lambda left: call(*arguments, timeout=left, **options))

    def _repeat(self, attempt: Callable[[float], Any]) -> Any:
        """Run ``attempt(seconds left)`` until it succeeds or the patience ends."""
        import grpc
        from pymilvus.exceptions import MilvusException

        server = f"the Milvus server at {self.address.host}:{self.address.port}"
        end, pause = time.monotonic() + self.address.patience, FIRST_PAUSE
        while True:
            try:
                return attempt(max(end - time.monotonic(), 0.1))
            except (MilvusException, grpc.RpcError, OSError) as fault:
                text = " ".join(str(getattr(fault, "message", "") or fault).split())[:200]
                if getattr(fault, "code", None) == NO_COLLECTION:
                    raise GoneError(f"{server} has no such collection: {text}") from None
                if not _passing(fault) and "auth" in text.lower():
                    raise InputError(
                        f"{server} refuses the account ({text}); set {TOKEN}"
                    ) from None
                if not _passing(fault):
                    raise StoreError(f"{server} refuses the request: {text}") from None
                if time.monotonic() + pause >= end:
                    raise AwayError(
                        f"{server} does not answer ({text}); start it or mend the address, then "
                        "try again"
                    ) from None
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)


def _passing(fault: BaseException) -> bool:
    """Return whether a fault may pass when the request is repeated."""
    import grpc

    code = fault.code() if isinstance(fault, grpc.RpcError) else getattr(fault, "code", None)
    if isinstance(code, grpc.StatusCode):
        return code.name in PASSING_STATES
    return (
        isinstance(fault, OSError)
        or code in PASSING
        or getattr(fault, "retriable", False)
        or PASSING_WORDS.search(str(fault)) is not None
    )
