"""PersonX, simulated people (Sun and Zheng, CVPR 2019)."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from passerby.data.market1501 import FOLDERS, find_tree, is_market_tree, read_split
from passerby.data.table import CropTable, concatenate
from passerby.errors import InputError

BACKGROUNDS = ("4", "5", "6")


def read_personx(root: Path) -> CropTable:
    """Read "subset1", the 9,840 + 5,136 + 30,816 pictures of the published tables.

    It has Market-1501's layout; its six cameras are numbered 3, 4, 8, 10, 11 and 12.

    Args:
        root: The tree, or a folder that holds it in ``PersonX``, ``personx`` or ``subset1``.

    Raises:
        InputError: As :func:`passerby.data.market1501.read_market1501`.
    """
    folder = find_tree(Path(root), "personx", ("PersonX", "personx", "subset1"))
    parts = [read_split(folder, inner, split, "personx") for split, inner in FOLDERS.items()]
    return _nobody_is_zero(concatenate(parts, name="personx", root=folder))


def read_personx_456(root: Path) -> CropTable:
    """Read the backgrounds 4, 5 and 6 of ``PersonX_v1``, each a tree in Market-1501's layout.

    The background serves as the camera: the same people are shown in front of each.

    Args:
        root: ``PersonX_v1`` with its folders 4, 5 and 6, or the folder that holds it.

    Raises:
        InputError: A background is missing.
    """
    root = Path(root)
    folder = next((f for f in (root, root / "PersonX_v1") if (f / "4").is_dir()), root)
    parts = []
    for background in BACKGROUNDS:
        if not is_market_tree(folder / background):
            raise InputError(
                f"personx-456: '{folder / background}' is not a tree of bounding_box_train, query "
                "and bounding_box_test; give the folder PersonX_v1"
            )
        for split, inner in FOLDERS.items():
            part = read_split(folder, f"{background}/{inner}", split, "personx-456")
            camera = np.full(len(part), int(background))
            parts.append(replace(part, camera=camera))
    return _nobody_is_zero(concatenate(parts, name="personx-456", root=folder))


def _nobody_is_zero(table: CropTable) -> CropTable:
    """Number people from 1 where they are numbered from 0, as the set has no distractors."""
    if (table.identity == 0).any():
        return replace(table, identity=table.identity + (table.identity >= 0))
    return table
