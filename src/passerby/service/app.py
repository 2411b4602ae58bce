"""The service as an ASGI application, its first accounts, and a server for tests and demos."""

import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import passerby
from passerby.city import City, SecondStage
from passerby.city.networks import Networks
from passerby.errors import InputError, MissingExtraError
from passerby.ingest.detector import Detector
from passerby.runtime import Embedder
from passerby.service.accounts import Accounts, generate_password
from passerby.service.audit import Audit
from passerby.service.audit_heads import Forwarder
from passerby.service.cases import LONGEST_DAYS, Approvals, Cases
from passerby.service.database import Database, now
from passerby.service.pictures import QueryPictures
from passerby.service.searches import Searches
from passerby.service.sessions import FailedSignIns, Sessions, read_secret
from passerby.service.settings import Settings
from passerby.service.width import Width

try:
    import uvicorn
    from fastapi import FastAPI
    from fastapi.responses import FileResponse
    from fastapi.staticfiles import StaticFiles
    from starlette.middleware.gzip import GZipMiddleware
except ImportError as error:  # pragma: no cover - depends on the installation
    raise MissingExtraError("fastapi", "service") from error

from passerby.service.guards import BodyLimit, add_error_answers, add_guards
from passerby.service.http import Service
from passerby.service.routes import (
    accounts,
    audit,
    cameras,
    cases,
    clips,
    enhanced,
    erasures,
    exports,
    facts,
    health,
    map,
    pictures,
    search,
    sightings,
    verdicts,
)
from passerby.service.server import configure

STATIC = Path(__file__).parent / "static"
OPERATOR, SUPERVISOR = "operator", "supervisor"
DEMO_CASE = "DEMO-"  # and a number
DESCRIPTION = """
Find a person in the cameras of a city's units, and where they went.

Sign in with `POST /api/session`; send the `csrf` value of its answer as `X-CSRF-Token` with every
request that changes something. Every search names an open case. Times are ISO 8601 with an offset;
places are WGS 84 longitude and latitude. Every refusal is a `Problem`: `code`, `error`,
`what_to_do`. **A result is a lead; a person has to verify it.**
"""
ROUTERS = (  # in the order of the API's description
    accounts.session_router,
    map.router,
    facts.router,
    cameras.router,
    clips.router,
    pictures.router,
    enhanced.router,
    search.router,
    verdicts.router,
    search.trajectory_router,
    exports.router,
    sightings.router,
    cases.router,
    erasures.router,
    audit.router,
    accounts.router,
    health.router,
)


def create_app(
    city: City,
    embedder: Embedder,
    *,
    following: Embedder | None = None,
    detector: Detector | None = None,
    settings: Settings | None = None,
    second_stage: SecondStage | None = None,
) -> FastAPI:
    """Build the service of one city.

    Args:
        city: units, cameras, gallery.
        embedder: the network that made the gallery's vectors.
        following: a network that the gallery may be switched to; the service then uses it.
        detector: finds people in query pictures; without one a picture is taken as a crop.
        settings: limits and policy; by default those stored in the city.
        second_stage: orders the first candidates of every search once more.

    Raises:
        InputError: the gallery was made by another network; a second stage for another one.
    """
    networks = Networks(city.gallery, embedder, following)
    if second_stage is not None:
        second_stage.check(networks.now().model_id)
    service = _assemble(city, networks, detector, settings or Settings.read(city), second_stage)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        service.audit.close()

    app = FastAPI(
        title="Passerby",
        version=passerby.__version__,
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,  # FastAPI's pages load scripts from other sites; ours is /docs
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service, app.state.probes = service, health.Probes(service)
    add_error_answers(app)
    add_guards(app, service.settings)
    app.add_middleware(GZipMiddleware, minimum_size=2048)
    app.add_middleware(BodyLimit, most=int(service.settings.upload_megabytes * 2**20))
    for router in ROUTERS:
        app.include_router(router)
    _add_page(app)
    return app


def _assemble(
    city: City,
    networks: Networks,
    detector: Detector | None,
    settings: Settings,
    second_stage: SecondStage | None,
) -> Service:
    """Build the service's parts."""
    database = Database.of(city)
    heads = Forwarder(syslog=settings.audit_syslog, url=settings.audit_url)
    audit = Audit(database, city.folder, heads)
    accounts, approvals = Accounts(database), Approvals(database, settings)
    return Service(
        city=city,
        networks=networks,
        settings=settings,
        database=database,
        accounts=accounts,
        sessions=Sessions(database, accounts, read_secret(city.folder), settings),
        failed_sign_ins=FailedSignIns(),
        cases=Cases(database),
        approvals=approvals,
        audit=audit,
        pictures=QueryPictures(settings, detector),
        searches=Searches(city, networks, database, settings, second_stage),
        width=Width(city, database, settings, approvals),
    )


def _add_page(app: FastAPI) -> None:
    """Serve the page and its files."""

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/docs", include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(STATIC / "docs.html")

    app.mount("/static", StaticFiles(directory=STATIC), name="static")


# first accounts ----------------------------------------------------------------------------------


def create_first_accounts(service: Service) -> dict[str, str]:
    """Create an operator and a supervisor of the whole city, if there is no account yet.

    Returns:
        Name -> generated password, to be shown once; empty if there are accounts.
    """
    if service.accounts.all():
        return {}
    return {name: _create(service, name) for name in (OPERATOR, SUPERVISOR)}


def open_demo(service: Service) -> dict[str, str]:
    """Give the demonstration's two accounts new passwords, and the operator an open case.

    It is only for simulated people: anyone who can start the demonstration can sign in.

    Returns:
        Name -> generated password.
    """
    passwords = {}
    for name in (OPERATOR, SUPERVISOR):
        if service.accounts.get(name) is None:
            passwords[name] = _create(service, name)
        else:
            passwords[name] = service.accounts.set_password(name, generate_password())
    earlier = [case for case in service.cases.all() if case.id.startswith(DEMO_CASE)]
    if not any(case.is_open for case in earlier):
        number = f"{DEMO_CASE}{len(earlier) + 1}"
        units = tuple(unit.code for unit in service.city.units.roots)
        service.cases.open(
            number,
            purpose="Demonstration · 演示",
            legal_basis="None needed: the people do not exist · 人物均为虚构",
            owner=OPERATOR,
            units=units,
            expires=now() + (LONGEST_DAYS - 1) * 86_400_000,
        )
        service.audit.append("case_opened", account=OPERATOR, case=number, units=units)
    return passwords


def _create(service: Service, name: str) -> str:
    units = tuple(unit.code for unit in service.city.units.roots)
    password = service.accounts.create(name, name, units)
    details = {"name": name, "role": name}
    service.audit.append("account_created", account="(first start)", units=units, details=details)
    return password


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an app on a free loopback port, on a thread, while the block runs.

    Yields:
        Its address without a slash at the end.

    Raises:
        InputError: the app did not start; its own message says why.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(configure(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise InputError("the service did not start; see the message above")
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
