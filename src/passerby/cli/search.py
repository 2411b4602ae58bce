"""``passerby search``: find a person in a unit of a city."""

import getpass
import hashlib
import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from passerby.cli.arguments import parse
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.city import Calibration, City, Scope
    from passerby.city.sightings import FloatArray
    from passerby.runtime import Embedder

CATALOGUE = "catalogue.sqlite"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What search and trace share: the city, the pictures, the scope, the reason."""

    city: Annotated[Path, tyro.conf.Positional]
    """Folder of the city."""
    pictures: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """One or more pictures of the one person, cut out."""
    unit: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Code of a unit at any level; may be given again. Without it: the whole city."""
    camera: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Id of a camera; may be given again."""
    start: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Start of the window, ISO 8601 with zone, as 2026-05-01T08:00:00+08:00."""
    end: Annotated[str | None, tyro.conf.arg(name="to")] = None
    """End of the window (not included), ISO 8601 with zone."""
    model: str = "default"
    """Embedding network: default (the bundled one) or a file (.safetensors, .onnx, .xml)."""
    case: str | None = None
    """Number of the open case for which this is asked; goes into the audit."""
    purpose: str | None = None
    """Why this is asked; goes into the audit."""
    json: bool = False
    """Print the answer as JSON."""


@dataclass(frozen=True, kw_only=True)
class Search(Question):
    """Find a person in a unit of a city: ranked sightings for one or more pictures."""

    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 20
    """How many matches."""
    per: Literal["sighting", "tracklet"] = "tracklet"
    """One match a sighting, or one a tracklet."""
    rerank: bool = True
    """Re-rank the nearest candidates by k-reciprocal neighbours."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options: Search = parse(Search, arguments, "search")
    from passerby.city import City, find

    with City.open(options.city) as city:
        permit(city, options)
        scope = scope_of(city, options)
        vectors, embedder, curve = embed(city, options)
        found = find(
            city,
            vectors,
            scope,
            k=options.k,
            rerank=options.rerank,
            per=options.per,
            model=embedder.model_id,
            calibration=curve,
        )
        answer = {
            **found.as_dict(),
            "audit": record(city, "search", options, scope, [m.sighting.id for m in found.matches]),
        }
        if options.json:
            print(json.dumps(answer, ensure_ascii=False))
        else:
            _print(city, answer)
    return 0


def scope_of(city: "City", options: Question) -> "Scope":
    """The scope of the question, checked against the city.

    Raises:
        InputError: an unknown unit or camera, a time without a zone, an end before the start.
    """
    from passerby.city import Scope

    return city.check(
        Scope.parse(
            units=options.unit, cameras=options.camera, start=options.start, end=options.end
        )
    )


def embed(city: "City", options: Question) -> tuple["FloatArray", "Embedder", "Calibration"]:
    """Vectors of the pictures, the embedder, and how its similarities become scores.

    Raises:
        InputError: an empty gallery, a network other than the gallery's, an unreadable picture.
    """
    from passerby.city import Calibration
    from passerby.runtime import Embedder

    if city.gallery.model_id is None:
        raise InputError(f"the gallery of {city.folder} is empty; ingest a clip or crops first")
    if not options.pictures:
        raise InputError("there is no picture; give at least one, with one person cut out")
    for path in options.pictures:
        if not path.is_file():
            raise InputError(f"there is no picture {path}")
    embedder = Embedder.load(options.model)
    vectors = embedder.embed(list(options.pictures))
    return vectors, embedder, Calibration.from_card(embedder.card.calibration)


def permit(city: "City", options: Question) -> None:
    """Refuse a question without a reason, or for a case that is not open.

    Raises:
        InputError: the city has accounts but the question neither case nor purpose; or there is
            no such case, or it is closed or has expired.
    """
    try:
        from passerby.service.accounts import Accounts
        from passerby.service.cases import Cases, require_open
        from passerby.service.database import Database
        from passerby.service.refusals import Refusal
    except ImportError:  # without the extra "service" there are neither cases nor accounts
        return
    with closing(Database(city.folder / CATALOGUE)) as database:
        if options.case:
            try:
                require_open(Cases(database).get(options.case))
            except Refusal as refusal:
                raise InputError(f"case '{options.case}': {refusal}") from None
        elif not options.purpose and Accounts(database).all():
            raise InputError(
                "this city is in service: say why you ask, with --case NUMBER or --purpose TEXT"
            )


def record(
    city: "City", action: str, options: Question, scope: "Scope", results: list[str]
) -> int | None:
    """Write the question into the city's audit and return the number of the entry.

    None where the service is not installed.
    """
    try:
        from passerby.service.audit import Audit
        from passerby.service.database import Database
    except ImportError:
        return None
    details: dict[str, Any] = {
        "by": "command line",
        "purpose": options.purpose or "",
        "scope": scope.as_dict(),
        "pictures": [_digest(path) for path in options.pictures],
        "results": results,
    }
    with closing(Database(city.folder / CATALOGUE)) as database:
        entry = Audit(database, city.folder).append(
            action,
            account=f"os:{getpass.getuser()}",
            case=options.case,
            units=scope.units or tuple(unit.code for unit in city.units.roots),
            details=details,
        )
    return entry.number


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _print(city: "City", answer: dict[str, Any]) -> None:
    kind = "probability" if answer["calibrated"] else "score (not calibrated)"
    print(f"{answer['searched']} sightings in scope; {kind}, then where and when (UTC)")
    for match in answer["matches"]:
        camera = city.cameras.get(match["camera"])
        where = camera.name if camera else match["camera"]
        print(
            f"{match['rank']:>4}  {match['score']:.3f}  {match['time'][:19]}Z  "
            f"{match['camera']:<6} {match['unit']}  {where}  {match['id']}"
        )
    if not answer["matches"]:
        print("nobody was seen in this scope")
