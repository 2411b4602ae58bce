"""``passerby serve CITY``: the operator's page and the HTTP API of one city."""

import contextlib
import ipaddress
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from passerby.city import SecondStage
from passerby.cli.common import OfCity
from passerby.errors import InputError
from passerby.ingest.detector import Detector
from passerby.runtime import Embedder
from passerby.service.app import create_app, create_first_accounts, open_demo
from passerby.service.server import configure


@dataclass(frozen=True, kw_only=True)
class Serve(OfCity):
    """Serve a city's page and HTTP API."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    proxy: list[str] = field(default_factory=list)
    """Addresses of the proxies before the service whose X-Forwarded-For is believed."""
    allow_remote: bool = False
    """Allow an address that other machines can reach; put a proxy with TLS before it."""
    model: str = "default"
    """The network that made the city's gallery."""
    next_model: str | None = None
    """A network that `passerby admin gallery reembed` switches the gallery to meanwhile; searches
    then go on with it."""
    detector: str | None = None
    """A person detector for query pictures (a file, a pulled name, or default); without one they
    are crops."""
    second_stage: Path | None = None
    """A Diff Attention file for the network; puts the first 100 candidates in order at last."""

    def main(self) -> None:
        """Open the city and serve it."""
        check_host(self.host, allow_remote=self.allow_remote)
        app = create_app(
            self.open(),
            Embedder.load(self.model),
            following=Embedder.load(self.next_model) if self.next_model else None,
            detector=Detector.load(self.detector) if self.detector else None,
            second_stage=SecondStage.load(self.second_stage) if self.second_stage else None,
        )
        run(
            app,
            host=self.host,
            port=self.port,
            allow_remote=self.allow_remote,
            proxies=self.proxy,
        )


def check_host(host: str, *, allow_remote: bool) -> None:
    """Refuse an address that other machines reach, unless that is wanted.

    Raises:
        InputError: what to do for a service that others reach.
    """
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local and not allow_remote:
        raise InputError(
            f"--host {host} can be reached from other machines and this service speaks plain HTTP; "
            "add --allow-remote when a proxy with TLS stands before it"
        )


def _proxy(text: str) -> str:
    """Return a proxy's address or network; refuse a name, and "*", which would be anybody."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise InputError(
            f"--proxy {text} is no IP address and no network such as 10.0.0.0/24; name the proxy"
        ) from None


def run(
    app: FastAPI,
    *,
    host: str,
    port: int,
    allow_remote: bool = False,
    proxies: Sequence[str] = (),
    demo: bool = False,
) -> None:
    """Serve a city's application until interrupted; prints the address, and new passwords once.

    Args:
        app: what :func:`passerby.service.create_app` returns.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        allow_remote: the address may be one that other machines reach.
        proxies: addresses of proxies whose word about a client's address is believed.
        demo: simulated people: new passwords for the two accounts and an open case.

    Raises:
        InputError: others could reach the address and may not, or it is in use.
    """
    check_host(host, allow_remote=allow_remote)
    listener = _listen(host, port)
    service = app.state.service
    passwords = open_demo(service) if demo else create_first_accounts(service)
    print(f"Passerby serves {service.city.units.roots[0].name} at {address(listener, host)}")
    for name, password in passwords.items():
        print(f"  sign in as {name:<10} with the password  {password}")
    if passwords and not demo:
        print("  These passwords are shown this once.")
    if allow_remote:
        print("passerby serve: plain HTTP; TLS is the proxy's work", file=sys.stderr)
    sys.stdout.flush()
    config = configure(
        app,
        proxies=[_proxy(one) for one in proxies],
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    with contextlib.suppress(KeyboardInterrupt):  # raised again after the graceful stop
        uvicorn.Server(config).run(sockets=[listener])


def address(listener: socket.socket, host: str) -> str:
    """The URL of a listening socket."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}/"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # who connects as soon as the address is printed waits, not fails
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot listen on {host}:{port}: {reason}; choose another --port"
        ) from None
    return listener
