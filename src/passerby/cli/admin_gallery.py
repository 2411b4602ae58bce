"""``passerby admin gallery``: what is done to the store of sightings."""

from collections.abc import Sequence

from passerby.cli.admin import dispatch

VERBS: dict[str, tuple[str, str, str]] = {
    "add": ("passerby.cli.admin_gallery_upkeep", "add", "add a Parquet table of vectors"),
    "reembed": ("passerby.cli.admin_gallery_upkeep", "reembed", "switch to another network"),
    "compact": ("passerby.cli.admin_gallery_upkeep", "compact", "make deleted bytes disappear"),
    "copy": ("passerby.cli.admin_moving", "copy", "into another store, compared; resumes"),
    "use": ("passerby.cli.admin_moving", "use", "say which store a city uses"),
    "upgrade": ("passerby.cli.admin_gallery_upkeep", "upgrade", "take over an old gallery"),
    "check": ("passerby.cli.admin_gallery_upkeep", "check", "is it readable, writable, whole?"),
}


def gallery(arguments: Sequence[str]) -> int:
    """Run one sub-verb of ``passerby admin gallery``."""
    return dispatch(VERBS, arguments, "admin gallery")
