"""Exports of a search: JSON, CSV or GeoJSON, with the audit's number on them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from passerby.service.cases import require_open
from passerby.service.exports import FORMATS, WRITERS, Origin, sighting_ids
from passerby.service.http import PROBLEMS, TheService, allowed
from passerby.service.routes.cases import find_case
from passerby.service.routes.search import find_search
from passerby.service.routes.trajectory import path_info
from passerby.service.sessions import Session
from passerby.times import format_time

router = APIRouter(prefix="/api/searches", tags=["export"], responses=PROBLEMS)
Exporter = Annotated[Session, Depends(allowed("export"))]


class Wish(BaseModel):
    """What to export."""

    format: Literal["json", "csv", "geojson"]
    trajectory: bool = Field(default=True, description="with the path (JSON and GeoJSON)")


@router.post(
    "/{identifier}/exports",
    summary="Export a search",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in FORMATS.values()}}},
)
def export(identifier: str, wish: Wish, session: Exporter, service: TheService) -> Response:
    """A file with the results and the path, who exported it, why, when, and the audit's number."""
    search = find_search(service, session, identifier)
    case = require_open(find_case(service, session.account, search.case))
    wanted = wish.trajectory and wish.format != "csv"
    found = service.searches.trace(search) if wanted else None
    entry = service.audit.append(
        "exported",
        account=session.account.name,
        case=case.id,
        units=search.scope.units,
        details={
            "search": search.id,
            "format": wish.format,
            "sightings": sighting_ids(search, found),
        },
    )
    origin = Origin(
        exported_by=session.account.name,
        exported_at=format_time(entry.time),
        case=case.id,
        purpose=case.purpose,
        legal_basis=case.legal_basis,
        audit=entry.number,
        audit_digest=entry.digest,
        model=search.model,
    )
    path = path_info(found) if found else None
    text = WRITERS[wish.format](origin, service.city, search, path)
    name = f"passerby-{case.id}-{entry.number}.{wish.format}"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Audit-Number": str(entry.number),
    }
    return Response(text, media_type=f"{FORMATS[wish.format]}; charset=utf-8", headers=headers)
