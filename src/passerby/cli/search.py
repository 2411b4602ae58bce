"""``passerby search``: find a person in a unit of a city."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from passerby.cli.arguments import parse
from passerby.cli.question import Question, asked

if TYPE_CHECKING:
    from passerby.city import City


@dataclass(frozen=True, kw_only=True)
class Search(Question):
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


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options: Search = parse(Search, arguments, "search")
    from passerby.city import SecondStage, find

    stage = SecondStage.load(options.second_stage) if options.second_stage else None
    with asked(options) as query:
        found = find(
            query.city,
            query.vectors,
            query.scope,
            k=options.k,
            rerank=options.rerank,
            per=options.per,
            model=query.model,
            calibration=query.calibration,
            second_stage=stage,
            candidates=options.candidates,
        )
        number = query.record("search", [match.sighting.id for match in found.matches])
        answer = {**found.as_dict(), "audit": number}
        if options.json:
            print(json.dumps(answer, ensure_ascii=False))
        else:
            _print(query.city, answer)
    return 0


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
