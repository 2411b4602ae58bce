"""Feedback on a search, and the pictures of its own query."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from passerby.service.http import PROBLEMS, Caller, Searcher
from passerby.service.inputs import LARGEST, Name, Names, Number, Wanted
from passerby.service.routes.search import SearchInfo, find_search, look_again, store_search
from passerby.service.searches import Search, Verdict

router = APIRouter(prefix="/api/searches", tags=["search"], responses=PROBLEMS)


class Judgement(Wanted):
    """The operator's feedback on the results; each call replaces the earlier one."""

    confirmed: Names = Field(default=[], description="ids that show the person")
    rejected: Names = Field(default=[], description="ids that do not")


class OneVerdict(Wanted):
    """What the operator says about one result."""

    sighting: Name
    verdict: Verdict | None = Field(description="null takes an earlier verdict back")
    revision: Annotated[int, Field(ge=0, le=LARGEST)] = Field(
        description="the revision of the answer that the operator saw"
    )


@router.put("/{identifier}/judgement", summary="Confirm and reject")
def apply_feedback(identifier: str, judgement: Judgement, caller: Searcher) -> SearchInfo:
    """Set which sightings show the person and which do not; the search is repeated with it."""
    search = find_search(caller, identifier)
    look_again(caller, search)
    confirmed, rejected = tuple(judgement.confirmed), tuple(judgement.rejected)
    again = caller.service.searches.apply_feedback(search, confirmed, rejected)
    return _store_feedback(caller, again, {"confirmed": confirmed, "rejected": rejected})


@router.post("/{identifier}/verdicts", summary="Say of one result who it is")
def give_verdict(identifier: str, given: OneVerdict, caller: Searcher) -> SearchInfo:
    """Set or take back one verdict; the others stay as they are stored.

    The request names the revision it is based on. Where somebody judged meanwhile, the answer is
    409 and nothing is stored: read the search again, compare, and decide.
    """
    search = find_search(caller, identifier)
    look_again(caller, search)
    searches = caller.service.searches
    searches.check_revision(search.id, given.revision)
    again = searches.give_verdict(search, given.sighting, given.verdict)
    details = {"sighting": given.sighting, "verdict": given.verdict or "taken back"}
    lists = {"confirmed": again.confirmed, "rejected": again.rejected}
    return _store_feedback(caller, again, details | lists)


def _store_feedback(caller: Caller, again: Search, details: dict[str, Any]) -> SearchInfo:
    """Store a revision, if nobody stored another one since the one that it follows."""
    searches = caller.service.searches
    with searches.storing:
        searches.check_revision(again.id, again.revision - 1)
        return SearchInfo.of(store_search(caller, again, "judged", details))


@router.get(
    "/{identifier}/pictures/{number}",
    summary="A query picture",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "the person, cut out"}},
)
def query_picture(identifier: str, number: Number, caller: Searcher) -> Response:
    """A picture of the search's own query, cut to its person, while memory still holds it."""
    search = find_search(caller, identifier)
    look_again(caller, search)
    return Response(caller.service.searches.picture(search, number), media_type="image/jpeg")
