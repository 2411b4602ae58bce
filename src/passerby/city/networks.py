"""The network of a gallery's vectors, now and after it is switched to another."""

from typing import TYPE_CHECKING

from passerby.city.gallery.port import Gallery
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.runtime import Embedder


def check_network(gallery: Gallery, model_id: str) -> None:
    """Refuse at once what the gallery would refuse after the work.

    Raises:
        InputError: The gallery was made by another network.
    """
    stored = gallery.model_id
    if stored is not None and stored != model_id:
        raise InputError(
            f"the gallery was made by '{stored}', this is '{model_id}'; "
            "use that network, or ingest the city again"
        )


class Networks:
    """One network, or two of which a gallery is to change from the first to the second.

    ``passerby admin gallery reembed`` switches a gallery at one moment; a program that has both
    networks at hand goes on without a restart.
    """

    def __init__(
        self, gallery: Gallery, embedder: "Embedder", following: "Embedder | None" = None
    ) -> None:
        """Take the network of ``gallery`` and the one it may be switched to.

        Raises:
            InputError: The gallery was made by neither.
        """
        self._gallery = gallery
        self._known = {one.model_id: one for one in (embedder, following) if one is not None}
        self._first = embedder
        if gallery.model_id not in self._known:
            check_network(gallery, embedder.model_id)

    def named(self, model_id: str) -> "Embedder":
        """One of the networks, by the id of its vectors."""
        return self._known[model_id]

    def now(self) -> "Embedder":
        """The network the gallery's vectors are of; of an empty gallery the first.

        A gallery that was meanwhile switched to a network nobody named gets the first one too: it
        refuses its vectors.
        """
        stored = self._gallery.model_id
        return self._first if stored is None else self._known.get(stored, self._first)
