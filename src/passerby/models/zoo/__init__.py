"""Published networks by name: their addresses, their terms, and how to get them."""

from passerby.models.zoo.cache import cache_folder, pulled
from passerby.models.zoo.pull import Pulled, bring, pull
from passerby.models.zoo.table import ZooEntry, ZooFile, entries, find

__all__ = [
    "Pulled",
    "ZooEntry",
    "ZooFile",
    "bring",
    "cache_folder",
    "entries",
    "find",
    "pull",
    "pulled",
]
