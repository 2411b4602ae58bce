"""The newest sightings of a scope, one of each tracklet, through the gallery's own port."""

import numpy as np

from passerby.city import City, Scope, Sighting

_MORE = 4  # sightings looked at per tracklet wanted


def newest(city: City, scope: Scope, limit: int) -> list[Sighting]:
    """Up to ``limit`` tracklets of a scope, each by its best sighting, newest first.

    A search for as many sightings as the scope holds returns every one of them, whatever the
    query; so the window is first shortened until it holds few.
    """
    seen = [one for one in city.gallery.coverage(scope) if one.sightings]
    if not seen:
        return []
    first, last = min(one.first for one in seen), max(one.last for one in seen)
    start = _start(city, scope, first, last, limit * _MORE)
    window = Scope(units=scope.units, cameras=scope.cameras, start=start, end=last + 1)
    count = city.gallery.count(window)
    anything = np.ones((1, city.gallery.dimension or 1), dtype=np.float32)
    ids = city.gallery.search(anything, max(count, 1), window)[0].ids
    best: dict[str, Sighting] = {}
    for one in city.gallery.get(ids):
        name = one.tracklet or one.id
        if name not in best or one.quality > best[name].quality:
            best[name] = one
    return sorted(best.values(), key=lambda one: (-one.time, one.id))[:limit]


def _start(city: City, scope: Scope, first: int, last: int, most: int) -> int:
    """The earliest start (to the second) from which on the scope holds at most ``most``."""
    low, high = first, last
    if city.gallery.count(scope) <= most:
        return low
    while high - low > 1000:
        middle = (low + high) // 2
        window = Scope(units=scope.units, cameras=scope.cameras, start=middle, end=last + 1)
        if city.gallery.count(window) <= most:
            high = middle
        else:
            low = middle
    return high
