from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from passerby.data import CropTable, ImageStore, read
from passerby.data.store import read_crop
from passerby.errors import InputError


def test_all_crops_in_order(market: Path) -> None:
    table = read("market1501", market)
    store = ImageStore.load(table, size=(32, 16))
    assert store.images.shape == (8, 3, 32, 16)
    assert store.images.dtype.itemsize == 1
    for image, path in zip(store.images, table.paths(), strict=True):
        expected = Image.open(path).convert("RGB").resize((16, 32), Image.Resampling.BILINEAR)
        assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(expected))


def test_colours_are_rgb_and_pictures_turned(tmp_path: Path, picture: Callable[..., Path]) -> None:
    red = picture(tmp_path / "a.png", (255, 0, 0))
    assert read_crop(red, (4, 4))[0, 0].tolist() == [255, 0, 0]
    image = Image.new("RGB", (6, 4))
    image.paste((0, 0, 255), (0, 0, 3, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned to the right
    image.save(tmp_path / "turned.png", exif=exif)
    shown = read_crop(tmp_path / "turned.png", (6, 4))
    assert shown[0, 0].tolist() == [0, 0, 255]
    assert shown[5, 0].tolist() == [0, 0, 0]
    Image.new("L", (4, 8), 77).save(tmp_path / "grey.png")
    assert read_crop(tmp_path / "grey.png", (8, 4))[3, 3].tolist() == [77] * 3


def test_unreadable_pictures_are_all_named_or_left_out(market: Path) -> None:
    table = read("market1501", market)
    paths = table.paths()
    paths[1].write_bytes(b"")
    paths[2].write_bytes(paths[3].read_bytes()[:200])
    paths[5].unlink()
    with pytest.raises(InputError, match="3 pictures cannot be read") as error:
        ImageStore.load(table, size=(16, 8))
    for row in (1, 2, 5):
        assert paths[row].name in str(error.value)
    assert "no such file" in str(error.value)
    store = ImageStore.load(table, size=(16, 8), on_error="skip")
    assert len(store) == len(store.images) == 5
    assert [path for path, _ in store.unreadable] == [paths[row] for row in (1, 2, 5)]
    assert store.table.path.tolist() == [table.path[row] for row in (0, 3, 4, 6, 7)]


def test_other_interpolations(market: Path) -> None:
    table = read("market1501", market)
    ImageStore.load(table, size=(16, 8), interpolation="bicubic", threads=1)
    with pytest.raises(InputError, match="no interpolation 'nearest'"):
        ImageStore.load(table, size=(16, 8), interpolation="nearest")


def test_an_empty_table(tmp_path: Path) -> None:
    empty = CropTable(path=[], identity=[], camera=[], split=[], root=tmp_path)
    assert ImageStore.load(empty, size=(16, 8)).images.shape == (0, 3, 16, 8)
