"""The service as an ASGI application: one city, one network, one page."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import passerby
from passerby.city import City, SecondStage
from passerby.city.networks import Networks
from passerby.errors import MissingExtraError
from passerby.ingest.detector import Detector
from passerby.runtime import Embedder
from passerby.service.accounts import Accounts
from passerby.service.approvals import Approvals
from passerby.service.attempts import Attempts
from passerby.service.audit import Audit
from passerby.service.cases import Cases
from passerby.service.database import Database
from passerby.service.pictures import QueryPictures
from passerby.service.searches import Searches
from passerby.service.sessions import Sessions, read_secret
from passerby.service.settings import Settings
from passerby.service.views import Views

try:
    from fastapi import FastAPI
    from fastapi.responses import FileResponse
    from fastapi.staticfiles import StaticFiles
    from starlette.middleware.gzip import GZipMiddleware
except ImportError as error:  # pragma: no cover - depends on the installation
    raise MissingExtraError("fastapi", "service") from error

from passerby.service.http import BodyLimit, Service, add_error_answers, add_guards
from passerby.service.routes import (
    accounts,
    audit,
    cases,
    export,
    health,
    map,
    pictures,
    search,
    session,
    sightings,
    trajectory,
)

STATIC = Path(__file__).parent / "static"
DESCRIPTION = """
Find a person in the cameras of a city's units, and where they went.

Sign in with `POST /api/session`; send the `csrf` value of its answer as `X-CSRF-Token` with every
request that changes something. Every search names an open case. Times are ISO 8601 with an offset;
places are WGS 84 longitude and latitude. Every refusal is a `Problem`: `code`, `error`,
`what_to_do`. **A result is a lead; a person has to verify it.**
"""


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
        following: a network the gallery may be switched to; the service then follows.
        detector: finds people in query pictures; without one a picture is taken as a crop.
        settings: limits and policy; by default those stored in the city.
        second_stage: puts the first candidates of every search in order once more.

    Raises:
        InputError: the gallery was made by another network; a second stage for another one.
    """
    networks = Networks(city.gallery, embedder, following)
    if second_stage is not None:
        second_stage.check(networks.now().model_id)
    service = assemble(
        city, networks, detector, settings or Settings.read(city), second_stage=second_stage
    )

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        service.views.flush()

    app = FastAPI(
        title="Passerby",
        version=passerby.__version__,
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,  # FastAPI's pages load scripts from elsewhere; ours is /docs
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    add_error_answers(app)
    add_guards(app, service.settings)
    app.add_middleware(GZipMiddleware, minimum_size=2048)
    app.add_middleware(BodyLimit, most=int(service.settings.upload_megabytes * 2**20))
    subjects = (session, map, pictures, search, trajectory, export, sightings)
    for subject in (*subjects, cases, audit, accounts, health):
        app.include_router(subject.router)
    _add_page(app)
    return app


def assemble(
    city: City,
    networks: Networks,
    detector: Detector | None,
    settings: Settings,
    *,
    second_stage: SecondStage | None = None,
) -> Service:
    """The service's parts."""
    database = Database.of(city)
    chain = Audit(database, city.folder)
    people = Accounts(database)
    return Service(
        city=city,
        networks=networks,
        settings=settings,
        database=database,
        accounts=people,
        sessions=Sessions(database, people, read_secret(city.folder), settings),
        attempts=Attempts(),
        cases=Cases(database),
        approvals=Approvals(database, settings),
        audit=chain,
        pictures=QueryPictures(settings, detector),
        searches=Searches(city, networks, database, settings, second_stage),
        views=Views(chain),
    )


def _add_page(app: FastAPI) -> None:
    """The page and its files."""

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/docs", include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(STATIC / "docs.html")

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
