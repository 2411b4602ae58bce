"""The web server's configuration: time limits, and whose word about a client's address counts."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from fastapi import FastAPI

_LATE = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n"
    b"x-content-type-options: nosniff\r\n\r\n"
)
_ARRIVING = (h11.IDLE, h11.SEND_BODY)


def timed(seconds: float) -> type[H11Protocol]:
    """Return a protocol that closes a connection whose request does not arrive in full in time.

    The web server itself waits forever for the rest of a request's head or body. Between two
    requests of one connection its own limit holds.
    """

    class TimedProtocol(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._deadline = self.loop.call_later(seconds, self._late)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            arriving = self.conn.their_state in _ARRIVING and not self.transport.is_closing()
            if arriving and self._deadline is None:
                self._deadline = self.loop.call_later(seconds, self._late)
            elif not arriving:
                self._arrived()

        def connection_lost(self, exc: Exception | None) -> None:
            self._arrived()
            super().connection_lost(exc)

        def _arrived(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _late(self) -> None:
            self._deadline = None
            if not self.transport.is_closing():
                if self.cycle is None or not self.cycle.response_started:
                    self.transport.write(_LATE)
                self.transport.close()

    return TimedProtocol


def configure(app: "FastAPI", *, proxies: Sequence[str] = (), **options: Any) -> uvicorn.Config:
    """Return the web server's configuration for a city's application.

    Args:
        app: the application.
        proxies: addresses of the proxies whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are
            believed. From any other address these headers mean nothing.
        options: further options of :class:`uvicorn.Config`.
    """
    return uvicorn.Config(
        app,
        http=timed(app.state.service.settings.request_seconds),
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        **options,
    )
