import hashlib
import os
from pathlib import Path

import pytest

from passerby.city.crops import CropStore
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
