"""Whatever decodes a picture, its pixels are Pillow's, and so those of training."""

import importlib.util
import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from passerby.data import CropTable, ImageStore
from passerby.data.store import INTERPOLATIONS
from passerby.errors import InputError
from passerby.runtime import Embedder, pictures, read_image, resize
from passerby.runtime.pictures import decode_plain_jpeg

fast = pytest.mark.skipif(
    importlib.util.find_spec("simplejpeg") is None, reason="simplejpeg is not installed"
)
SIZES = ((128, 64), (9, 8), (61, 37), (200, 80))


def noise(height: int, width: int) -> Image.Image:
    """Detail at every scale, in colours that subsampling blurs."""
    rng = np.random.default_rng(height)
    coarse = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3)).astype(np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    fine = rng.integers(0, 80, (height, width, 3)).astype(np.uint8)
    return Image.fromarray(np.maximum(np.asarray(smooth), fine))


def jpeg(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@fast
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "options",
    [
        {"quality": 75},
        {"quality": 95, "subsampling": "4:4:4"},
        {"quality": 30, "subsampling": "4:2:2"},
        {"quality": 80, "progressive": True, "optimize": True},
        {"quality": 80, "restart_marker_blocks": 3, "comment": "a comment"},
    ],
)
def test_a_plain_jpeg_has_pillows_pixels(size: tuple[int, int], options: dict[str, Any]) -> None:
    data = jpeg(noise(*size), **options)
    decoded = decode_plain_jpeg(data)
    assert decoded is not None, "the fast way is taken"
    assert np.array_equal(decoded, pillow(data))


@fast
def test_a_grey_jpeg_has_pillows_pixels() -> None:
    data = jpeg(noise(60, 30).convert("L"))
    decoded = decode_plain_jpeg(data)
    assert decoded is not None
    assert np.array_equal(decoded, pillow(data))


def test_what_is_not_plain_is_left_to_pillow(tmp_path: Path) -> None:
    image = noise(40, 20)
    turned = Image.Exif()
    turned[0x0112] = 6
    png = io.BytesIO()
    image.save(png, "PNG")
    for data in (
        jpeg(image, exif=turned),
        jpeg(image.convert("CMYK")),
        jpeg(image)[:-2],
        jpeg(image)[:60] + b"\xff\xd9",
        png.getvalue(),
        b"",
        b"\xff\xd8\xff\xd9",
    ):
        assert decode_plain_jpeg(data) is None


def test_too_many_pixels_are_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg(noise(40, 20))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 20 - 1)
    assert decode_plain_jpeg(data) is None
    with pytest.raises(InputError, match="too many pixels"):
        read_image(data)


def test_another_decoder_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where simplejpeg's pixels are others, or it is not there, Pillow decodes."""
    data = jpeg(noise(40, 20))
    for other in (lambda d: pillow(d) ^ 1, lambda _: None):
        monkeypatch.setattr(pictures, "_decode", other)
        pictures._agrees_with_pillow.cache_clear()
        assert decode_plain_jpeg(data) is None
        assert np.array_equal(read_image(data), pillow(data))
    pictures._agrees_with_pillow.cache_clear()


def test_damage_is_damage_in_both() -> None:
    """Random bytes changed or cut off: the same pixels as Pillow's, or the same refusal."""
    rng = random.Random(0)
    for round_ in range(150):
        data = bytearray(jpeg(noise(24, 16), progressive=round_ % 3 == 0))
        if round_ % 2:
            data = data[: rng.randrange(10, len(data))] + b"\xff\xd9"
        for _ in range(rng.randrange(3)):
            data[rng.randrange(2, len(data) - 2)] = rng.randrange(256)
        decoded = decode_plain_jpeg(bytes(data))
        if decoded is not None:
            assert np.array_equal(decoded, pillow(bytes(data)))


def pictures_of_every_kind(folder: Path) -> list[Path]:
    image = noise(90, 40)
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    kinds: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "plain.jpg": (image, {}),
        "fine.jpg": (image, {"quality": 95, "subsampling": "4:4:4"}),
        "progressive.jpg": (image, {"progressive": True}),
        "grey.jpg": (image.convert("L"), {}),
        "cmyk.jpg": (image.convert("CMYK"), {}),
        "turned.jpg": (image, {"exif": turned}),
        "plain.png": (image, {}),
        "clear.png": (clear, {}),
        "palette.png": (image.quantize(64), {}),
        "deep.png": (Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257), {}),
        "plain.webp": (image, {}),
        "plain.bmp": (image, {}),
    }
    for name, (picture, options) in kinds.items():
        picture.save(folder / name, **options)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("interpolation", sorted(INTERPOLATIONS))
@pytest.mark.parametrize("size", [(256, 128), (64, 32), (90, 40)])
def test_the_pixels_are_those_of_training(
    tmp_path: Path, size: tuple[int, int], interpolation: str
) -> None:
    paths = pictures_of_every_kind(tmp_path)
    table = CropTable(
        path=np.array([path.name for path in paths]),
        identity=np.zeros(len(paths), np.int64),
        camera=np.zeros(len(paths), np.int64),
        split=np.full(len(paths), "train"),
        root=tmp_path,
        name="kinds",
    )
    store = ImageStore.load(table, size=size, interpolation=interpolation)
    for path, image in zip(paths, store.images, strict=True):
        ours = resize(read_image(path), size, interpolation)
        assert np.array_equal(ours, image.permute(1, 2, 0).numpy()), path.name


def test_same_picture_same_vector(tmp_path: Path, weights: Path) -> None:
    """Path, bytes, PIL image and array give the same vector, bit by bit."""
    embedder = Embedder.load(weights, runtime="torch")
    for path in pictures_of_every_kind(tmp_path):
        vectors = [
            embedder.embed([source])
            for source in (path, str(path), path.read_bytes(), Image.open(path), read_image(path))
        ]
        for vector in vectors[1:]:
            assert np.array_equal(vector, vectors[0]), path.name
