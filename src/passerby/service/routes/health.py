"""The health of the service, of its parts, and of the city."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

import passerby
from passerby.service.http import PROBLEMS, Caller, Service, allowed

router = APIRouter(prefix="/api/health", tags=["health"])
Monitor = Annotated[Caller, Depends(allowed("health"))]
LOG = logging.getLogger("passerby.service")
DEADLINE = 2.0  # seconds in which a part must answer
KEPT = 1.0  # seconds for which an answer is given again, so that asking often costs nothing
State = Literal["ok", "away", "slow"]


class Alive(BaseModel):
    """The service answers."""

    status: str
    version: str


class Condition(BaseModel):
    """The state of the city's stores."""

    model_matches: bool = Field(description="the gallery was made by the network in use")
    gallery_model: str | None
    model: str
    sightings: int
    gallery_bytes: int
    audit_intact: bool
    audit_heads: str = Field(description="why heads of the audit cannot be sent away, or empty")


class Ready(BaseModel):
    """Whether searches can be answered now."""

    ready: bool
    parts: dict[str, State] = Field(
        description="catalogue, gallery, network, crops, audit: ok, away (it refused), or slow (no "
        "answer within two seconds); the service's log says why"
    )


class Probes:
    """Asks the parts of a service in threads of its own, each part once at a time.

    A part that hangs keeps one thread and no request.
    """

    def __init__(self, service: Service) -> None:
        """Ask the parts of ``service``."""
        self._asks: dict[str, Callable[[], object]] = {
            "catalogue": lambda: _catalogue(service),
            "gallery": lambda: _gallery(service),
            "network": service.networks.now,
            "crops": lambda: _crops(service),
            "audit": service.audit.check,
        }
        self._threads = ThreadPoolExecutor(len(self._asks), thread_name_prefix="health")
        self._running: dict[str, Future[object]] = {}
        self._last: tuple[float, Ready] | None = None

    async def ready(self) -> Ready:
        """Ask all parts; the answer is at most ``KEPT`` seconds old."""
        if self._last is not None and time.monotonic() - self._last[0] < KEPT:
            return self._last[1]
        for name, ask in self._asks.items():
            if name not in self._running:
                self._running[name] = self._threads.submit(ask)
        waits = {asyncio.wrap_future(one): name for name, one in self._running.items()}
        await asyncio.wait(waits, timeout=DEADLINE)
        parts: dict[str, State] = {name: self._state(name) for name in self._asks}
        answer = Ready(ready=set(parts.values()) == {"ok"}, parts=parts)
        self._last = (time.monotonic(), answer)
        return answer

    def _state(self, name: str) -> State:
        asked = self._running[name]
        if not asked.done():
            return "slow"
        del self._running[name]
        fault = asked.exception()
        if fault is not None:
            LOG.warning("%s: %s", name, fault)
        return "ok" if fault is None else "away"


def _catalogue(service: Service) -> None:
    with service.database.read() as connection:
        connection.execute(sa.text("SELECT 1"))


def _gallery(service: Service) -> None:
    health = service.city.gallery.health()
    if not health.readable:
        raise OSError("; ".join(health.problems) or "it cannot be read")


def _crops(service: Service) -> None:
    if not service.city.crops.folder.is_dir():
        raise OSError(f"there is no folder '{service.city.crops.folder}': is it mounted?")


@router.get("", summary="Alive?")
async def alive() -> Alive:
    """For monitors; needs no session and says nothing of the city."""
    return Alive(status="ok", version=passerby.__version__)


@router.get(
    "/ready",
    summary="Can it answer searches?",
    responses={503: {"model": Ready, "description": "a part is away; the answer names it"}},
)
async def ready(request: Request, response: Response) -> Ready:
    """For load balancers; needs no session and says nothing of the city but which part is away."""
    probes: Probes = request.app.state.probes
    answer = await probes.ready()
    response.status_code = 200 if answer.ready else 503
    return answer


@router.get("/city", summary="The city's condition", responses=PROBLEMS)
def condition(caller: Monitor) -> Condition:
    """For administrators: stores, model, audit."""
    service = caller.service
    stats, model = service.city.gallery.stats(), service.networks.now().model_id
    return Condition(
        model_matches=stats.model_id in (None, model),
        gallery_model=stats.model_id,
        model=model,
        sightings=stats.sightings,
        gallery_bytes=stats.bytes,
        audit_intact=service.audit.verify().intact,
        audit_heads=service.audit.forwarder.failed,
    )
