"""Is the service alive, and is the city well?"""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

import passerby
from passerby.service.http import PROBLEMS, TheService, allowed
from passerby.service.sessions import Session

router = APIRouter(prefix="/api/health", tags=["health"])
Watcher = Annotated[Session, Depends(allowed("health"))]


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


@router.get("", summary="Alive?")
def alive() -> Alive:
    """For monitors; needs no session and says nothing of the city."""
    return Alive(status="ok", version=passerby.__version__)


@router.get("/city", summary="The city's condition", responses=PROBLEMS)
def condition(_session: Watcher, service: TheService) -> Condition:
    """For administrators: stores, model, audit."""
    stats = service.city.gallery.stats()
    return Condition(
        model_matches=stats.model_id in (None, service.embedder.model_id),
        gallery_model=stats.model_id,
        model=service.embedder.model_id,
        sightings=stats.sightings,
        gallery_bytes=stats.bytes,
        audit_intact=service.audit.verify().intact,
    )
