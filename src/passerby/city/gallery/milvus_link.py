"""The connection to a Milvus server: repeats while it is away, and errors that say what to do."""

import logging
import os
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from passerby.city.gallery.milvus_address import TOKEN, MilvusAddress
from passerby.city.gallery.port import AwayError, StoreError
from passerby.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    pass

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 3.0  # seconds between two attempts; doubled each time
# Codes of Milvus that pass by themselves (its merr package): unavailable, too many requests, rate
# limit; collection not loaded, not fully loaded, on recovery; replica, channel or node not
# available. Its 1, not ready, is also the client's word for any fault of its own.
NO_COLLECTION = 100
PASSING = {2, 4, 8, 101, 103, 106, 400, 401, 500, 501, 503, 901, 902, 903, 904, 905}
# Milvus 2.3 answers some of them with a general code and these words.
PASSING_WORDS = (
    "not ready",
    "not available",
    "no available",
    "not healthy",
    "unavailable",
    "not serving",
    "node not match",
    "node offline",
    "not fully loaded",
    "recovering",
    "on recovery",
    "channel not found",
    "context canceled",
    "context deadline",
    "rate limit",
    "not shard leader",
    "fail to get shard leaders",
    "failed to get shard leaders",
    "connection refused",
    "fail connecting to server",
    "retry timeout",
)


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
        # it writes every failed attempt to the log, with its stack; we raise one clear error
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self.address = address
        self.client: MilvusClient = self.repeat(
            lambda left: MilvusClient(
                uri=address.uri,
                token=os.environ.get(TOKEN, ""),
                db_name=address.database,
                timeout=left,
                dedicated=True,
            )
        )
        self.version = str(self.ask("get_server_version")).removeprefix("v")

    @property
    def prunes(self) -> bool:
        """Whether rows lie in the partition of their key.

        Milvus before 2.4 writes an upsert to the partition of its primary key (milvus-io/milvus
        #30607), so that a search of the right partition misses it.
        """
        major, minor = (int(part) for part in self.version.split(".")[:2])
        return (major, minor) >= (2, 4)

    def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the client; repeat it with back-off while the server is away.

        Every request the gallery makes may be repeated: writes are upserts and deletes by id or
        expression.
        """
        call = getattr(self.client, method)
        return self.repeat(lambda left: call(*arguments, timeout=left, **options))

    def repeat(self, attempt: Callable[[float], Any]) -> Any:
        """Run ``attempt(seconds left)`` until it succeeds or the patience is at its end."""
        import grpc
        from pymilvus.exceptions import MilvusException

        end = time.monotonic() + self.address.patience
        pause = FIRST_PAUSE
        while True:
            try:
                return attempt(max(end - time.monotonic(), 0.1))
            except (MilvusException, grpc.RpcError, OSError) as error:
                fault = error
            if not passing(fault):
                raise self._explained(fault) from None
            if time.monotonic() + pause >= end:
                raise AwayError(
                    f"the Milvus server at {self.address.host}:{self.address.port} does not answer "
                    f"({said(fault)}); start it or mend the address, then try again"
                ) from None
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _explained(self, fault: BaseException) -> InputError:
        place = f"the Milvus server at {self.address.host}:{self.address.port}"
        text = said(fault)
        if getattr(fault, "code", None) == NO_COLLECTION:
            return GoneError(f"{place} has no such collection: {text}")
        if "auth" in text.lower() or "UNAUTHENTICATED" in text:
            return InputError(f"{place} refuses the account ({text}); set {TOKEN}")
        return StoreError(f"{place} refuses the request: {text}")

    def close(self) -> None:
        """Let go of the connection."""
        self.client.close()


def passing(fault: BaseException) -> bool:
    """Whether a fault may pass when the request is repeated."""
    import grpc

    if isinstance(fault, OSError):
        return True
    code = fault.code() if isinstance(fault, grpc.RpcError) else getattr(fault, "code", None)
    if isinstance(code, grpc.StatusCode):
        return code in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.CANCELLED,
            grpc.StatusCode.UNKNOWN,
            grpc.StatusCode.ABORTED,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        )
    text = str(fault).lower()
    return (
        code in PASSING
        or getattr(fault, "retriable", False)
        or any(word in text for word in PASSING_WORDS)
    )


def said(fault: BaseException) -> str:
    """The server's words on one line."""
    text = " ".join(str(getattr(fault, "message", "") or fault).split())
    return text[:200]
