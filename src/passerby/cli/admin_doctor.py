"""``passerby admin doctor CITY``: look at every part of a city once, one line each."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from passerby.cli.common import OfCity, Result
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.city import City
    from passerby.city.address import Address

LEAST_FREE = 1 << 30  # bytes
CLOCK = 2.0  # seconds by which this machine's clock may differ from the database's
State = str  # "ok", "note" or "fault"
Line = tuple[State, str]


@dataclass(frozen=True, kw_only=True)
class Doctor(Result, OfCity):
    """Look at every part of a city, one line each; status 1 when anything is at fault.

    The folder and its rights, the catalogue with its schema, encryption and clock, the gallery, the
    network, the crops, the audit, retention, and with --queue the jobs. It changes nothing and
    reads little; `passerby admin verify` reads everything.
    """

    model: str = "default"
    """The network that serves the city."""
    queue: str | None = None
    """Address of the queue: local, or nats://HOST:PORT[/NAME]."""

    def main(self) -> int:
        """Print the lines."""
        found: list[tuple[str, State, str]] = []

        def look(part: str, lines: Callable[[], Iterator[Line]]) -> None:
            try:
                found.extend((part, *line) for line in lines())
            except (InputError, OSError) as error:
                found.append((part, "fault", str(error)))

        look("folder", lambda: _folder(self.require()))
        look("catalogue", lambda: _catalogue(self.require()))
        if all(state != "fault" for _, state, _ in found):
            with self.open() as city:
                look("gallery", lambda: _gallery(city))
                look("network", lambda: _network(city, self.model))
                look("crops", lambda: _crops(city))
                look("audit", lambda: _audit(city))
                look("retention", lambda: _retention(city))
                if self.queue is not None:
                    address = self.queue
                    look("queue", lambda: _queue(city, address))
        else:
            found.append(("city", "note", "not opened; the other parts were not looked at"))
        lines = [f"{state:<6}{part:<11}{words}" for part, state, words in found]
        self.show(
            [{"part": part, "state": state, "says": words} for part, state, words in found],
            "\n".join(lines),
        )
        faults = sum(state == "fault" for _, state, _ in found)
        if faults and not self.json:
            print(f"passerby admin doctor: {faults} faults", file=sys.stderr)
        return 1 if faults else 0


def _folder(folder: Path) -> Iterator[Line]:
    for path in (folder, folder / "crops"):
        if path.exists() and not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            yield "fault", f"this user cannot read and write '{path}'; ask its owner for the right"
    mode = folder.stat().st_mode & 0o777
    if mode & 0o007:
        yield "note", f"every user of the machine can read '{folder}' (mode {mode:o}): chmod o-rwx"
    free = shutil.disk_usage(folder).free
    state = "fault" if free < LEAST_FREE else "ok"
    yield state, f"{free / 1e9:.1f} GB free{'; make room' if state == 'fault' else ''}"


def _catalogue(folder: Path) -> Iterator[Line]:
    import sqlalchemy as sa

    from passerby.city import schema
    from passerby.city.address import Address
    from passerby.city.engines import open_engine

    address = Address.of(folder)
    engine = open_engine(address)
    try:
        found = schema.current(engine)
        if found != schema.HEAD:
            do = "install a newer Passerby" if str(found) > schema.HEAD else _upgrade(address)
            yield "fault", f"{address}: schema {found}, this program has {schema.HEAD}; {do}"
        else:
            yield "ok", f"{address}: schema {found}"
        if address.file is None:
            yield from _encryption(address)
            with engine.connect() as connection:
                theirs = connection.execute(
                    sa.text("SELECT extract(epoch FROM now())")
                ).scalar_one()
            off = abs(float(theirs) - time.time())
            words = f"the database's clock differs by {off:.1f} s from this machine's"
            yield ("fault", f"{words}; set both by NTP") if off > CLOCK else ("ok", words)
    finally:
        engine.dispose()


def _upgrade(address: "Address") -> str:
    if address.file:
        return "the next command that opens the city upgrades it, and keeps a copy"
    return "run passerby admin database upgrade CITY"


def _encryption(address: "Address") -> Iterator[Line]:
    import ssl

    from sqlalchemy import URL

    from passerby.city.address import LOOPBACK, tls_of

    assert isinstance(address.where, URL)
    context, host = tls_of(address.where), address.where.host
    if not isinstance(context, ssl.SSLContext):
        local = (host or "") in LOOPBACK
        words = "the connection is not encrypted"
        yield ("ok", f"{words}, on this machine") if local else ("fault", f"{words}: sslmode")
    elif context.verify_mode == ssl.CERT_NONE:
        yield "note", "the connection is encrypted, the server's name is not checked: verify-full"
    else:
        yield "ok", "the connection is encrypted and the server's name is checked"


def _gallery(city: "City") -> Iterator[Line]:
    health = city.gallery.health()
    for problem in health.problems:
        yield "fault", problem
    if not health.problems:
        yield "ok", f"{city.gallery.count():,} sightings, can be read and written"


def _network(city: "City", model: str) -> Iterator[Line]:
    from passerby.runtime import Embedder

    ours, stored = Embedder.load(model).model_id, city.gallery.model_id
    if stored not in (None, ours):
        yield (
            "fault",
            f"the gallery was made by '{stored}', '{model}' is '{ours}'; name that network "
            "with --model, or passerby admin gallery reembed",
        )
    else:
        yield "ok", f"{ours}{'' if stored else ' (the gallery is empty)'}"


def _crops(city: "City") -> Iterator[Line]:
    newest = [one for one in city.gallery.latest(100) if one.crop]
    gone = [one for one in newest if one.crop not in city.crops]
    if newest and len(gone) == len(newest):
        yield "fault", f"none of the newest crops is in '{city.crops.folder}': is it mounted?"
    elif gone:
        yield "fault", f"{len(gone)} of the {len(newest)} newest crops are missing: admin verify"
    else:
        yield "ok", f"the {len(newest)} newest crops are there"


def _audit(city: "City") -> Iterator[Line]:
    from passerby.service.audit import Audit
    from passerby.service.audit_heads import read_key
    from passerby.service.database import Database

    with closing(Database.of(city)) as database, closing(Audit(database, city.folder)) as audit:
        audit.check()
        number = next((one.number for one in audit.entries(limit=1)), 0)
    key = "" if read_key(city.folder) else "; its key is made with the next entry"
    yield "ok", f"{number} entries; the last one is as it was left{key}"


def _retention(city: "City") -> Iterator[Line]:
    from passerby.cli.admin_city import RETENTION

    days = city.setting(RETENTION)
    if days is None:
        yield "note", "none is set: sightings are kept for ever; passerby admin retention --days N"
        return
    first = city.gallery.stats().first
    over = 0.0 if first is None else (time.time() * 1000 - first) / 86_400_000 - days
    words = f"{days:g} days"
    if over > 1:
        yield "fault", f"{words}, but there are sightings {over:.1f} days older: run it daily"
    else:
        yield "ok", words


def _queue(city: "City", address: str) -> Iterator[Line]:
    from passerby.ingest.jobs_worker import LOCAL, TABLE, open_queue

    if address == LOCAL and not (city.folder / TABLE).exists():
        yield "ok", "no jobs"  # to open the table would make it
        return
    with open_queue(address, city.folder, city.id) as queue:
        counts = queue.counts()
    words = ", ".join(f"{count} {state}" for state, count in counts.items())
    yield ("note", f"{words}; passerby work --status") if counts["dead"] else ("ok", words)
