"""``passerby search`` and ``passerby trace``: find a person in a unit of a city, and their path."""

import getpass
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from passerby.cli.common import OfCity, Result
from passerby.errors import InputError
from passerby.times import parse_time

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from passerby.city import Calibration, City, Scope, Trajectory
    from passerby.city.sightings import FloatArray

SPACE_TIME_MATCHES = 100  # matches that the evidence of a path puts in order


@dataclass(frozen=True, kw_only=True)
class Query(Result, OfCity):
    """Who is looked for, where and when, and why."""

    pictures: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """One or more pictures of the one person; cut out, or whole with --detector."""
    unit: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Code of a unit at any level; may be given again. Without it: the whole city."""
    where: str = ""
    """Only units that meet a condition on their facts, as "level = street and population > 300";
    with --unit, those in it. See `passerby admin units list`."""
    camera: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Id of a camera; may be given again."""
    start: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Start of the window, ISO 8601 with zone, as 2026-05-01T08:00:00+08:00."""
    end: Annotated[str | None, tyro.conf.arg(name="to")] = None
    """End of the window (not included), ISO 8601 with zone."""
    model: str = "default"
    """Embedding network: default (the bundled one) or a file (.safetensors, .onnx, .xml)."""
    detector: str | None = None
    """Finds the person in the pictures: a file, a pulled name, or default, as in `passerby
    ingest`."""
    person: Annotated[tuple[int, ...], tyro.conf.UseAppendAction] = ()
    """Which of several people the detector finds, from 1; given once for each picture."""
    enhance: bool = False
    """Brighten pictures that are dark before they are searched for."""
    case: str | None = None
    """Number of the open case for which this is asked; goes into the audit."""
    purpose: str | None = None
    """Why this is asked; goes into the audit."""


@dataclass(frozen=True, kw_only=True)
class OpenQuery:
    """A query that is permitted, checked against its city, and turned into vectors."""

    query: Query
    city: "City"
    scope: "Scope"
    vectors: "FloatArray"
    """(Q, D), one row a picture."""
    model: str
    """The id of the network that made them."""
    enhanced: tuple[bool, ...]
    """Whether each picture was dark and was brightened."""
    calibration: "Calibration"

    def record(self, action: str, results: Sequence[str]) -> int | None:
        """Write the query into the city's audit and return the number of the entry.

        None where the service is not installed.
        """
        try:
            from passerby.service.audit import Audit
            from passerby.service.database import Database
        except ImportError:
            return None
        details: dict[str, Any] = {
            "by": "command line",
            "purpose": self.query.purpose or "",
            "scope": self.scope.as_dict(),
            **({"where": self.query.where} if self.query.where else {}),
            "pictures": [_digest(path) for path in self.query.pictures],
            "people": list(self.query.person),
            "enhanced": list(self.enhanced),
            "results": list(results),
        }
        with closing(Database.of(self.city)) as database:
            entry = Audit(database, self.city.folder).append(
                action,
                account=f"os:{getpass.getuser()}",
                case=self.query.case,
                units=self.scope.units or tuple(unit.code for unit in self.city.units.roots),
                details=details,
            )
        return entry.number


@contextmanager
def opened(query: Query) -> Iterator[OpenQuery]:
    """Open the city and make the query ready to be answered.

    Raises:
        InputError: no city, a query without a reason or for a case that is not open, an unknown
            unit or camera, a time without a zone, an empty gallery, a network other than the
            gallery's, a picture that cannot be read or shows nobody.
    """
    from passerby.city import Calibration, Scope
    from passerby.runtime import Embedder

    with query.open() as city:
        _permit(city, query)
        scope = city.check(
            Scope.parse(
                units=_units(city, query), cameras=query.camera, start=query.start, end=query.end
            )
        )
        if city.gallery.model_id is None:
            raise InputError(f"the gallery of {city.folder} is empty; ingest a clip or crops first")
        pictures = _pictures(query)
        better, enhanced = _enhanced(query, pictures)
        embedder = Embedder.load(query.model)
        yield OpenQuery(
            query=query,
            city=city,
            scope=scope,
            vectors=embedder.embed(better),
            model=embedder.model_id,
            enhanced=enhanced,
            calibration=Calibration.from_card(embedder.card.calibration),
        )


def _units(city: "City", query: Query) -> tuple[str, ...]:
    """The units of the query, after --where; what it chooses is printed before the search.

    Raises:
        InputError: The condition cannot be read, or no unit meets it.
    """
    if not query.where:
        return query.unit
    from passerby.city import Scope
    from passerby.city.conditions import choose_units

    chosen = choose_units(city, query.where, query.unit or None)
    if not chosen.outermost:
        raise InputError(f"no unit meets the condition '{query.where}': {chosen.summary()}")
    scope = Scope.parse(
        units=chosen.outermost, cameras=query.camera, start=query.start, end=query.end
    )
    print(f"where: {chosen.summary()}; {city.count(scope)} sightings", file=sys.stderr)
    return chosen.outermost


def _permit(city: "City", query: Query) -> None:
    """Refuse a query without a reason, or for a case that is not open.

    Raises:
        InputError: the city has accounts but the query neither case nor purpose; or there is
            no such case, or it is closed or has expired.
    """
    try:
        from passerby.service.access import Refusal
        from passerby.service.accounts import Accounts
        from passerby.service.cases import Cases, require_open
        from passerby.service.database import Database
    except ImportError:  # without the extra "service" there are neither cases nor accounts
        return
    with closing(Database.of(city)) as database:
        if query.case:
            try:
                require_open(Cases(database).get(query.case))
            except Refusal as refusal:
                raise InputError(f"case '{query.case}': {refusal}") from None
        elif not query.purpose and Accounts(database).all():
            raise InputError(
                "this city is in service: say why you ask, with --case NUMBER or --purpose TEXT"
            )


def _enhanced(
    query: Query, pictures: "list[NDArray[np.uint8]]"
) -> "tuple[list[NDArray[np.uint8]], tuple[bool, ...]]":
    """Return the pictures to search for, and which of them were dark and were brightened.

    What was done, or could be done, is said on the standard error.
    """
    from passerby.ingest.enhancement import brightness, enhance

    better = [enhance(picture) for picture in pictures]
    dark = tuple(after is not before for before, after in zip(pictures, better, strict=True))
    for path, before, after in zip(query.pictures, pictures, better, strict=True):
        if after is not before:
            print(
                f"passerby: '{path}' is dark, mean {brightness(before):.0f} of 255: "
                + (
                    f"brightened to {brightness(after):.0f}"
                    if query.enhance
                    else "--enhance brightens it"
                ),
                file=sys.stderr,
            )
    return (better, dark) if query.enhance else (pictures, (False,) * len(pictures))


def _pictures(query: Query) -> "list[NDArray[np.uint8]]":
    """Return the crops to look for: the pictures, or what the detector finds in them.

    Raises:
        InputError: no picture, one that is not there or shows nobody, several people and no choice.
    """
    paths, chosen = query.pictures, query.person
    if not paths:
        raise InputError("there is no picture; give at least one, with one person cut out")
    for path in paths:
        if not path.is_file():
            raise InputError(f"there is no picture {path}")
    if query.detector is None:
        if chosen:
            raise InputError("--person picks one of the people a detector finds; add --detector")
        from passerby.runtime import read_image

        return [read_image(path) for path in paths]
    if len(chosen) not in (0, len(paths)):
        raise InputError(
            f"--person is given {len(chosen)} times for {len(paths)} pictures; give it once for "
            "each picture, in their order"
        )
    from passerby.ingest import Detector, read_person

    detector = Detector.load(query.detector)
    wanted = chosen or (None,) * len(paths)
    return [
        read_person(path, detector, person=person)
        for path, person in zip(paths, wanted, strict=True)
    ]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Search(Query):
    """Find a person in a unit of a city: ranked sightings for one or more pictures."""

    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 20
    """How many matches."""
    per: Annotated[Literal["sighting", "tracklet", "visit"], tyro.conf.arg(aliases=["--group"])] = (
        "tracklet"
    )
    """One match a sighting, one a tracklet, or one a visit to a camera."""
    candidates: int | None = None
    """How many nearest sightings are put in order and grouped; without it enough for -k."""
    rerank: bool = True
    """Re-rank the nearest candidates by k-reciprocal neighbours."""
    second_stage: Path | None = None
    """A Diff Attention file for this network; puts the first 100 candidates in order at last."""
    space_time: bool = True
    """Order by the evidence of a path: groups of tracklets, times that a walk allows. Not with
    --no-rerank, --second-stage or --candidates, which say how to order."""

    def main(self) -> None:
        """Search, write the query into the audit, and print the matches."""
        from passerby.city import SecondStage, find, reorder

        stage = SecondStage.load(self.second_stage) if self.second_stage else None
        space_time = self.space_time and self.rerank and not (stage or self.candidates)
        with opened(self) as query:
            found = find(
                query.city,
                query.vectors,
                query.scope,
                k=max(self.k, SPACE_TIME_MATCHES) if space_time else self.k,
                rerank=self.rerank,
                per=self.per,
                model=query.model,
                calibration=query.calibration,
                second_stage=stage,
                candidates=self.candidates,
            )
            if space_time:
                found = reorder(
                    found,
                    query.city,
                    query.vectors,
                    model=query.model,
                    calibration=query.calibration,
                    k=self.k,
                )
            number = query.record("search", [match.sighting.id for match in found.matches])
            facts = found.as_dict()
            facts |= {"enhanced": list(query.enhanced), "audit": number}
            self.show(facts, _matches(query.city, facts))


def _matches(city: "City", facts: dict[str, Any]) -> str:
    from passerby.city.recorded import share_words

    kind = "probability" if facts["calibrated"] else "score (not calibrated)"
    lines = [f"{facts['searched']} sightings in scope; {kind}, then where and when (UTC)"]
    away = share_words(facts["recorded"])
    lines += [away] if away else []
    for match in facts["matches"]:
        where = match["camera"]
        if where in city.history:
            where = city.camera(where, parse_time(match["time"])).name
        lines.append(
            f"{match['rank']:>4}  {match['score']:.3f}  {match['time'][:19]}Z  "
            f"{match['camera']:<6} {match['unit']}  {where}  {match['id']}"
        )
    if not facts["matches"]:
        lines.append("nobody was seen in this scope")
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Trace(Query):
    """Find a person and reconstruct where they went: visits, ways between, how sure."""

    confirmed: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Id of a sighting that is this person for certain; may be given again."""
    rejected: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Id of a sighting that is someone else; may be given again."""
    prior: float = 0.5
    """Chance, before the search, that the person is in the scope at all; with 1 the path is not
    empty for want of the person."""
    geojson: Path | None = None
    """Write the path to this GeoJSON file."""
    gpx: Path | None = None
    """Write the visits to this GPX file."""

    def main(self) -> None:
        """Reconstruct the path, write the query into the audit, and print the visits."""
        from passerby.city import TraceOptions, trace

        options = TraceOptions(prior=self.prior)
        with opened(self) as query:
            path = trace(
                query.city,
                query.vectors,
                query.scope,
                model=query.model,
                calibration=query.calibration,
                confirmed=self.confirmed,
                rejected=self.rejected,
                options=options,
            )
            number = query.record("trace", [one.id for one in path.sightings])
            if self.geojson is not None:
                text = json.dumps(path.to_geojson(), ensure_ascii=False)
                self.geojson.write_text(text + "\n", encoding="utf-8")
            if self.gpx is not None:
                self.gpx.write_text(path.to_gpx(), encoding="utf-8")
            facts = {**path.as_dict(), "enhanced": list(query.enhanced), "audit": number}
            self.show(facts, _visits(query.city, path))


def _visits(city: "City", path: "Trajectory") -> str:
    from passerby.city.recorded import share_words

    away = share_words(path.recorded)
    lines = [away] if away else []
    if not path.visits:
        return "\n".join(["nobody in this scope is likely this person", *lines])
    for order, visit in enumerate(path.visits):
        facts = visit.as_dict()
        lines.append(
            f"{facts['arrive'][:19]}Z to {facts['leave'][11:19]}Z  {visit.camera:<6} {visit.unit}  "
            f"{city.camera(visit.camera, visit.arrive).name}  confidence {visit.confidence:.2f}  "
            f"{len(visit.sightings)} sightings"
        )
        if order < len(path.legs):
            lines.append(f"    {path.legs[order].reason}")
    return "\n".join(lines)
