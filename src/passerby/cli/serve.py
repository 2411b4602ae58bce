"""``passerby serve CITY``: the operator's page and the HTTP API of one city."""

import contextlib
import ipaddress
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from passerby.city import City, SecondStage
from passerby.cli.arguments import OfCity, parse
from passerby.errors import InputError, MissingExtraError
from passerby.ingest.detector import Detector
from passerby.runtime import Embedder


@dataclass(frozen=True, kw_only=True)
class Options(OfCity):
    """Serve a city's page and HTTP API."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    allow_remote: bool = False
    """Allow an address that other machines can reach; put a proxy with TLS before it."""
    model: str = "default"
    """The network that made the city's gallery."""
    next_model: str | None = None
    """A network that `passerby admin gallery reembed` switches the gallery to meanwhile; searches
    then go on with it."""
    detector: Path | None = None
    """A person detector (.xml or .onnx) for query pictures; without one they are crops."""
    second_stage: Path | None = None
    """A Diff Attention file for the network; puts the first 100 candidates in order at last."""


def main(arguments: Sequence[str]) -> int:
    """Open the city and serve it."""
    options: Options = parse(Options, arguments, "serve")
    check_host(options.host, allow_remote=options.allow_remote)
    city = City.open(options.city)
    embedder = Embedder.load(options.model)
    following = None if options.next_model is None else Embedder.load(options.next_model)
    detector = None if options.detector is None else Detector.load(options.detector)
    stage = None if options.second_stage is None else SecondStage.load(options.second_stage)
    return run(
        city,
        embedder,
        host=options.host,
        port=options.port,
        allow_remote=options.allow_remote,
        following=following,
        detector=detector,
        second_stage=stage,
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


def run(
    city: City,
    embedder: Embedder,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    allow_remote: bool = False,
    following: Embedder | None = None,
    detector: Detector | None = None,
    second_stage: SecondStage | None = None,
    demo: bool = False,
) -> int:
    """Serve until interrupted; prints the address, and new passwords once.

    Args:
        city: the city.
        embedder: the network that made its gallery.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        allow_remote: the address may be one that other machines reach.
        following: a network the gallery may be switched to.
        detector: finds people in query pictures.
        second_stage: puts the first candidates of every search in order once more.
        demo: simulated people: new passwords for the two accounts and an open case.
    """
    check_host(host, allow_remote=allow_remote)
    try:
        import uvicorn

        from passerby.service import create_app
        from passerby.service.app import create_first_accounts, open_demo
    except ImportError as error:
        raise MissingExtraError("fastapi", "service") from error
    app = create_app(
        city, embedder, following=following, detector=detector, second_stage=second_stage
    )
    listener = _listen(host, port)
    service = app.state.service
    passwords = open_demo(service) if demo else create_first_accounts(service)
    print(f"Passerby serves {city.units.roots[0].name} at {address(listener, host)}")
    for name, password in passwords.items():
        print(f"  sign in as {name:<10} with the password  {password}")
    if passwords and not demo:
        print("  These passwords are shown this once.")
    if allow_remote:
        print("passerby serve: plain HTTP; TLS is the proxy's work", file=sys.stderr)
    sys.stdout.flush()
    config = uvicorn.Config(
        app, log_level="warning", server_header=False, timeout_graceful_shutdown=5
    )
    with contextlib.suppress(KeyboardInterrupt):  # raised again after the graceful stop
        uvicorn.Server(config).run(sockets=[listener])
    return 0


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
