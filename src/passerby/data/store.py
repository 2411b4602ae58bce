"""The crops of a table in memory, decoded and resized once."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from passerby.data.rgb import to_rgb
from passerby.data.table import CropTable
from passerby.errors import InputError

INTERPOLATIONS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageStore:
    """Pictures of a table as one uint8 tensor.

    Market-1501's training set is 0.32 GB at 128 x 64. It stays in memory, so that no process loads
    files while a network trains.

    Attributes:
        table: The rows that could be read, in the order of ``images``.
        images: (N, 3, H, W) uint8, RGB.
        unreadable: Path and reason of each row left out.
    """

    table: CropTable
    images: Tensor
    unreadable: tuple[tuple[Path, str], ...] = ()

    @classmethod
    def load(
        cls,
        table: CropTable,
        *,
        size: tuple[int, int],
        interpolation: str = "bilinear",
        on_error: Literal["raise", "skip"] = "raise",
        threads: int | None = None,
        progress: bool = False,
    ) -> "ImageStore":
        """Decode every crop of ``table`` and resize it as the recipe or the model card says.

        Args:
            table: N rows.
            size: (H, W) in pixels.
            interpolation: "bilinear" or "bicubic"; Pillow's filters (they widen when shrinking).
            on_error: "raise" stops with the names of the unreadable files; "skip" leaves them out.
            threads: Decoding threads; all cores by default.
            progress: Whether to show a bar on standard error.

        Raises:
            InputError: Files are missing or damaged, or the interpolation is unknown.
        """
        if interpolation not in INTERPOLATIONS:
            known = ", ".join(INTERPOLATIONS)
            raise InputError(f"no interpolation '{interpolation}'; there are: {known}")
        images = torch.empty(len(table), 3, *size, dtype=torch.uint8)
        arrays = images.numpy()

        def decode(row: int, path: Path) -> str | None:
            try:
                arrays[row] = read_crop(path, size, interpolation).transpose(2, 0, 1)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                return "no such file" if isinstance(error, FileNotFoundError) else str(error)
            return None

        paths = table.paths()
        with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
            work = pool.map(decode, range(len(paths)), paths)
            hidden = None if progress else True  # None: no bar in a log file
            reasons = list(tqdm(work, "reading crops", len(paths), leave=False, disable=hidden))
        failed = [(p, r) for p, r in zip(paths, reasons, strict=True) if r is not None]
        if failed and on_error == "raise":
            raise InputError(_unreadable(failed))
        if failed:
            kept = np.flatnonzero([reason is None for reason in reasons])
            table, images = table.select(kept), images[torch.from_numpy(kept)]
        return cls(table=table, images=images, unreadable=tuple(failed))

    def __len__(self) -> int:
        return len(self.table)


def read_crop(path: Path, size: tuple[int, int], interpolation: str = "bilinear") -> np.ndarray:
    """Read one picture as RGB uint8 (H, W, 3), rotated according to its EXIF data and resized.

    The embedder's pixels (``passerby.runtime.pictures``) are the same, bit by bit.
    """
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened) if "exif" in opened.info else opened
        image.load()
        image = to_rgb(image)
    if image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), INTERPOLATIONS[interpolation])
    return np.asarray(image)


def _unreadable(failed: list[tuple[Path, str]]) -> str:
    shown = "; ".join(f"'{path}' ({reason})" for path, reason in failed[:5])
    more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
    count = f"{len(failed)} picture{'s' if len(failed) > 1 else ''}"
    return f"{count} cannot be read: {shown}{more}; replace them, or skip unreadable ones"
