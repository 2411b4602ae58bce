"""``passerby admin``: one sub-verb, one function, imported only when it is called."""

import importlib
from collections.abc import Sequence

from passerby.errors import InputError

# sub-verb -> (module, function of its words -> exit status, what it does)
VERBS: dict[str, tuple[str, str, str]] = {
    "create": ("passerby.cli.admin_city", "create", "make a city from its map files"),
    "stats": ("passerby.cli.admin_city", "stats", "size and state of a city's gallery"),
    "verify": ("passerby.cli.admin_city", "verify", "read a gallery in full and name damage"),
    "retention": (
        "passerby.cli.admin_city",
        "retention",
        "delete sightings older than so many days",
    ),
    "compact": ("passerby.cli.admin_city", "compact", "make deleted bytes disappear from the disk"),
    "gallery": ("passerby.cli.admin_gallery", "gallery", "bulk adds, a new model, upkeep, moving"),
    "snapshot": ("passerby.cli.admin_city", "snapshot", "copy a gallery while it is in use"),
    "backup": ("passerby.cli.admin_moving", "backup", "keep a whole city while it is in use"),
    "restore": ("passerby.cli.admin_moving", "restore", "make a city from a backup, or check one"),
    "database": ("passerby.cli.admin_database", "database", "where the catalogue is; its schema"),
    "account": ("passerby.cli.admin_accounts", "account", "list, add or change accounts"),
    "case": ("passerby.cli.admin_accounts", "case", "list or open cases"),
    "audit": ("passerby.cli.admin_accounts", "audit", "verify or show the audit"),
    "settings": ("passerby.cli.admin_accounts", "settings", "show or change the service's policy"),
}


def main(arguments: Sequence[str]) -> int:
    """Run one sub-verb."""
    return dispatch(VERBS, arguments, "admin")


def dispatch(verbs: dict[str, tuple[str, str, str]], arguments: Sequence[str], parent: str) -> int:
    """Run the sub-verb that the first word names, or list them all."""
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, verbs))
        print(f"usage: passerby {parent} VERB [options]     passerby {parent} VERB --help\n")
        print("\n".join(f"  {verb:<{width}}  {what}" for verb, (_, _, what) in verbs.items()))
        return 0
    verb, rest = arguments[0], list(arguments[1:])
    if verb not in verbs:
        raise InputError(f"no sub-verb '{verb}'; 'passerby {parent} --help' lists them")
    module, function, _ = verbs[verb]
    return int(getattr(importlib.import_module(module), function)(rest) or 0)
