"""Searches: make, read, judge."""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, Field

from passerby.city.search import Per
from passerby.city.sightings import FloatArray
from passerby.runtime import Embedder
from passerby.service.cases import require_open
from passerby.service.http import PROBLEMS, Searcher, Service, TheService
from passerby.service.pictures import Box
from passerby.service.refusals import Refusal, nothing_there
from passerby.service.routes.cases import ScopeModel, find_case
from passerby.service.routes.sightings import SightingInfo, find_sightings
from passerby.service.searches import Search
from passerby.service.sessions import Session
from passerby.times import format_time

router = APIRouter(prefix="/api/searches", tags=["search"], responses=PROBLEMS)


class PictureChoice(BaseModel):
    """An uploaded picture and the person in it."""

    id: str
    box: Box | None = Field(default=None, description="pixels; the whole picture without one")


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
    """What the operator says of the results; each call gives the whole of it."""

    confirmed: list[str] = Field(default=[], description="ids that show the person")
    rejected: list[str] = Field(default=[], description="ids that do not")


class MatchInfo(SightingInfo):
    """One result: the best sighting of a tracklet or visit."""

    rank: int
    similarity: float = Field(description="cosine similarity, -1..1")
    score: float = Field(description="0..1; a probability only where the answer is calibrated")
    members: list[str] = Field(description="further sightings of the same group, best first")


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
    query_sightings: list[str]
    matches: list[MatchInfo]


def search_info(service: Service, session: Session, search: Search) -> SearchInfo:
    """A search as its account may see it."""
    access = service.access(session.account)
    seen = {one.camera for one in service.city.coverage(search.scope) if one.sightings}
    cameras = access.cameras_in(search.scope)
    return SearchInfo(
        id=search.id,
        audit=search.audit,
        case=search.case,
        account=search.account,
        created=format_time(search.created),
        model=search.model,
        scope=ScopeModel.of(search.scope),
        searched=search.answer["searched"],
        calibrated=search.answer["calibrated"],
        reranked=search.answer["reranked"],
        second_stage=search.answer.get("second_stage", False),
        group=search.group,
        verdict=search.verdict(),
        revision=search.revision,
        confirmed=list(search.confirmed),
        rejected=list(search.rejected),
        cameras=cameras,
        silent=[camera for camera in cameras if camera not in seen],
        query_sightings=list(search.sightings),
        matches=[MatchInfo(**match) for match in search.answer["matches"]],
    )


def find_search(service: Service, session: Session, identifier: str) -> Search:
    """An account's own search, where it still sees all of its units.

    Raises:
        Refusal: 404.
    """
    search = service.searches.get(identifier)
    if search is None or search.account != session.account.name:
        raise nothing_there("search")
    if not service.access(session.account).covers(search.scope.units):
        raise nothing_there("search")
    return search


@router.post("", summary="Search for a person", status_code=201)
def make(new: NewSearch, session: Searcher, service: TheService) -> SearchInfo:
    """Embed the query, narrow the scope to the grants, search, note it in the audit."""
    account = session.account
    case = require_open(find_case(service, account, new.case))
    access = service.access(account)
    scope = access.narrow(new.scope.scope())
    approval = service.approvals.check(
        scope, case=case.id, account=account.name, units=service.city.units
    )
    embedder = service.embedder
    vectors, digests = _query(new, session, service, embedder)
    search = service.searches.make(
        vectors,
        scope,
        model=embedder.model_id,
        account=account.name,
        case=case.id,
        limit=min(new.limit, service.settings.most_results),
        pictures=digests,
        sightings=tuple(new.sightings),
        group=new.group,
    )
    details = {"approval": approval.id if approval else None}
    return search_info(service, session, note(service, search, "searched", details))


def note(service: Service, search: Search, action: str, details: dict[str, Any]) -> Search:
    """Enter a search or its new judgement in the audit, then store it under that number."""
    entry = service.audit.append(
        action,
        account=search.account,
        case=search.case,
        units=search.scope.units,
        details={
            "search": search.id,
            "scope": search.scope.as_dict(),
            "pictures": search.pictures,
            "sightings": search.sightings,
            "model": search.model,
            "results": search.result_ids,
            **details,
        },
    )
    stored = Search(**{**vars(search), "audit": entry.number})
    service.searches.store(stored)
    return stored


def _query(
    new: NewSearch, session: Session, service: Service, embedder: Embedder
) -> tuple[FloatArray, tuple[str, ...]]:
    """(Q, D) vectors of the query, and the hashes of its pictures."""
    wanted = len(new.pictures) + len(new.sightings)
    if not 1 <= wanted <= service.settings.most_pictures:
        raise Refusal(
            422,
            "no_query" if wanted == 0 else "too_many_pictures",
            f"The search has {wanted} query pictures.",
            f"Give 1 to {service.settings.most_pictures} pictures of the same person.",
        )
    chosen = [service.pictures.get(one.id, session.account.name) for one in new.pictures]
    crops = [picture.crop(choice.box) for picture, choice in zip(chosen, new.pictures, strict=True)]
    parts = []
    if crops:
        parts.append(embedder.embed(crops))
    if new.sightings:
        find_sightings(service, session, new.sightings)
        parts.append(service.city.gallery.vectors(new.sightings, model=embedder.model_id))
    return np.concatenate(parts), tuple(picture.digest for picture in chosen)


class SearchLine(BaseModel):
    """A search in a list."""

    id: str
    audit: int
    case: str
    created: str
    scope: ScopeModel
    results: int
    confirmed: int


@router.get("", summary="The account's searches")
def searches(session: Searcher, service: TheService, case: str | None = None) -> list[SearchLine]:
    """Newest first, perhaps of one case alone."""
    access = service.access(session.account)
    return [
        SearchLine(
            id=one.id,
            audit=one.audit,
            case=one.case,
            created=format_time(one.created),
            scope=ScopeModel.of(one.scope),
            results=len(one.answer["matches"]),
            confirmed=len(one.confirmed),
        )
        for one in service.searches.of(session.account.name)
        if (case is None or one.case == case) and access.covers(one.scope.units)
    ]


@router.get("/{identifier}", summary="A search")
def read(identifier: str, session: Searcher, service: TheService) -> SearchInfo:
    """A search of the account with its present answer."""
    return search_info(service, session, find_search(service, session, identifier))


@router.put("/{identifier}/judgement", summary="Confirm and reject")
def judge(
    identifier: str, judgement: Judgement, session: Searcher, service: TheService
) -> SearchInfo:
    """Say which sightings show the person; the list is made anew with what is known now."""
    search = find_search(service, session, identifier)
    require_open(find_case(service, session.account, search.case))
    judged = service.searches.judge(search, tuple(judgement.confirmed), tuple(judgement.rejected))
    details = {"confirmed": judged.confirmed, "rejected": judged.rejected}
    return search_info(service, session, note(service, judged, "judged", details))
