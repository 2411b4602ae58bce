"""``passerby admin erase``: delete chosen sightings or a person's, for good."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from passerby.cli.common import BY, OfCity, Result, audited
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.city import City, Scope


@dataclass(frozen=True, kw_only=True)
class Erase(Result, OfCity):
    """Delete sightings with their crops and scenes, so that no ingest brings them back.

    Hashes of what was erased stay in the city: the same clip, table or folder ingested again adds
    nobody who was erased. What an open case has confirmed is evidence and is refused.
    """

    sightings: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Ids of sightings, as `passerby search` prints them."""
    case: str | None = None
    """What the searches of this case have confirmed, with the whole tracklets."""
    tracklet: tuple[str, ...] = ()
    """Ids of tracklets; every sighting of each."""
    camera: str | None = None
    """Everything that this camera has seen, with --start and --end: in that window."""
    start: str | None = None
    """ISO 8601 with zone."""
    end: str | None = None
    """ISO 8601 with zone; not included."""
    reason: Literal["request", "order", "mistake", "purpose"] = "request"
    """A person asked; a court or an authority ordered; stored by mistake; no longer needed."""
    purpose: str = ""
    """The same in words, for the audit."""
    despite_evidence: str = ""
    """Why evidence of open cases goes nevertheless; goes into the audit."""
    dry_run: bool = False
    """Only say how many would go, and what holds them."""
    again: bool = False
    """Erase once more what was erased and is stored: after a crash, or in an older copy."""
    as_in: Path | None = None
    """Folder of a city whose erasures hold here too: that from before a restored backup. Implies
    --again."""

    def main(self) -> None:
        """Erase, or count, and say how much went and what is left."""
        from passerby.city.erasing import remaining
        from passerby.service.erasing import Choice, choose, erase_sightings, held_of
        from passerby.service.retention import in_words

        choice = Choice(
            sightings=self.sightings,
            confirmed_in=self.case,
            tracklets=self.tracklet,
            scope=self._scope(),
        )
        with audited(self.city, changing=not self.dry_run) as (city, database, audit):
            taken = self._take_over(city)
            if self.again or self.as_in:
                if choice != Choice():
                    raise InputError("--again and --as-in erase what was erased; name nothing else")
                found = remaining(city)
            else:
                found = choose(city, database, choice)
            if self.dry_run or not found:
                held = in_words(held_of(database, found))
                facts: dict[str, object] = {"would_erase": len(found), "evidence": held}
                words = f"{len(found)} sightings would be erased"
                words += f"; evidence of open cases among them: {held}" if held else ""
                self.show(facts, words if self.dry_run else f"nothing is left to erase{taken}")
                return
            facts = erase_sightings(
                city, database, audit, found, account=BY, reason=self.reason,
                purpose=self.purpose, despite=self.despite_evidence,
            )  # fmt: skip
        self.show(
            facts,
            f"{facts['sightings']} sightings, {facts['crops']} crops and {facts['scenes']} scenes "
            f"erased; {facts['searches']} stored searches name them no longer{taken}",
        )
        for one in _left(facts):
            print(f"passerby admin erase: {one}", file=sys.stderr)

    def _scope(self) -> "Scope | None":
        """The camera and the window; None without a camera."""
        from passerby.city import Scope

        if self.camera is None:
            if self.start or self.end:
                raise InputError("--start and --end need --camera")
            return None
        return Scope.parse(cameras=[self.camera], start=self.start, end=self.end)

    def _take_over(self, city: "City") -> str:
        """Take the tombstones of the other city over, and say how many."""
        if self.as_in is None:
            return ""
        from passerby.city import City
        from passerby.city.erasing import take_over

        if self.dry_run:
            raise InputError("--as-in stores the other city's erasures; leave --dry-run out")
        with City.open(self.as_in) as other:
            return f"; {take_over(city, other)} hashes taken over from {self.as_in}"


def _left(facts: dict[str, object]) -> list[str]:
    """What erasing cannot reach."""
    said = []
    if facts["entries"]:
        said.append(
            f"{facts['entries']} entries of the audit still name them: an entry can never be "
            "changed, and their ids lead nowhere now"
        )
    if facts["copies"]:
        said.append(
            f"older copies of the catalogue may name them: {facts['copies']}; delete those files"
        )
    said.append("backups, exports and the clips themselves lie elsewhere and are as they were")
    return said
