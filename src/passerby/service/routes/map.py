"""What the map draws: the city, its units, cameras and streets, and what the cameras saw."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from passerby.city import Scope, geojson
from passerby.city.cameras import History
from passerby.city.city import LANDSCAPE
from passerby.city.gallery import Coverage, StoreError
from passerby.city.recorded import Recording, recorded
from passerby.errors import InputError
from passerby.service.access import Access
from passerby.service.http import PROBLEMS, Answer, AnyCaller, Searcher
from passerby.service.inputs import Moment, Names
from passerby.times import format_time

MOST_SPANS = 100
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
    recorded: float | None = Field(
        description="recorded part of the window, 0..1; null where it is not known"
    )
    spans: list[tuple[str, str]] | None = Field(
        description="what was recorded in the window, from and to, the newest hundred"
    )


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
    """The cameras of the granted units, with heading, field of view and range.

    A camera that has moved is shown where it stood last in the granted units. ``history`` holds
    every version in them, oldest first, each with its place and dates.
    """
    every = caller.service.city.history.values()
    features = (camera_feature(history, caller.access) for history in every)
    return FeatureCollection(features=[feature for feature in features if feature])


def camera_feature(history: History, access: Access) -> Feature | None:
    """Return a camera as an account may see it: its last version in the granted units.

    ``history`` holds every version in them; None where there is none.
    """
    seen = [one for one in history if access.sees(one.unit)]
    if not seen:
        return None
    feature = Feature(**seen[-1].to_geojson())
    feature.properties["history"] = [{**one.properties(), "place": list(one.place)} for one in seen]
    return feature


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
    try:
        return geojson.features(path, "landscape")
    except InputError as error:
        raise StoreError(str(error)) from None  # nobody's request: who keeps the city mends it


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
    parts = recorded(caller.service.city, scope)
    return [_coverage(one, parts.get(one.camera)) for one in caller.service.city.coverage(scope)]


def _coverage(one: Coverage, recording: Recording | None) -> CameraCoverage:
    facts = recording.as_dict() if recording else {"share": None, "spans": None}
    return CameraCoverage(
        camera=one.camera,
        sightings=one.sightings,
        first=format_time(one.first) if one.sightings else None,
        last=format_time(one.last) if one.sightings else None,
        recorded=facts["share"],
        spans=facts["spans"] and facts["spans"][-MOST_SPANS:],
    )
