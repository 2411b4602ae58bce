"""``passerby admin clip``: list clips, give them another start, take them back."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from passerby.cli.common import BY, OfCity, Result, aligned, audited
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.city import City

Name = Annotated[str, tyro.conf.Positional]


@dataclass(frozen=True, kw_only=True)
class ListClips(Result, OfCity):
    """List the clips that were ingested; times are those of the camera's clock."""

    camera: str | None = None
    """Only those of this camera."""

    def main(self) -> None:
        """Print the clips, one a line."""
        from passerby.city.clips import clips_of

        with self.open() as city:
            records = clips_of(city, self.camera)
        facts = [one.as_dict() for one in records]
        rows = [["name", "camera", "start", "last frame", "frames", "sightings", "state", "source"]]
        for one in facts:
            names = ("name", "camera", "start", "last", "frames", "sightings", "state", "source")
            rows.append(["?" if one[name] in (None, "") else str(one[name]) for name in names])
        self.show(facts, aligned(rows) if records else "no clip was ingested")


@dataclass(frozen=True, kw_only=True)
class Retime(Result, OfCity):
    """Give a clip another start; a later ingest with that start adds nothing."""

    clip: Name
    """Name of the clip, or the start of it; see `passerby admin clip list`."""
    start: str | None = None
    """When its first frame was taken, by the camera's clock; ISO 8601 with zone. Without it: finish
    what was interrupted."""
    any_time: bool = False
    """Also a time before 2000 or in the future."""

    def main(self) -> None:
        """Re-time it, and say how many sightings have another time."""
        from passerby.city.changes import retime_clip
        from passerby.city.clips import find_clip
        from passerby.times import parse_time

        start = None if self.start is None else parse_time(self.start, "the start of the clip")
        with audited(self.city) as (city, _, audit):
            old = find_clip(city, self.clip)
            new, done = retime_clip(city, old.name, start, any_time=self.any_time)
            facts = {
                "clip": old.name, "now": new.name, "camera": new.camera,
                "start": new.as_dict()["start"], **vars(done),
            }  # fmt: skip
            audit.append("clip_retimed", account=BY, units=_units(city, new.camera), details=facts)
        words = f"{done.retimed} sightings of clip {old.name} have another time; it is {new.name}"
        self.show(facts, words)


@dataclass(frozen=True, kw_only=True)
class DeleteClip(Result, OfCity):
    """Delete a clip's sightings, the crops that no other sighting has, and its entry."""

    clip: Name
    """Name of the clip, or the start of it; see `passerby admin clip list`."""
    despite_evidence: str = ""
    """Why evidence of open cases goes nevertheless; goes into the audit."""

    def main(self) -> None:
        """Delete it, and say how much went."""
        from passerby.city.changes import delete_clip, sightings_of_clip
        from passerby.city.clips import find_clip
        from passerby.service.erasing import check_held, held_of
        from passerby.service.retention import in_words, strip_searches

        with audited(self.city) as (city, database, audit):
            old = find_clip(city, self.clip)
            held = held_of(database, sightings_of_clip(city, old))
            check_held(held, self.despite_evidence)
            done = delete_clip(city, old.name)
            facts = {
                "clip": old.name, "camera": old.camera, "start": old.as_dict()["start"],
                "deleted": done.deleted, "crops": done.crops,
            }  # fmt: skip
            if held:
                facts |= {"despite": self.despite_evidence, "evidence": in_words(held)}
            strip_searches(database, city.gallery)
            audit.append("clip_deleted", account=BY, units=_units(city, old.camera), details=facts)
        self.show(facts, f"{done.deleted} sightings and {done.crops} crops deleted")


@dataclass(frozen=True, kw_only=True)
class ContactSheet(Result, OfCity):
    """Draw all crops of a clip into one picture, to check by eye what was stored as people.

    The picture shows people: keep it as safe as the city, and delete it after use.
    """

    clip: Name
    """Name of the clip, or the start of it; see `passerby admin clip list`."""
    out: Annotated[Path, tyro.conf.Positional]
    """The picture to write, .jpg or .png."""
    purpose: str
    """Why; goes into the audit."""

    def main(self) -> None:
        """Write the entry of the audit, then the picture."""
        from passerby.city.clips import find_clip
        from passerby.ingest.contact_sheet import write_sheet

        if not self.purpose.strip():
            raise InputError("say why the people of the clip are looked at: --purpose WORDS")
        with audited(self.city, changing=True) as (city, _, audit):
            clip = find_clip(city, self.clip)
            facts = {"clip": clip.name, "camera": clip.camera, "purpose": self.purpose}
            audit.append(
                "clip_sheet_drawn", account=BY, units=_units(city, clip.camera), details=facts
            )
            sheet = write_sheet(city, clip, self.out)
        left_out = f"; {sheet.left_out} sightings are not on it" if sheet.left_out else ""
        words = f"{self.out}: {sheet.tracklets} tracklets, {sheet.crops} crops{left_out}"
        self.show({**facts, **vars(sheet), "out": str(self.out)}, words)


def _units(city: "City", camera: str) -> tuple[str, ...]:
    """The units in which a camera has stood."""
    return tuple(sorted({one.unit for one in city.history.get(camera, ())}))
