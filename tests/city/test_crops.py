import hashlib
import os
from pathlib import Path

import pytest

from passerby.city.crops import Context, CropStore
from passerby.errors import InputError

JPEG = b"\xff\xd8\xff\xe0 a picture"


def test_a_crop_is_its_hash(tmp_path: Path) -> None:
    store = CropStore(tmp_path / "crops")
    name = store.put(JPEG)
    assert name == hashlib.sha256(JPEG).hexdigest()
    assert store.put(JPEG) == name
    assert store.path(name) == tmp_path / "crops" / name[:2] / f"{name}.jpg"
    assert store.path(name).read_bytes() == JPEG
    assert name in store
    assert [path.name for path in store.path(name).parent.iterdir()] == [f"{name}.jpg"]


@pytest.mark.parametrize("name", ["0" * 64, "../../etc/passwd", "", "ab/cd"])
def test_unknown_names_are_refused(tmp_path: Path, name: str) -> None:
    store = CropStore(tmp_path)
    assert name not in store
    with pytest.raises(InputError, match="no crop"):
        store.path(name)


def test_only_jpeg(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="JPEG"):
        CropStore(tmp_path).put(b"GIF89a")


def test_unused_crops_go_and_young_ones_stay(tmp_path: Path) -> None:
    store = CropStore(tmp_path)
    used, unused, young = (store.put(JPEG + bytes([i])) for i in range(3))
    for name in (used, unused):
        os.utime(store.path(name), (0, 0))
    freed = store.remove_unused(lambda names: {used} & set(names))
    assert freed == len(JPEG) + 1
    assert used in store
    assert unused not in store
    assert young in store


def test_a_scene_lives_and_dies_with_its_crop(tmp_path: Path) -> None:
    store = CropStore(tmp_path / "crops")
    used, unused, plain = (
        store.put(JPEG + end, scene) for end, scene in ((b"1", b"one"), (b"2", b"two"), (b"3", b""))
    )
    assert store.scene_path(plain) is None
    assert store.scene_path("../../etc/passwd") is None
    paths = {name: store.scene_path(name) for name in (used, unused)}
    assert [path.read_bytes() for path in paths.values() if path] == [b"one", b"two"]
    for path in (tmp_path / "crops").rglob("*.jpg"):
        os.utime(path, (0, 0))
    assert store.remove_unused(lambda names: {used, plain} & set(names)) == len(JPEG) + 1 + 3
    assert store.scene_path(unused) is None
    assert store.scene_path(used) == paths[used]
    assert len(list((tmp_path / "crops").rglob("*.jpg"))) == 3


def test_crops_of_one_frame_share_its_scene(tmp_path: Path) -> None:
    store = CropStore(tmp_path / "crops")
    names = [store.put(JPEG + bytes([i]), b"the scene") for i in range(3)]
    paths = [store.scene_path(name) for name in names]
    assert len({path.stat().st_ino for path in paths if path}) == 1
    for path in (tmp_path / "crops").rglob("*.jpg"):
        os.utime(path, (0, 0))
    freed = store.remove_unused(lambda _: {names[0]})
    assert freed == 2 * (len(JPEG) + 1)  # the scene is still in use
    assert store.scene_path(names[0]) is not None
    again = store.put(JPEG + b"again", b"the scene")  # the first file may be gone by now
    assert store.scene_path(again) is not None


def test_the_comment_of_a_crop_says_where_it_was_cut(tmp_path: Path) -> None:
    import io

    from PIL import Image

    context = Context(clip="ab" * 32, frame=7, position=0.28, size=(432, 768), scene="cd" * 32)
    store = CropStore(tmp_path)
    names = []
    for comment in (context.as_comment(), b"", b"made by another program", b'{"passerby": 3}'):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 16)).save(buffer, "JPEG", comment=comment)
        names.append(store.put(buffer.getvalue()))
    assert [store.context(name) for name in names] == [context, None, None, None]
    assert store.context(store.put(JPEG)) is None
    with pytest.raises(InputError, match="no crop"):
        store.context("0" * 64)
