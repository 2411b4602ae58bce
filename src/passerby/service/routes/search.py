"""The operator's way: upload a picture, search, give feedback, follow the person's path."""

from dataclasses import replace
from math import isfinite
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, File, UploadFile
from pydantic import BaseModel, BeforeValidator, Field

from passerby.city import Match, Trajectory
from passerby.city.search import Per
from passerby.city.sightings import FloatArray
from passerby.ingest.enhancement import enhance
from passerby.ingest.query import Box
from passerby.runtime import Embedder
from passerby.service.access import Refusal, not_found
from passerby.service.cases import require_open
from passerby.service.http import PROBLEMS, Answer, Caller, ScopeModel, Searcher, Time, rounded
from passerby.service.pictures import QueryPicture
from passerby.service.routes.sightings import SightingInfo, find_sightings
from passerby.service.searches import Query, Search
from passerby.times import format_time

pictures_router = APIRouter(prefix="/api/pictures", tags=["search"], responses=PROBLEMS)
router = APIRouter(prefix="/api/searches", tags=["search"], responses=PROBLEMS)
trajectory_router = APIRouter(prefix="/api/searches", tags=["trajectory"], responses=PROBLEMS)


class PersonBox(BaseModel):
    """A person that the detector saw in the picture."""

    box: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1 in pixels")
    score: Annotated[float, rounded(4)]


class PictureInfo(BaseModel):
    """An uploaded picture, ready to be searched for."""

    id: str = Field(description="names the picture in a search; it is held in memory for a while")
    width: int
    height: int
    people: list[PersonBox] = Field(description="best first; empty without a detector")
    detected: bool = Field(description="whether a detector looked at the picture")
    warnings: list[str] = Field(
        description="unlike_a_crop, low_resolution, low_contrast: the answer may be poor"
    )

    @classmethod
    def of(cls, picture: QueryPicture) -> "PictureInfo":
        """Return what the page needs of a picture."""
        height, width = picture.image.shape[:2]
        people = picture.people
        boxes = [] if people is None else people.boxes.tolist()
        scores = [] if people is None else people.scores.tolist()
        return cls(
            id=picture.id,
            width=width,
            height=height,
            people=[
                PersonBox(box=box, score=score) for box, score in zip(boxes, scores, strict=True)
            ],
            detected=people is not None,
            warnings=list(picture.warnings),
        )


class PictureChoice(BaseModel):
    """An uploaded picture and the person in it."""

    id: str
    box: Box | None = Field(default=None, description="pixels; the whole picture without one")
    enhance: Literal["auto", "off"] = Field(
        default="auto", description="auto: brighten the person where the picture is dark"
    )


class NewSearch(BaseModel):
    """A person, a place, a window, and the case that allows it."""

    case: str
    pictures: list[PictureChoice] = Field(default=[], description="all of the same person")
    sightings: list[str] = Field(default=[], description="sightings of the gallery as the query")
    scope: ScopeModel = ScopeModel()
    limit: Annotated[int, Field(ge=1, description="longest list wanted")] = 50
    group: Per = Field(
        default="tracklet", description="one match a tracklet, a visit to a camera, or a sighting"
    )


class Judgement(BaseModel):
    """The operator's feedback on the results; each call replaces the earlier one."""

    confirmed: list[str] = Field(default=[], description="ids that show the person")
    rejected: list[str] = Field(default=[], description="ids that do not")


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
    searched: int = Field(description="sightings in the scope")
    calibrated: bool = Field(description="whether scores are probabilities")
    reranked: bool
    second_stage: bool = Field(description="whether Diff Attention ordered the first candidates")
    group: Per
    verdict: str = Field(description="empty, weak (no good match), found, or uncalibrated")
    revision: int
    confirmed: list[str]
    rejected: list[str]
    cameras: list[str] = Field(description="cameras that the scope searched")
    silent: list[str] = Field(description="of these, those that saw nobody in the window")
    recorded: dict[str, float | None] = Field(
        description="camera -> recorded part of the window, 0..1; null where it is not known"
    )
    query_sightings: list[str]
    enhanced: list[bool] = Field(description="whether each query picture was brightened")
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
            searched=found.searched,
            calibrated=found.calibrated,
            reranked=found.reranked,
            second_stage=found.second_stage,
            group=query.group,
            verdict=search.verdict,
            revision=search.revision,
            confirmed=list(search.confirmed),
            rejected=list(search.rejected),
            cameras=list(found.cameras),
            silent=list(found.silent),
            recorded=dict(found.recorded),
            query_sightings=list(query.sightings),
            enhanced=list(query.enhanced),
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


@pictures_router.post(
    "",
    summary="Upload a query picture",
    status_code=201,
    responses={
        413: {"description": "Too large, in bytes or in pixels"},
        415: {"description": "Not a picture"},
        422: {"description": "Unreadable, too small, or no person in it"},
    },
)
def add(
    caller: Searcher,
    file: Annotated[UploadFile, File(description="JPEG, PNG, WebP, BMP or TIFF")],
) -> PictureInfo:
    """Check a picture and hold it in memory for a search; it is never written to disk."""
    return PictureInfo.of(caller.service.pictures.add(file.file.read(), caller.account.name))


@router.post("", summary="Search for a person", status_code=201)
def make(new: NewSearch, caller: Searcher) -> SearchInfo:
    """Embed the query, narrow the scope to the grants, search, record the search in the audit."""
    service, account = caller.service, caller.account
    case = require_open(caller.find_case(new.case))
    scope = caller.access.narrow(new.scope.scope())
    approval = service.approvals.check(
        scope, case=case.id, account=account.name, units=service.city.units
    )
    embedder = service.networks.now()
    vectors, digests, enhanced = _embed(new, caller, embedder)
    query = Query(
        account=account.name,
        case=case.id,
        model=embedder.model_id,
        scope=scope,
        limit=min(new.limit, service.settings.most_results),
        group=new.group,
        pictures=digests,
        sightings=tuple(new.sightings),
        enhanced=enhanced,
    )
    search = service.searches.make(query, vectors)
    details = {"approval": approval.id if approval else None}
    return SearchInfo.of(_store(caller, search, "searched", details))


def _embed(
    new: NewSearch, caller: Caller, embedder: Embedder
) -> tuple[FloatArray, tuple[str, ...], tuple[bool, ...]]:
    """Return (Q, D) vectors of the query, its pictures' hashes, and which were brightened."""
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
    return np.concatenate(parts), tuple(picture.digest for picture in chosen), enhanced


def _store(caller: Caller, search: Search, action: str, details: dict[str, Any]) -> Search:
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


@router.get("", summary="The account's searches")
def searches(caller: Searcher, case: str | None = None) -> list[SearchLine]:
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
    """A search of the account with its present answer."""
    return SearchInfo.of(find_search(caller, identifier))


@router.put("/{identifier}/judgement", summary="Confirm and reject")
def apply_feedback(identifier: str, judgement: Judgement, caller: Searcher) -> SearchInfo:
    """Set which sightings show the person and which do not; the search is repeated with it."""
    search = find_search(caller, identifier)
    require_open(caller.find_case(search.query.case))
    confirmed, rejected = tuple(judgement.confirmed), tuple(judgement.rejected)
    again = caller.service.searches.apply_feedback(search, confirmed, rejected)
    details = {"confirmed": confirmed, "rejected": rejected}
    return SearchInfo.of(_store(caller, again, "judged", details))


@trajectory_router.get("/{identifier}/trajectory", summary="The person's path")
def trajectory(identifier: str, caller: Searcher) -> TrajectoryInfo:
    """The best path through the search's scope, with up to two alternatives.

    Confirmed sightings are on every path, rejected ones on none.
    """
    search = find_search(caller, identifier)
    found = caller.service.searches.trace(search)
    details = {"search": search.id, "sightings": [one.id for one in found.sightings]}
    caller.record("traced", details, case=search.query.case, units=search.query.scope.units)
    return TrajectoryInfo.of(found, search)
