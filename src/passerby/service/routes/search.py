"""The operator's way: search, give feedback, follow the person's path."""

from dataclasses import replace
from math import isfinite
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, Field

from passerby.city import Match, Trajectory
from passerby.city.search import Per
from passerby.city.sightings import FloatArray
from passerby.ingest.enhancement import enhance
from passerby.runtime import Embedder
from passerby.service.access import Refusal, not_found
from passerby.service.cases import Case
from passerby.service.http import (
    PROBLEMS,
    Answer,
    Caller,
    ScopeModel,
    Searcher,
    Time,
    rounded,
)
from passerby.service.inputs import Name, Names, Number, Wanted
from passerby.service.pictures import small_jpeg
from passerby.service.routes.facts import require_units
from passerby.service.routes.sightings import SightingInfo, find_sightings
from passerby.service.searches import Query, Search
from passerby.times import format_time

router = APIRouter(prefix="/api/searches", tags=["search"], responses=PROBLEMS)
trajectory_router = APIRouter(prefix="/api/searches", tags=["trajectory"], responses=PROBLEMS)


Pixel = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class PictureChoice(Wanted):
    """An uploaded picture and the person in it."""

    id: Name
    box: tuple[Pixel, Pixel, Pixel, Pixel] | None = Field(
        default=None, description="x0, y0, x1, y1 in pixels; the whole picture without one"
    )
    enhance: Literal["auto", "off"] = Field(
        default="auto", description="auto: brighten the person where the picture is dark"
    )


class NewSearch(Wanted):
    """A person, a place, a window, and the case that allows it."""

    case: Name
    pictures: Annotated[list[PictureChoice], Field(max_length=100)] = Field(
        default=[], description="all of the same person"
    )
    sightings: Names = Field(default=[], description="sightings of the gallery as the query")
    scope: ScopeModel = ScopeModel()
    where: Annotated[str, Field(max_length=2000)] = Field(
        default="",
        description="only units in the scope that meet a condition, see `/api/units/chosen`",
    )
    limit: Annotated[Number, Field(description="longest list wanted")] = 50
    group: Per = Field(
        default="tracklet", description="one match a tracklet, a visit to a camera, or a sighting"
    )


class MatchInfo(SightingInfo):
    """One result: the best sighting of a tracklet or visit."""

    rank: int
    similarity: float = Field(description="cosine similarity, -1..1")
    score: float = Field(description="0..1; a probability only where the answer is calibrated")
    members: list[str] = Field(description="further sightings of the same group, best first")

    @classmethod
    def of(cls, match: Match, rank: int) -> "MatchInfo":
        """Return a match with its place in the list."""
        return cls(
            **dict(SightingInfo.model_validate(match.sighting)),
            rank=rank,
            similarity=round(match.similarity, 6),
            score=round(match.score, 6),
            members=list(match.members),
        )


class SearchInfo(BaseModel):
    """An answer. It is a lead; a person has to verify it."""

    id: str
    audit: int = Field(description="number of the audit's entry for this search")
    case: str
    account: str
    created: str
    model: str
    scope: ScopeModel = Field(description="what was searched, after narrowing to the grants")
    where: str = Field(description="the condition that chose the units of the scope")
    searched: int = Field(description="sightings in the scope")
    calibrated: bool = Field(description="whether scores are probabilities")
    reranked: bool
    second_stage: bool = Field(description="whether Diff Attention ordered the first candidates")
    group: Per
    verdict: str = Field(description="empty, weak (no good match), found, or uncalibrated")
    revision: int
    forgotten: int = Field(description="sightings of the answer that were deleted since")
    confirmed: list[str]
    rejected: list[str]
    cameras: list[str] = Field(description="cameras that the scope searched")
    silent: list[str] = Field(description="of these, those that saw nobody in the window")
    recorded: dict[str, float | None] = Field(
        description="camera -> recorded part of the window, 0..1; null where it is not known"
    )
    query_sightings: list[str]
    enhanced: list[bool] = Field(description="whether each query picture was brightened")
    query_pictures: list[str] = Field(description="SHA-256 of each query picture, in order")
    matches: list[MatchInfo]

    @classmethod
    def of(cls, search: Search) -> "SearchInfo":
        """Return a search with its present answer."""
        query, found = search.query, search.found
        return cls(
            id=search.id,
            audit=search.audit,
            case=query.case,
            account=query.account,
            created=format_time(search.created),
            model=query.model,
            scope=ScopeModel.of(query.scope),
            where=query.where,
            searched=found.searched,
            calibrated=found.calibrated,
            reranked=found.reranked,
            second_stage=found.second_stage,
            group=query.group,
            verdict=search.verdict,
            revision=search.revision,
            forgotten=search.forgotten,
            confirmed=list(search.confirmed),
            rejected=list(search.rejected),
            cameras=list(found.cameras),
            silent=list(found.silent),
            recorded=dict(found.recorded),
            query_sightings=list(query.sightings),
            enhanced=list(query.enhanced),
            query_pictures=list(query.pictures),
            matches=[MatchInfo.of(match, rank) for rank, match in enumerate(found.matches, 1)],
        )


class SearchLine(BaseModel):
    """A search in a list."""

    id: str
    audit: int
    case: str
    created: str
    scope: ScopeModel
    results: int
    confirmed: int


def _metres(distance: float) -> float | None:
    """A distance for JSON, which has no infinite numbers."""
    return round(distance, 1) if isfinite(distance) else None


class VisitInfo(Answer):
    """The person before one camera."""

    camera: str
    unit: str
    place: tuple[float, float] = Field(description="longitude, latitude")
    arrive: Time
    leave: Time
    confidence: Annotated[float, rounded(4)] = Field(
        description="0..1, the chance that the person passed here"
    )
    sightings: list[SightingInfo]


class LegInfo(Answer):
    """Between two visits; the path is the shortest way, not what was seen."""

    origin: str
    target: str
    distance_m: Annotated[float | None, BeforeValidator(_metres)] = Field(
        description="shortest way; null where there is none"
    )
    seconds: Annotated[float, rounded(1)]
    speed: Annotated[float, rounded(2)] | None = Field(description="m/s along the shortest way")
    known: bool = Field(description="false: a gap, nobody knows where the person was")
    reason: str
    unrecorded: list[str] = Field(description="cameras on the way that did not record meanwhile")
    path: list[tuple[float, float]]


class PathInfo(Answer):
    """One possible path."""

    visits: list[VisitInfo]
    legs: list[LegInfo] = Field(description="legs[i] leads from visits[i] to visits[i + 1]")


class TrajectoryInfo(PathInfo):
    """The best path and others; without visits, nobody in the scope is likely the person."""

    search: str
    revision: int
    alternatives: list[PathInfo]

    @classmethod
    def of(cls, trajectory: Trajectory, search: Search) -> "TrajectoryInfo":
        """Return a trajectory with the search that it belongs to."""
        return cls(
            **dict(PathInfo.model_validate(trajectory)),
            search=search.id,
            revision=search.revision,
            alternatives=[PathInfo.model_validate(path) for path in trajectory.alternatives],
        )


# routes ------------------------------------------------------------------------------------------


@router.post("", summary="Search for a person", status_code=201)
def make(new: NewSearch, caller: Searcher) -> SearchInfo:
    """Embed the query, narrow the scope to the grants, search, record the search in the audit."""
    service, account = caller.service, caller.account
    case = caller.require_case(new.case)
    scope = caller.access.narrow(new.scope.scope())
    if new.where:
        scope = replace(scope, units=require_units(caller, new.where, scope.units).outermost)
    approval = service.width.allow(scope, case=case.id, account=account.name)
    embedder = service.networks.now()
    vectors, crops, enhanced = _embed(new, caller, embedder)
    query = Query(
        account=account.name,
        case=case.id,
        model=embedder.model_id,
        scope=scope,
        limit=min(new.limit, service.settings.most_results),
        group=new.group,
        pictures=tuple(digest for digest, _ in crops),
        sightings=tuple(new.sightings),
        enhanced=enhanced,
        where=new.where,
    )
    search = service.searches.make(query, vectors, tuple(small_jpeg(crop) for _, crop in crops))
    details: dict[str, Any] = {"approval": approval.id if approval else None}
    if new.where:
        details["where"] = new.where
    return SearchInfo.of(store_search(caller, search, "searched", details))


def _embed(
    new: NewSearch, caller: Caller, embedder: Embedder
) -> tuple[FloatArray, list[tuple[str, NDArray[np.uint8]]], tuple[bool, ...]]:
    """Return (Q, D) vectors, each picture's hash with its person, and which were brightened."""
    service = caller.service
    wanted = len(new.pictures) + len(new.sightings)
    if not 1 <= wanted <= service.settings.most_pictures:
        raise Refusal(
            422,
            "no_query" if wanted == 0 else "too_many_pictures",
            f"The search has {wanted} query pictures.",
            f"Give 1 to {service.settings.most_pictures} pictures of the same person.",
        )
    chosen = [service.pictures.get(one.id, caller.account.name) for one in new.pictures]
    crops = [picture.crop(choice.box) for picture, choice in zip(chosen, new.pictures, strict=True)]
    better = [
        enhance(crop) if choice.enhance == "auto" else crop
        for crop, choice in zip(crops, new.pictures, strict=True)
    ]
    enhanced = tuple(after is not before for before, after in zip(crops, better, strict=True))
    parts = [embedder.embed(better)] if better else []
    if new.sightings:
        find_sightings(caller, new.sightings)
        parts.append(service.city.gallery.vectors(new.sightings, model=embedder.model_id))
    digests = [picture.digest for picture in chosen]
    return np.concatenate(parts), list(zip(digests, better, strict=True)), enhanced


def store_search(caller: Caller, search: Search, action: str, details: dict[str, Any]) -> Search:
    """Record a search or its feedback in the audit, then store it with the entry's number."""
    query = search.query
    common = {
        "search": search.id,
        "scope": query.scope.as_dict(),
        "pictures": query.pictures,
        "sightings": query.sightings,
        "enhanced": query.enhanced,
        "model": query.model,
        "results": search.result_ids,
    }
    entry = caller.record(action, {**common, **details}, case=query.case, units=query.scope.units)
    stored = replace(search, audit=entry.number)
    caller.service.searches.store(stored)
    return stored


def find_search(caller: Caller, identifier: str) -> Search:
    """Return the caller's own search, if all its units are still granted.

    Raises:
        Refusal: 404.
    """
    search = caller.service.searches.get(identifier)
    if search is None or search.query.account != caller.account.name:
        raise not_found("search")
    if not caller.access.covers(search.query.scope.units):
        raise not_found("search")
    return search


def look_again(caller: Caller, search: Search) -> Case:
    """Return the open case of a search whose scope may still be looked at.

    Raises:
        Refusal: 403 for a case that is no longer open, or an approval that has lapsed.
    """
    case = caller.require_case(search.query.case)
    caller.service.width.allow(search.query.scope, case=case.id, account=caller.account.name)
    return case


@router.get("", summary="The account's searches")
def searches(caller: Searcher, case: Name | None = None) -> list[SearchLine]:
    """The account's searches, newest first; with ``case``, those of one case."""
    return [
        SearchLine(
            id=search.id,
            audit=search.audit,
            case=search.query.case,
            created=format_time(search.created),
            scope=ScopeModel.of(search.query.scope),
            results=len(search.found.matches),
            confirmed=len(search.confirmed),
        )
        for search in caller.service.searches.of(caller.account.name)
        if case in (None, search.query.case) and caller.access.covers(search.query.scope.units)
    ]


@router.get("/{identifier}", summary="A search")
def read(identifier: str, caller: Searcher) -> SearchInfo:
    """A search of the account with its present answer, while its case is open."""
    search = find_search(caller, identifier)
    case = caller.require_case(search.query.case)
    details = {"search": search.id, "results": search.result_ids}
    caller.record("search_read", details, case=case.id, units=search.query.scope.units)
    return SearchInfo.of(search)


@trajectory_router.get("/{identifier}/trajectory", summary="The person's path")
def trajectory(identifier: str, caller: Searcher) -> TrajectoryInfo:
    """The best path through the search's scope, with up to two alternatives.

    Confirmed sightings are on every path, rejected ones on none.
    """
    search = find_search(caller, identifier)
    look_again(caller, search)
    found = caller.service.searches.trace(search)
    details = {"search": search.id, "sightings": [one.id for one in found.sightings]}
    caller.record("traced", details, case=search.query.case, units=search.query.scope.units)
    return TrajectoryInfo.of(found, search)
