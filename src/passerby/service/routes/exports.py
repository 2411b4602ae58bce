"""Exports of a search as JSON, CSV or GeoJSON; each says who exported it, why and when.

No export holds a vector.
"""

import csv
import io
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from passerby.city import City, Trajectory
from passerby.service.http import PROBLEMS, Caller, allowed
from passerby.service.inputs import Wanted
from passerby.service.routes.search import find_search, look_again
from passerby.service.searches import Search
from passerby.times import format_time

router = APIRouter(prefix="/api/searches", tags=["export"], responses=PROBLEMS)
Exporter = Annotated[Caller, Depends(allowed("export"))]
FORMATS = {"json": "application/json", "csv": "text/csv", "geojson": "application/geo+json"}
Origin = dict[str, str | int]  # where an export comes from; every file holds it
NOTE = "A result is a lead. A person has to verify it before anything is done on its ground."


class Wish(Wanted):
    """What to export."""

    format: Literal["json", "csv", "geojson"]
    trajectory: bool = Field(default=True, description="with the path (JSON and GeoJSON)")


@router.post(
    "/{identifier}/exports",
    summary="Export a search",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in FORMATS.values()}}},
)
def export(identifier: str, wish: Wish, caller: Exporter) -> Response:
    """A file with the results and the path, who exported it, why, when, and the audit's number."""
    search = find_search(caller, identifier)
    case = look_again(caller, search)
    wanted = wish.trajectory and wish.format != "csv"
    path = caller.service.searches.trace(search) if wanted else None
    shown = {*search.result_ids, *([one.id for one in path.sightings] if path else [])}
    details = {"search": search.id, "format": wish.format, "sightings": sorted(shown)}
    entry = caller.record("exported", details, case=case.id, units=search.query.scope.units)
    origin: Origin = {
        "exported_by": caller.account.name,
        "exported_at": format_time(entry.time),
        "case": case.id,
        "purpose": case.purpose,
        "legal_basis": case.legal_basis,
        "audit": entry.number,
        "audit_digest": entry.digest,
        "model": search.query.model,
        "note": NOTE,
    }
    text = WRITERS[wish.format](origin, caller.service.city, search, path)
    name = f"passerby-{case.id}-{entry.number}.{wish.format}"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Audit-Number": str(entry.number),
    }
    return Response(text, media_type=f"{FORMATS[wish.format]}; charset=utf-8", headers=headers)


def _rows(city: City, search: Search) -> list[dict[str, Any]]:
    """The results as flat rows, with the operator's feedback and the names of places."""
    rows = []
    for rank, match in enumerate(search.found.matches, 1):
        sighting = match.sighting
        camera = city.camera(sighting.camera, sighting.time)
        facts = match.as_dict()
        rows.append(
            {
                "rank": rank,
                "sighting": sighting.id,
                "time": facts["time"],
                "camera": camera.id,
                "camera_name": camera.name,
                "unit": sighting.unit,
                "unit_name": city.units[sighting.unit].name,
                "longitude": camera.place[0],
                "latitude": camera.place[1],
                "tracklet": sighting.tracklet,
                "sightings": len(match.ids),
                "similarity": facts["similarity"],
                "score": facts["score"],
                "calibrated": search.found.calibrated,
                "judgement": "confirmed" if set(match.ids) & set(search.confirmed) else "",
            }
        )
    return rows


def _as_json(origin: Origin, city: City, search: Search, path: Trajectory | None) -> str:
    """Everything, for programs."""
    whole = {
        "origin": origin,
        "scope": search.query.scope.as_dict(),
        "query_pictures_sha256": list(search.query.pictures),
        "results": _rows(city, search),
        "confirmed": list(search.confirmed),
        "rejected": list(search.rejected),
        "trajectory": path.as_dict() if path else None,
    }
    return json.dumps(whole, ensure_ascii=False, indent=2)


def _as_csv(origin: Origin, city: City, search: Search, _path: Trajectory | None) -> str:
    """The results as a table; every row holds the origin, so that a copied row keeps it."""
    rows = [row | origin for row in _rows(city, search)]
    out = io.StringIO()
    names = list(rows[0]) if rows else list(origin)
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _harmless(value) for name, value in row.items()})
    return "\ufeff" + out.getvalue()  # with the mark, spreadsheets read the text as UTF-8


def _harmless(value: Any) -> Any:
    """Put a quote before a text that a spreadsheet would run as a formula."""
    risky = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if risky else value


def _as_geojson(origin: Origin, city: City, search: Search, path: Trajectory | None) -> str:
    """Results and visits as points, legs as lines; a leg says whether its way is known."""
    features = [
        _feature({"kind": "result", **row}, "Point", [row["longitude"], row["latitude"]])
        for row in _rows(city, search)
    ]
    for order, visit in enumerate(path.visits if path else (), start=1):
        facts = visit.as_dict()
        place, ids = facts.pop("place"), [one.id for one in visit.sightings]
        properties = {"kind": "visit", "order": order, **facts, "sightings": ids}
        features.append(_feature(properties, "Point", place))
    for leg in path.legs if path else ():
        facts = leg.as_dict()
        line = facts.pop("path")
        features.append(_feature({"kind": "leg", **facts}, "LineString", line))
    whole = {"type": "FeatureCollection", "passerby": origin, "features": features}
    return json.dumps(whole, ensure_ascii=False, indent=2)


def _feature(properties: dict[str, Any], kind: str, coordinates: Any) -> dict[str, Any]:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


Writer = Callable[[Origin, City, Search, Trajectory | None], str]
WRITERS: dict[str, Writer] = {"json": _as_json, "csv": _as_csv, "geojson": _as_geojson}
