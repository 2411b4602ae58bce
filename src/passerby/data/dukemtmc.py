"""DukeMTMC-reID (Ristani et al., 2016; Zheng et al., ICCV 2017)."""

import warnings
from pathlib import Path

from passerby.data.market1501 import read_market_tree
from passerby.data.table import CropTable


def read_dukemtmc(root: Path) -> CropTable:
    """Read DukeMTMC-reID, which has Market-1501's layout and names such as 0005_c2_f0046985.jpg.

    Its authors withdrew the set in 2019, as the people in it had not consented; a warning says so.
    The gallery has 408 people who are in no query. There is no junk.

    Args:
        root: The tree, or a folder that holds it in ``DukeMTMC-reID``.

    Raises:
        InputError: As :func:`passerby.data.market1501.read_market1501`.
    """
    table = read_market_tree(root, name="dukemtmc-reid", nested=("DukeMTMC-reID",))
    warnings.warn(
        "DukeMTMC-reID was withdrawn by its authors in 2019 for want of consent of the people "
        "shown; use it to compare with published figures only, if at all",
        stacklevel=2,
    )
    return table
