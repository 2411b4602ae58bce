"""What leaves the service as a file: results and path with who, why, when; never a vector."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from passerby.city import City, Trajectory
from passerby.service.searches import Search

FORMATS = {"json": "application/json", "csv": "text/csv", "geojson": "application/geo+json"}
NOTE = "A result is a lead. A person has to verify it before anything is done on its ground."


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an export comes from; it is in every file."""

    exported_by: str
    exported_at: str
    case: str
    purpose: str
    legal_basis: str
    audit: int
    audit_digest: str
    model: str
    note: str = NOTE


def results(city: City, search: Search) -> list[dict[str, Any]]:
    """The results as flat rows, with the operator's judgement and the names of places."""
    rows = []
    for match in search.answer["matches"]:
        camera = city.camera(match["camera"])
        judged = {match["id"], *match["members"]}
        rows.append(
            {
                "rank": match["rank"],
                "sighting": match["id"],
                "time": match["time"],
                "camera": camera.id,
                "camera_name": camera.name,
                "unit": match["unit"],
                "unit_name": city.units[match["unit"]].name,
                "longitude": camera.place[0],
                "latitude": camera.place[1],
                "tracklet": match["tracklet"],
                "sightings": len(judged),
                "similarity": match["similarity"],
                "score": match["score"],
                "calibrated": search.answer["calibrated"],
                "judgement": "confirmed" if judged & set(search.confirmed) else "",
            }
        )
    return rows


def as_json(origin: Origin, city: City, search: Search, path: Mapping[str, Any] | None) -> str:
    """Everything, for programs."""
    whole = {
        "origin": asdict(origin),
        "scope": search.scope.as_dict(),
        "query_pictures_sha256": list(search.pictures),
        "results": results(city, search),
        "confirmed": list(search.confirmed),
        "rejected": list(search.rejected),
        "trajectory": path,
    }
    return json.dumps(whole, ensure_ascii=False, indent=2)


def as_csv(origin: Origin, city: City, search: Search, _path: Mapping[str, Any] | None) -> str:
    """The results as a table; the origin stands in every row, so that no row loses it."""
    rows = [{**row, **asdict(origin)} for row in results(city, search)]
    out = io.StringIO()
    names = list(rows[0]) if rows else list(asdict(origin))
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _harmless(value) for name, value in row.items()})
    return "\ufeff" + out.getvalue()  # the mark lets spreadsheets read the text as UTF-8


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets a quote before it."""
    risky = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if risky else value


def as_geojson(origin: Origin, city: City, search: Search, path: Mapping[str, Any] | None) -> str:
    """Results and visits as points, legs as lines; a leg that is not known says so."""
    features = [
        _feature({"kind": "result", **row}, "Point", [row["longitude"], row["latitude"]])
        for row in results(city, search)
    ]
    if path is not None:
        for order, visit in enumerate(path["visits"], start=1):
            facts = {key: visit[key] for key in ("camera", "unit", "arrive", "leave", "confidence")}
            ids = [one["id"] for one in visit["sightings"]]
            properties = {"kind": "visit", "order": order, **facts, "sightings": ids}
            features.append(_feature(properties, "Point", visit["place"]))
        for leg in path["legs"]:
            facts = {key: value for key, value in leg.items() if key != "path"}
            features.append(_feature({"kind": "leg", **facts}, "LineString", leg["path"]))
    whole = {"type": "FeatureCollection", "passerby": asdict(origin), "features": features}
    return json.dumps(whole, ensure_ascii=False, indent=2)


def _feature(properties: dict[str, Any], kind: str, coordinates: Any) -> dict[str, Any]:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


Writer = Callable[[Origin, City, Search, Mapping[str, Any] | None], str]
WRITERS: dict[str, Writer] = {"json": as_json, "csv": as_csv, "geojson": as_geojson}


def sighting_ids(search: Search, trajectory: Trajectory | None) -> list[str]:
    """What an export shows, for the audit."""
    on_path = [one.id for one in trajectory.sightings] if trajectory else []
    return sorted({*search.result_ids, *on_path})
