"""Searches: made in a narrowed scope, judged by the operator, kept without their vectors."""

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from passerby.city import Calibration, City, Scope, SecondStage, Trajectory, find, trace
from passerby.city.networks import Networks
from passerby.city.search import Found, Match, Per
from passerby.city.sightings import FloatArray
from passerby.errors import InputError
from passerby.service.database import SEARCHES, Database, now
from passerby.service.refusals import Refusal
from passerby.service.settings import Settings

MOST_IN_MEMORY = 500
LIKELY = 0.5  # a calibrated best score below it is told as "no good match"


@dataclass(frozen=True, kw_only=True)
class Search:
    """One search and its present answer.

    Attributes:
        id: unguessable.
        account: who made it; nobody else can go on with it.
        case: for what.
        created: ms since the epoch.
        audit: number of its entry in the audit.
        model: id of the network of its vectors.
        scope: where and when, already narrowed to the account's units.
        limit: the longest list wanted.
        group: one match a tracklet, a visit to a camera, or a sighting.
        pictures: SHA-256 of the query pictures; ``sightings`` those of the gallery.
        answer: what was found (facts only), best first.
        confirmed: ids of sightings the operator says show the person; ``rejected`` do not.
        revision: how often it was judged.
    """

    id: str
    account: str
    case: str
    created: int
    model: str
    scope: Scope
    limit: int
    pictures: tuple[str, ...]
    sightings: tuple[str, ...]
    answer: dict[str, Any] = field(default_factory=dict)
    confirmed: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    group: Per = "tracklet"
    revision: int = 0
    audit: int = 0

    @property
    def result_ids(self) -> list[str]:
        """Ids of everything in the answer, group members included."""
        matches = self.answer.get("matches", [])
        return [name for match in matches for name in (match["id"], *match["members"])]

    def verdict(self) -> str:
        """How to read the answer: "empty", "weak", "found", or "uncalibrated"."""
        matches = self.answer.get("matches", [])
        if not matches:
            return "empty"
        if not self.answer["calibrated"]:
            return "uncalibrated"
        best = max(match["score"] for match in matches)
        return "found" if best >= LIKELY or self.confirmed else "weak"


class Searches:
    """Make, judge and find again the searches of one city.

    The query's vectors live in memory alone and only for a while; an old search can be read, but
    to go on with it the operator gives the pictures again.
    """

    def __init__(
        self,
        city: City,
        networks: Networks,
        database: Database,
        settings: Settings,
        second_stage: SecondStage | None = None,
    ) -> None:
        self.city = city
        self.networks = networks
        self.database = database
        self.settings = settings
        self.second_stage = second_stage
        self._vectors: OrderedDict[str, tuple[int, FloatArray]] = OrderedDict()
        self._lock = threading.Lock()

    def make(
        self,
        vectors: FloatArray,
        scope: Scope,
        *,
        model: str,
        account: str,
        case: str,
        limit: int,
        pictures: tuple[str, ...],
        sightings: tuple[str, ...],
        group: Per = "tracklet",
    ) -> Search:
        """Search, and remember the vectors for judging; the caller stores the search."""
        if self.city.gallery.dimension is None:
            raise Refusal(
                409,
                "empty_gallery",
                "The city has no sightings yet.",
                "Ingest a clip or crops first: passerby ingest --help.",
            )
        search = Search(
            id=secrets.token_urlsafe(12),
            account=account,
            case=case,
            created=now(),
            model=model,
            scope=scope,
            limit=limit,
            pictures=pictures,
            sightings=sightings,
            group=group,
            confirmed=sightings,  # who asks "where else?" has said who it is
        )
        answered = self._answered(search, vectors)
        with self._lock:
            self._vectors[search.id] = (search.created, vectors)
            while len(self._vectors) > MOST_IN_MEMORY:
                self._vectors.popitem(last=False)
        return answered

    def judge(
        self, search: Search, confirmed: tuple[str, ...], rejected: tuple[str, ...]
    ) -> Search:
        """Search again: confirmed sightings join the query, rejected ones leave the list.

        Raises:
            InputError: an id that the search did not find, or that is in both lists.
            Refusal: 409, the query is no longer in memory.
        """
        known = {*search.result_ids, *search.confirmed, *search.rejected}
        for name in (*confirmed, *rejected):
            if name not in known:
                raise InputError(f"this search did not find '{name}'; judge what it found")
        if set(confirmed) & set(rejected):
            raise InputError("a sighting is both confirmed and rejected; choose one")
        judged = replace(
            search, confirmed=confirmed, rejected=rejected, revision=search.revision + 1
        )
        return self._answered(judged, self.vectors(search))

    def vectors(self, search: Search) -> FloatArray:
        """The query's vectors.

        Raises:
            Refusal: 409, they have left the memory, or are of the network before.
        """
        oldest = now() - int(self.settings.query_minutes * 60_000)
        with self._lock:
            for key in [k for k, (made, _) in self._vectors.items() if made < oldest]:
                del self._vectors[key]
            held = self._vectors.get(search.id)
        if held is None:
            raise Refusal(
                409,
                "query_forgotten",
                "The query pictures of this search are no longer held.",
                "Add the picture again and search anew.",
            )
        if search.model != self.networks.now().model_id:
            raise Refusal(
                409,
                "other_network",
                "The city has changed to another network since this search.",
                "Add the picture again and search anew.",
            )
        return held[1]

    def forget(self, account: str) -> None:
        """Drop the vectors of an account's searches, as when it signs out."""
        mine = {search.id for search in self.of(account)}
        with self._lock:
            for key in mine & set(self._vectors):
                del self._vectors[key]

    def trace(self, search: Search) -> Trajectory:
        """Where the person went, through confirmed sightings and around rejected ones.

        Raises:
            Refusal: 409, the query is no longer in memory.
        """
        return trace(
            self.city,
            self.vectors(search),
            search.scope,
            model=search.model,
            calibration=self._calibration(search),
            confirmed=search.confirmed,
            rejected=search.rejected,
        )

    def _person(self, search: Search, vectors: FloatArray) -> FloatArray:
        """(Q, D) vectors of the query and of every confirmed sighting."""
        if not search.confirmed:
            return vectors
        confirmed = self.city.gallery.vectors(search.confirmed, model=search.model)
        return np.concatenate([vectors, confirmed])

    def _calibration(self, search: Search) -> Calibration:
        return Calibration.from_card(self.networks.named(search.model).card.calibration)

    def _answered(self, search: Search, vectors: FloatArray) -> Search:
        stage = self.second_stage
        if stage is not None and stage.card.model_id != search.model:
            stage = None
        person = self._person(search, vectors)
        found = find(
            self.city,
            person,
            search.scope,
            k=search.limit + len(search.rejected),
            per=search.group,
            model=search.model,
            calibration=self._calibration(search),
            second_stage=stage,
        )
        return replace(search, answer=_facts(found, search))

    # kept ------------------------------------------------------------------------------------

    def store(self, search: Search) -> None:
        """Write a search (again); no vector is written."""
        record = {
            "model": search.model,
            "scope": search.scope.as_dict(),
            "limit": search.limit,
            "group": search.group,
            "pictures": search.pictures,
            "sightings": search.sightings,
            "answer": search.answer,
            "confirmed": search.confirmed,
            "rejected": search.rejected,
            "revision": search.revision,
        }
        row = {
            "id": search.id,
            "account": search.account,
            "case": search.case,
            "created": search.created,
            "audit": search.audit,
            "record": record,
        }
        with self.database.write() as connection:
            connection.execute(SEARCHES.delete().where(SEARCHES.c.id == search.id))
            connection.execute(SEARCHES.insert().values(row))

    def get(self, identifier: str) -> Search | None:
        """The search of that id, or None."""
        return next(iter(self._select(SEARCHES.c.id == identifier)), None)

    def of(self, account: str) -> list[Search]:
        """An account's searches, newest first."""
        return self._select(SEARCHES.c.account == account)

    def _select(self, condition: Any) -> list[Search]:
        query = sa.select(SEARCHES).where(condition).order_by(SEARCHES.c.created.desc())
        with self.database.read() as connection:
            return [_search(row) for row in connection.execute(query)]


def _facts(found: Found, search: Search) -> dict[str, Any]:
    """The answer as JSON: confirmed groups first, rejected ones left out, cut to its length."""
    confirmed, rejected = set(search.confirmed), set(search.rejected)
    kept = [match for match in found.matches if rejected.isdisjoint(_ids(match))]
    kept.sort(key=lambda match: confirmed.isdisjoint(_ids(match)))
    return {
        "searched": found.searched,
        "calibrated": found.calibrated,
        "reranked": found.reranked,
        "second_stage": found.second_stage,
        "matches": [
            {"rank": rank, **match.as_dict()} for rank, match in enumerate(kept[: search.limit], 1)
        ],
    }


def _ids(match: Match) -> list[str]:
    return [match.sighting.id, *(member.id for member in match.members)]


def _search(row: sa.Row[Any]) -> Search:
    record = row.record
    return Search(
        id=row.id,
        account=row.account,
        case=row.case,
        created=row.created,
        audit=row.audit,
        model=record.get("model", ""),
        scope=Scope.parse(**record["scope"]),
        limit=record["limit"],
        group=record.get("group", "tracklet"),
        pictures=tuple(record["pictures"]),
        sightings=tuple(record["sightings"]),
        answer=record["answer"],
        confirmed=tuple(record["confirmed"]),
        rejected=tuple(record["rejected"]),
        revision=record["revision"],
    )
