"""``passerby admin camera clock``: set a camera's clock offset, estimate it, re-time sightings."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from passerby.cli.admin_camera import followed
from passerby.cli.common import BY, OfCity, Result, aligned, audited
from passerby.errors import InputError
from passerby.times import format_time, parse_time


@dataclass(frozen=True, kw_only=True)
class Clock(Result, OfCity):
    """Say what to add to a camera's clock, or propose it from people who pass several cameras.

    The offset is added to what is ingested from then on. --apply also re-times what is stored.
    """

    camera: Annotated[str | None, tyro.conf.Positional] = None
    """Id of the camera. With --estimate and without it: all cameras."""
    offset: float | None = None
    """Seconds to add to the time that the camera shows; negative for a clock that is fast."""
    at: str | None = None
    """From when on, ISO 8601 with zone. Without it: since ever."""
    apply: bool = False
    """Also re-time the stored sightings of the camera, and count them."""
    estimate: bool = False
    """Propose offsets from people who pass several cameras; nothing is changed."""
    within: float = 900.0
    """With --estimate: largest offset that is looked for, seconds."""
    start: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """With --estimate: start of the window, ISO 8601 with zone."""
    end: Annotated[str | None, tyro.conf.arg(name="to")] = None
    """With --estimate: end of the window (not included), ISO 8601 with zone."""
    model: str = "default"
    """With --estimate: the network of the city's gallery."""

    def main(self) -> int:
        """Set, apply or estimate."""
        if self.estimate:
            if self.offset is not None or self.apply:
                raise InputError("--estimate changes nothing; give --offset without it")
            return self._estimate()
        if self.camera is None or (self.offset is None and not self.apply):
            raise InputError("give a camera and --offset SECONDS, or --apply, or --estimate")
        self._set(self.camera)
        return 0

    def _set(self, name: str) -> None:
        from passerby.city.cameras import ALWAYS, changed
        from passerby.city.changes import change_camera

        with audited(self.city) as (city, _, audit):
            new = None if self.offset is None else {"clock": round(1000 * self.offset)}
            first = city.history[city.camera(name).id][0].valid_from
            when = first if self.at is None else parse_time(self.at, "the date of the change")
            done = change_camera(
                city,
                name,
                lambda one: one if new is None else changed(one, when, **new),
                apply_clock=self.apply,
            )
            camera = city.camera(name)
            facts = {
                "camera": name,
                "offset": self.offset,
                "at": None if when == ALWAYS else format_time(when),
                "applied": self.apply,
                **vars(done),
            }
            audit.append("camera_clock_set", account=BY, units=(camera.unit,), details=facts)
        words = f"camera {name}: {camera.clock / 1000:+g} s; {followed(done)}"
        if not self.apply and self.offset is not None:
            words += "; stored sightings keep their times without --apply"
        self.show(facts, words)

    def _estimate(self) -> int:
        """Print a proposal or a refusal for each camera; status 1 when there is no proposal."""
        from passerby.city import Calibration, Scope
        from passerby.city.clocks import MOST_TRACKLETS, MOST_WITHIN, estimate_clocks
        from passerby.city.networks import check_network
        from passerby.runtime import Embedder

        if not 0 < self.within <= MOST_WITHIN:
            raise InputError(f"--within is 1 to {MOST_WITHIN:.0f} seconds, not {self.within:g}")
        with self.open() as city:
            if self.camera is not None:
                city.camera(self.camera)
            scope = city.check(Scope.parse(start=self.start, end=self.end))
            embedder = Embedder.load(self.model)
            check_network(city.gallery, embedder.model_id)
            curve = Calibration.from_card(embedder.card.calibration)
            every = estimate_clocks(city, scope, calibration=curve, within=self.within)
            now = {one.camera: city.camera(one.camera).clock / 1000 for one in every}
        found = [one for one in every if self.camera in (None, one.camera)]
        rows = [
            ["camera", "set to", "offset", "95 % interval", "people", "pairs", "there", "back", ""]
        ]
        for one in found:
            interval = f"{one.low:+.0f} to {one.high:+.0f} s" if one.pairs else "?"
            offset = "?" if one.reason else f"{one.offset:+.0f} s"
            right = one.low <= now[one.camera] <= one.high
            says = one.refusal or ("right as it is set" if right else "off")
            counts = map(str, (one.people, one.pairs, one.there, one.back))
            rows.append([one.camera, f"{now[one.camera]:+g} s", offset, interval, *counts, says])
        words = [aligned(rows)]
        if not curve.measured:
            words.append(
                f"the network '{self.model}' is not calibrated: who is one person is a guess"
            )
        if sum(one.tracklets for one in every) >= MOST_TRACKLETS:
            words.append(f"only the newest {MOST_TRACKLETS} tracklets were looked at")
        facts = [
            {**one.as_dict(), "set": now[one.camera], "calibrated": curve.measured} for one in found
        ]
        self.show(facts, "\n".join(words))
        return 0 if any(not one.reason for one in found) else 1
