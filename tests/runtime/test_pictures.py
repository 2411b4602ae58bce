"""Every kind of picture becomes the same RGB pixels; what is no picture is named."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from passerby.data.listing import find_pictures, walk_pictures
from passerby.errors import InputError
from passerby.runtime import read_image, resize


def picture(height: int = 40, width: int = 20) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_all_ways_to_give_a_picture_give_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(picture()).save(path)
    expected = np.asarray(Image.open(path).convert("RGB"))
    for source in (path, str(path), path.read_bytes(), Image.open(path), expected):
        assert np.array_equal(read_image(source), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    back = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    upright = picture()
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(np.ascontiguousarray(back(upright))).save(path, exif=exif)
    assert np.array_equal(read_image(path), upright)
    assert np.array_equal(read_image(Image.open(path)), upright)


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    rgba = np.dstack([picture(), np.full((40, 20), 255, np.uint8)])
    rgba[:10, :, 3] = 0
    path = tmp_path / "a.png"
    Image.fromarray(rgba).save(path)
    for source in (path, rgba):
        image = read_image(source)
        assert (image[:10] == 255).all()
        assert np.array_equal(image[10:], rgba[10:, :, :3])


def test_grey_palette_and_deep_pictures(tmp_path: Path) -> None:
    grey = picture()[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.gif")
    expected = np.repeat(grey[:, :, None], 3, axis=2)
    for name in ("grey.png", "deep.png", "palette.gif"):
        assert np.array_equal(read_image(tmp_path / name), expected), name
    assert np.array_equal(read_image(grey), expected)


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (20, 40), (0, 255, 255, 0)).save(tmp_path / "red.jpg")
    red = read_image(tmp_path / "red.jpg").reshape(-1, 3).mean(axis=0)
    assert red[0] > 200
    assert red[1:].max() < 60


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (jpeg()[:800], "truncated"),
        (b"%PDF-1.7 not a picture", "not a picture"),
        (b"", "empty"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "not a picture|damaged"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_image(path)
    assert "broken.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="folder"):
        read_image(tmp_path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((40, 20, 3), np.float32), "float32"),
        (np.zeros((3, 40, 20), np.uint8), "shape"),
        (np.zeros((4, 4, 3), np.uint8), "too small"),
        (np.zeros((0, 0, 3), np.uint8), "too small"),
    ],
)
def test_arrays_that_are_no_pictures(array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_image(array)
    with pytest.raises(InputError, match="PIL image"):
        read_image(7)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(256, 128), (20, 10), (64, 32)])
def test_resize_is_torchvisions_within_rounding(size: tuple[int, int]) -> None:
    image = picture(90, 50)
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    other = functional.resize(tensor, list(size), antialias=True).permute(1, 2, 0).numpy()
    assert np.abs(resize(image, size).astype(int) - other).max() <= 1
    assert resize(image, image.shape[:2]) is image


def test_walking_is_in_the_order_of_paths(tmp_path: Path) -> None:
    names = ["a.jpg", "a/b.jpg", "a/b/c.png", "a-b/x.JPG", "ab.webp", "a0.tif", "z/y/x.bmp"]
    for name in [*names, "a/note.txt", "z/.hidden"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "empty.jpg").mkdir()
    (tmp_path / "round").symlink_to(tmp_path, target_is_directory=True)
    assert list(walk_pictures(tmp_path)) == sorted(names)
    assert find_pictures(tmp_path) == [tmp_path / name for name in sorted(names)]
