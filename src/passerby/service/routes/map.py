"""What the map draws: the city, its units, cameras and streets, and what the cameras saw."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from passerby.city import Scope
from passerby.city.city import LANDSCAPE
from passerby.service.http import PROBLEMS, Searcher, Service, TheService, TheSession
from passerby.service.refusals import nothing_there
from passerby.times import format_time

router = APIRouter(prefix="/api", tags=["map"], responses=PROBLEMS)


class Feature(BaseModel):
    """A GeoJSON feature."""

    type: str = "Feature"
    properties: dict[str, Any]
    geometry: dict[str, Any] | None


class FeatureCollection(BaseModel):
    """A GeoJSON feature collection, WGS 84 longitude and latitude."""

    type: str = "FeatureCollection"
    features: list[Feature]


class Limits(BaseModel):
    """Limits that the page tells before the service has to refuse."""

    most_pictures: int
    most_results: int
    upload_megabytes: float
    wide_needs_approval: bool
    wide_hours: float


class CityInfo(BaseModel):
    """The city as this account may see it."""

    name: str
    name_zh: str
    time_zone: str = Field(description="IANA zone in which to show times")
    model: str = Field(description="id of the network that embeds query pictures")
    calibrated: bool = Field(description="whether scores are probabilities")
    detector: bool = Field(description="whether people are looked for in query pictures")
    sightings: int = Field(description="in the granted units")
    first: str | None = Field(description="time of the earliest sighting in the granted units")
    last: str | None
    limits: Limits


class CameraCoverage(BaseModel):
    """What one camera contributed to a window; none means nothing was seen or it was away."""

    camera: str
    sightings: int
    first: str | None
    last: str | None


@router.get("/city", summary="The city")
def city(session: TheSession, service: TheService) -> CityInfo:
    """Name, time zone, model, limits, and the extent in time of what the account may see."""
    access = service.access(session.account)
    root = service.city.units.roots[0]
    seen = [
        one for one in _coverage(service, Scope(units=access.narrow_units(()))) if one.sightings
    ]
    settings = service.settings
    return CityInfo(
        name=root.name,
        name_zh=root.name_zh,
        time_zone=settings.time_zone,
        model=service.embedder.model_id,
        calibrated=service.embedder.card.calibration is not None,
        detector=service.pictures.detector is not None,
        sightings=sum(one.sightings for one in seen),
        first=min((one.first for one in seen if one.first), default=None),
        last=max((one.last for one in seen if one.last), default=None),
        limits=Limits(
            most_pictures=settings.most_pictures,
            most_results=settings.most_results,
            upload_megabytes=settings.upload_megabytes,
            wide_needs_approval=settings.wide_needs_approval,
            wide_hours=settings.wide_hours,
        ),
    )


@router.get("/units", summary="Units as polygons")
def units(session: TheSession, service: TheService) -> FeatureCollection:
    """The granted units and the way down to them; ``granted`` says which can be searched."""
    access = service.access(session.account)
    return FeatureCollection(
        features=[
            Feature(
                properties={**unit.properties(), "granted": access.sees(unit.code)},
                geometry=unit.geometry,
            )
            for unit in access.visible_units()
        ]
    )


@router.get("/cameras", summary="Cameras as points")
def cameras(session: TheSession, service: TheService) -> FeatureCollection:
    """The cameras of the granted units, with heading, field of view and range."""
    access = service.access(session.account)
    return FeatureCollection(
        features=[
            Feature(**camera.to_geojson())
            for camera in service.city.cameras.values()
            if access.sees_camera(camera.id)
        ]
    )


@router.get("/streets", summary="The base map")
def streets(_session: TheSession, service: TheService) -> FeatureCollection:
    """Streets as lines, and water, parks and buildings as polygons where the city has them."""
    lines = service.city.streets.to_geojson()["features"]
    whole = [*_landscape(service.city.folder / LANDSCAPE), *lines]
    return FeatureCollection(features=[Feature(**feature) for feature in whole])


@lru_cache(maxsize=4)
def _landscape(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    features: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["features"]
    return features


@router.get("/coverage", summary="What each camera saw")
def coverage(
    session: Searcher,
    service: TheService,
    start: Annotated[str | None, Query(description="ISO 8601 with an offset")] = None,
    end: Annotated[str | None, Query(description="ISO 8601 with an offset; not included")] = None,
    unit: Annotated[
        list[str] | None, Query(description="codes; all that is granted if none")
    ] = None,
) -> list[CameraCoverage]:
    """Sightings per camera in a window, also for cameras that saw nothing."""
    access = service.access(session.account)
    wanted = Scope.parse(units=unit or (), start=start, end=end)
    return _coverage(service, access.narrow(wanted))


def _coverage(service: Service, scope: Scope) -> list[CameraCoverage]:
    if not scope.units:
        raise nothing_there("unit")  # never the whole city by accident
    return [
        CameraCoverage(
            camera=one.camera,
            sightings=one.sightings,
            first=format_time(one.first) if one.sightings else None,
            last=format_time(one.last) if one.sightings else None,
        )
        for one in service.city.coverage(scope)
    ]
