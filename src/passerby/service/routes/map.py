"""What the map draws: the city, its units, cameras and streets, and what the cameras saw."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from passerby.city import Scope
from passerby.city.city import LANDSCAPE
from passerby.service.http import PROBLEMS, Answer, AnyCaller, Searcher
from passerby.service.inputs import Moment, Names
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


class Limits(Answer):
    """Limits that the page shows before the service has to refuse."""

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
    detector: bool = Field(description="whether a detector looks for people in query pictures")
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
def city(caller: AnyCaller) -> CityInfo:
    """Name, time zone, model, limits, and the extent in time of what the account may see."""
    service = caller.service
    root, embedder = service.city.units.roots[0], service.networks.now()
    granted = Scope(units=caller.access.narrow_units(()))
    seen = [one for one in service.city.coverage(granted) if one.sightings]
    return CityInfo(
        name=root.name,
        name_zh=root.name_zh,
        time_zone=service.settings.time_zone,
        model=embedder.model_id,
        calibrated=embedder.card.calibration is not None,
        detector=service.pictures.detector is not None,
        sightings=sum(one.sightings for one in seen),
        first=format_time(min(one.first for one in seen)) if seen else None,
        last=format_time(max(one.last for one in seen)) if seen else None,
        limits=Limits.model_validate(service.settings),
    )


@router.get("/units", summary="Units as polygons")
def units(caller: AnyCaller) -> FeatureCollection:
    """The granted units and the units above them; ``granted`` says which can be searched."""
    access = caller.access
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
def cameras(caller: AnyCaller) -> FeatureCollection:
    """The cameras of the granted units, with heading, field of view and range."""
    return FeatureCollection(
        features=[
            Feature(**camera.to_geojson())
            for camera in caller.service.city.cameras.values()
            if caller.access.sees_camera(camera.id)
        ]
    )


@router.get("/streets", summary="The base map")
def streets(caller: AnyCaller) -> FeatureCollection:
    """Streets as lines, and water, parks and buildings as polygons where the city has them."""
    city = caller.service.city
    features = [*_landscape(city.folder / LANDSCAPE), *city.streets.to_geojson()["features"]]
    return FeatureCollection(features=[Feature(**feature) for feature in features])


@lru_cache(maxsize=4)
def _landscape(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    features: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["features"]
    return features


@router.get("/coverage", summary="What each camera saw")
def coverage(
    caller: Searcher,
    start: Annotated[Moment | None, Query(description="ISO 8601 with an offset")] = None,
    end: Annotated[
        Moment | None, Query(description="ISO 8601 with an offset; not included")
    ] = None,
    unit: Annotated[Names | None, Query(description="codes; all that is granted if none")] = None,
) -> list[CameraCoverage]:
    """Sightings per camera in a window, also for cameras that saw nothing."""
    scope = caller.access.narrow(Scope.parse(units=unit or (), start=start, end=end))
    return [
        CameraCoverage(
            camera=one.camera,
            sightings=one.sightings,
            first=format_time(one.first) if one.sightings else None,
            last=format_time(one.last) if one.sightings else None,
        )
        for one in caller.service.city.coverage(scope)
    ]
