"""Searches: find a person, search again with the operator's feedback, store the answer.

One answer stays one value on its way: :class:`passerby.city.Found` comes from the gallery, is part
of a :class:`Search`, is stored, and is what the routes, the exports and the audit read.
"""

import json
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import sqlalchemy as sa

from passerby.city import Calibration, City, Found, Scope, SecondStage, Trajectory, find, trace
from passerby.city.networks import Networks
from passerby.city.search import Per
from passerby.city.sightings import FloatArray
from passerby.service.access import CodedError, Refusal, not_found
from passerby.service.database import SEARCHES, Database, now
from passerby.service.retention import record_digest
from passerby.service.settings import Settings

MOST_IN_MEMORY = 500
Verdict = Literal["confirmed", "rejected"]
LIKELY = 0.5  # with a smaller best score, a calibrated answer has no good match


@dataclass(frozen=True, kw_only=True)
class Query:
    """Whom to look for, where and when, and for which case.

    Attributes:
        account: the account that searches.
        case: number of the case.
        model: id of the network that made the query's vectors.
        scope: where and when, already narrowed to the account's units.
        limit: the longest list wanted.
        group: one match a tracklet, a visit to a camera, or a sighting.
        pictures: SHA-256 of each query picture.
        sightings: ids of the sightings that are the query, beside or instead of pictures.
        enhanced: whether each query picture was dark and was brightened.
        where: the condition that chose the units of the scope; empty without one.
    """

    account: str
    case: str
    model: str
    scope: Scope
    limit: int
    group: Per
    pictures: tuple[str, ...]
    sightings: tuple[str, ...]
    enhanced: tuple[bool, ...] = ()
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Search:
    """One search and its present answer.

    Attributes:
        id: random, so that nobody can guess it.
        created: ms since the epoch.
        query: what was searched.
        found: the answer, best match first; it holds no vectors.
        confirmed: ids of sightings that show the person, as the operator says.
        rejected: ids of sightings that show another person, as the operator says.
        revision: how often the operator has given feedback.
        audit: number of the audit's entry for the search or its last feedback.
        forgotten: how many sightings of the answer were deleted since.
    """

    id: str
    created: int
    query: Query
    found: Found
    confirmed: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    revision: int = 0
    audit: int = 0
    forgotten: int = 0

    @property
    def result_ids(self) -> list[str]:
        """Ids of all sightings in the answer, group members included."""
        return [name for match in self.found.matches for name in match.ids]

    @property
    def verdict(self) -> str:
        """How to read the answer: "empty", "weak" (no good match), "found" or "uncalibrated"."""
        if not self.found.matches:
            return "empty"
        if not self.found.calibrated:
            return "uncalibrated"
        best = max(match.score for match in self.found.matches)
        return "found" if best >= LIKELY or self.confirmed else "weak"


@dataclass(frozen=True)
class _Held:
    """What memory holds of a search: whose, since when, (Q, D) vectors, the pictures as JPEG."""

    account: str
    made: int
    vectors: FloatArray
    pictures: tuple[bytes, ...]


class Searches:
    """The searches of one city.

    The query's vectors and pictures are held in memory only, and for a limited time. An old search
    can be read; for feedback or a trajectory the operator has to give the pictures again.
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
        self._held: OrderedDict[str, _Held] = OrderedDict()  # by the id of the search
        self._lock = threading.Lock()
        self.storing = threading.Lock()  # from the check of a revision until it is stored

    def make(self, query: Query, vectors: FloatArray, pictures: tuple[bytes, ...] = ()) -> Search:
        """Search for the person of (Q, D) vectors; hold them and the ``pictures`` they show.

        The search is not stored.

        Raises:
            Refusal: 409 for a city without sightings.
        """
        if self.city.gallery.dimension is None:
            raise Refusal(
                409,
                "empty_gallery",
                "The city has no sightings yet.",
                "Ingest a clip or crops first: passerby ingest --help.",
            )
        confirmed = query.sightings  # a sighting that is the query shows the person
        search = Search(
            id=secrets.token_urlsafe(12),
            created=now(),
            query=query,
            found=self._find(query, vectors, confirmed, ()),
            confirmed=confirmed,
        )
        with self._lock:
            self._held[search.id] = _Held(query.account, search.created, vectors, pictures)
            while len(self._held) > MOST_IN_MEMORY:
                self._held.popitem(last=False)
        return search

    def apply_feedback(
        self, search: Search, confirmed: tuple[str, ...], rejected: tuple[str, ...]
    ) -> Search:
        """Search again: confirmed sightings join the query, rejected ones leave the list.

        Raises:
            InputError: an id that the search did not find, or that is in both lists.
            Refusal: 409, the query is no longer in memory.
        """
        allowed = {*search.result_ids, *search.confirmed, *search.rejected}
        for name in (*confirmed, *rejected):
            if name not in allowed:
                raise _not_in_search(name)
        if set(confirmed) & set(rejected):
            raise CodedError("both_verdicts", "a sighting is confirmed and rejected; choose one")
        found = self._find(search.query, self.vectors(search), confirmed, rejected)
        judged = replace(search, confirmed=confirmed, rejected=rejected)
        return replace(judged, found=found, revision=search.revision + 1)

    def give_verdict(self, search: Search, sighting: str, verdict: Verdict | None) -> Search:
        """Search again with one verdict changed, and all others as they are stored.

        Args:
            search: the search as it is stored.
            sighting: the sighting; the verdict holds for its whole passage.
            verdict: "confirmed", "rejected", or None to take the verdict back.

        Raises:
            InputError: a sighting that the search did not find.
            Refusal: 409, the query is no longer in memory.
        """
        own = next((set(one.ids) for one in search.found.matches if sighting in one.ids), set())
        own |= {sighting}
        lists = {
            "confirmed": [name for name in search.confirmed if name not in own],
            "rejected": [name for name in search.rejected if name not in own],
        }
        if sighting not in {*search.result_ids, *search.confirmed, *search.rejected}:
            raise _not_in_search(sighting)
        if verdict is not None:
            lists[verdict].append(sighting)
        return self.apply_feedback(search, tuple(lists["confirmed"]), tuple(lists["rejected"]))

    def check_revision(self, identifier: str, revision: int) -> None:
        """Refuse feedback on an answer that was changed meanwhile; hold ``storing`` around it.

        Raises:
            Refusal: 409.
        """
        stored = self.get(identifier)
        if stored is None or stored.revision != revision:
            raise Refusal(
                409,
                "verdict_conflict",
                "This search was judged elsewhere meanwhile.",
                "Read the search again, compare both verdicts, and decide.",
            )

    def trace(self, search: Search) -> Trajectory:
        """Return the person's path, through confirmed sightings and without rejected ones.

        Raises:
            Refusal: 409, the query is no longer in memory.
        """
        return trace(
            self.city,
            self.vectors(search),
            search.query.scope,
            model=search.query.model,
            calibration=self._calibration(search.query),
            confirmed=search.confirmed,
            rejected=search.rejected,
        )

    def vectors(self, search: Search) -> FloatArray:
        """Return the query's (Q, D) vectors.

        Raises:
            Refusal: 409, they are no longer in memory, or of a network that is no longer in use.
        """
        held = self._hold(search)
        if search.query.model != self.networks.now().model_id:
            raise Refusal(
                409,
                "other_network",
                "The city has changed to another network since this search.",
                "Add the picture again and search anew.",
            )
        return held.vectors

    def picture(self, search: Search, number: int) -> bytes:
        """Return a query picture, cut to its person, as JPEG; ``number`` counts from 1.

        Raises:
            Refusal: 409, no longer in memory; 404, the search had fewer pictures.
        """
        pictures = self._hold(search).pictures
        if not 1 <= number <= len(pictures):
            raise not_found("query picture")
        return pictures[number - 1]

    def _hold(self, search: Search) -> _Held:
        oldest = now() - int(self.settings.query_minutes * 60_000)
        with self._lock:
            for key in [k for k, one in self._held.items() if one.made < oldest]:
                del self._held[key]
            held = self._held.get(search.id)
        if held is None:
            raise Refusal(
                409,
                "query_forgotten",
                "The query pictures of this search are no longer held.",
                "Add the picture again and search anew.",
            )
        return held

    def forget(self, account: str) -> None:
        """Drop the vectors of an account's searches, for example when it signs out."""
        with self._lock:
            for key in [k for k, one in self._held.items() if one.account == account]:
                del self._held[key]

    def _find(
        self,
        query: Query,
        vectors: FloatArray,
        confirmed: tuple[str, ...],
        rejected: tuple[str, ...],
    ) -> Found:
        """Search with the confirmed sightings in the query, and apply the feedback to the list.

        Matches with a confirmed sighting come first; those with a rejected one are left out.
        """
        if confirmed:
            more = self.city.gallery.vectors(confirmed, model=query.model)
            vectors = np.concatenate([vectors, more])
        stage = self.second_stage
        found = find(
            self.city,
            vectors,
            query.scope,
            k=query.limit + len(rejected),
            per=query.group,
            model=query.model,
            calibration=self._calibration(query),
            second_stage=stage if stage and stage.card.model_id == query.model else None,
        )
        matches = [match for match in found.matches if not set(match.ids) & set(rejected)]
        matches.sort(key=lambda match: set(match.ids).isdisjoint(confirmed))
        return replace(found, matches=tuple(matches[: query.limit]))

    def _calibration(self, query: Query) -> Calibration:
        return Calibration.from_card(self.networks.named(query.model).card.calibration)

    # storage ---------------------------------------------------------------------------------

    def store(self, search: Search) -> None:
        """Write a search, or replace the stored one; no vector is written."""
        query = search.query
        record = {
            "model": query.model,
            "limit": query.limit,
            "group": query.group,
            "pictures": query.pictures,
            "sightings": query.sightings,
            "enhanced": query.enhanced,
            **({"where": query.where} if query.where else {}),
            "answer": search.found.as_dict(),  # with the scope
            "confirmed": search.confirmed,
            "rejected": search.rejected,
            "revision": search.revision,
            "forgotten": search.forgotten,
        }
        record = json.loads(json.dumps(record))  # the digest covers what a reader gets
        new = SEARCHES.insert().values(
            id=search.id,
            account=query.account,
            case=query.case,
            created=search.created,
            audit=search.audit,
            record=record,
            digest=record_digest(record),
        )
        with self.database.write() as connection:
            connection.execute(SEARCHES.delete().where(SEARCHES.c.id == search.id))
            connection.execute(new)

    def get(self, identifier: str) -> Search | None:
        """Return the search of that id, or None."""
        return next(iter(self._select(SEARCHES.c.id == identifier)), None)

    def of(self, account: str) -> list[Search]:
        """Return the searches of an account, newest first."""
        return self._select(SEARCHES.c.account == account)

    def _select(self, condition: Any) -> list[Search]:
        query = sa.select(SEARCHES).where(condition).order_by(SEARCHES.c.created.desc())
        with self.database.read() as connection:
            return [_search(row) for row in connection.execute(query)]


def _not_in_search(name: str) -> CodedError:
    text = f"this search did not find '{name}'; judge what it found"
    return CodedError("not_in_search", text)


def _search(row: sa.Row[Any]) -> Search:
    """The search of a stored row."""
    record = row.record
    # an older version stored the scope beside the answer, and no cameras
    older: dict[str, Any] = {"scope": record.get("scope"), "recorded": {}, "second_stage": False}
    older |= {"cameras": [], "silent": []}
    found = Found.from_dict({**older, **record["answer"]})
    query = Query(
        account=row.account,
        case=row.case,
        model=record.get("model", ""),
        scope=found.scope,
        limit=record["limit"],
        group=record.get("group", "tracklet"),
        pictures=tuple(record["pictures"]),
        sightings=tuple(record["sightings"]),
        enhanced=tuple(record.get("enhanced", ())),
        where=record.get("where", ""),
    )
    return Search(
        id=row.id,
        created=row.created,
        query=query,
        found=found,
        confirmed=tuple(record["confirmed"]),
        rejected=tuple(record["rejected"]),
        revision=record["revision"],
        audit=row.audit,
        forgotten=record.get("forgotten", 0),
    )
