"""Views of crops, gathered: a page shows dozens at once, and the audit gets one entry for them."""

import threading

from passerby.service.audit import Audit
from passerby.service.database import now

MOST = 200  # views in one entry
LONGEST = 60_000  # ms that a view may wait for its entry


class Views:
    """Who looked at which crops since the last entry."""

    def __init__(self, audit: Audit) -> None:
        self.audit = audit
        self._waiting: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self._lock = threading.Lock()

    def note(self, account: str, unit: str, sighting: str) -> None:
        """Note one view; writes an entry when enough have gathered."""
        time = now()
        with self._lock:
            since, seen = self._waiting.setdefault((account, unit), (time, []))
            if sighting not in seen:
                seen.append(sighting)
            due = len(seen) >= MOST or time - since > LONGEST
        if due:
            self.flush(account)

    def flush(self, account: str | None = None) -> None:
        """Write what has gathered, for one account or for all."""
        with self._lock:
            keys = [key for key in self._waiting if account in (None, key[0])]
            gathered = {key: self._waiting.pop(key)[1] for key in keys}
        by_account: dict[str, dict[str, list[str]]] = {}
        for (name, unit), sightings in gathered.items():
            by_account.setdefault(name, {})[unit] = sightings
        for name, units in by_account.items():
            self.audit.append(
                "crops_viewed",
                account=name,
                units=tuple(sorted(units)),
                details={"sightings": sorted(s for seen in units.values() for s in seen)},
            )
