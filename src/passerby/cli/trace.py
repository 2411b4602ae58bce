"""``passerby trace``: find a person and reconstruct where they went."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from passerby.cli.arguments import parse
from passerby.cli.question import Question, asked

if TYPE_CHECKING:
    from passerby.city import City, Trajectory


@dataclass(frozen=True, kw_only=True)
class Trace(Question):
    """Find a person and reconstruct where they went: visits, ways between, how sure."""

    confirmed: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Id of a sighting that is this person for certain; may be given again."""
    rejected: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Id of a sighting that is someone else; may be given again."""
    geojson: Path | None = None
    """Write the path to this GeoJSON file."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options: Trace = parse(Trace, arguments, "trace")
    from passerby.city import trace

    with asked(options) as query:
        path = trace(
            query.city,
            query.vectors,
            query.scope,
            model=query.model,
            calibration=query.calibration,
            confirmed=options.confirmed,
            rejected=options.rejected,
        )
        number = query.record("trace", [one.id for one in path.sightings])
        if options.geojson is not None:
            text = json.dumps(path.to_geojson(), ensure_ascii=False)
            options.geojson.write_text(text + "\n", encoding="utf-8")
        if options.json:
            print(json.dumps({**path.as_dict(), "audit": number}, ensure_ascii=False))
        else:
            _print(query.city, path)
    return 0


def _print(city: "City", path: "Trajectory") -> None:
    if not path.visits:
        print("nobody in this scope is more likely this person than not")
    for order, visit in enumerate(path.visits):
        facts = visit.as_dict()
        print(
            f"{facts['arrive'][:19]}Z to {facts['leave'][11:19]}Z  {visit.camera:<6} {visit.unit}  "
            f"{city.camera(visit.camera).name}  confidence {visit.confidence:.2f}  "
            f"{len(visit.sightings)} sightings"
        )
        if order < len(path.legs):
            print(f"    {path.legs[order].reason}")
