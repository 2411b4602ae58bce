"""Crops beside their activation maps, for some rank lists."""

from dataclasses import dataclass

import numpy as np
from torch import nn

from passerby.data.store import read_crop
from passerby.models import ModelCard
from passerby.visual.activation import activation_maps, overlay
from passerby.visual.pictures import data_uri
from passerby.visual.rank_lists import RankList
from passerby.visual.results import Results


@dataclass(frozen=True, kw_only=True)
class Look:
    """One crop and where the network looks in it.

    Attributes:
        kind: ``"query"``, ``"true"`` or ``"false"``.
        says: Rank and camera.
        crop: Data URI.
        map: Data URI of the crop with its map.
    """

    kind: str
    says: str
    crop: str
    map: str


def looks(
    results: Results, lists: list[RankList], network: nn.Module, card: ModelCard
) -> list[list[Look]]:
    """For each rank list the query, its best true match and its nearest wrong crop, with maps.

    Raises:
        InputError: The network has no map; a crop cannot be read.
    """
    return [_one(results, item, network, card) for item in lists]


def _one(results: Results, item: RankList, network: nn.Module, card: ModelCard) -> list[Look]:
    query, gallery = results.query, results.gallery
    shown = [("query", f"query, camera {query.camera[item.query]}", query.paths()[item.query])]
    true = next((e for e in item.entries if e.kind == "true"), item.best_true)
    wrong = next((e for e in item.entries if e.kind == "false"), None)
    paths = gallery.paths()
    for entry in (true, wrong):
        if entry is not None:
            says = f"rank {entry.rank}, camera {gallery.camera[entry.row]}"
            shown.append((entry.kind, says, paths[entry.row]))
    crops = np.stack([read_crop(p, card.input_size, card.interpolation) for _, _, p in shown])
    maps = activation_maps(network, card, crops)
    return [
        Look(kind=kind, says=says, crop=data_uri(crop), map=data_uri(overlay(crop, strength)))
        for (kind, says, _), crop, strength in zip(shown, crops, maps, strict=True)
    ]
