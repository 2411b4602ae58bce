"""Backups and the files of a city: what is damaged or hostile ends in one clear line."""

import contextlib
import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from passerby.cli import main
from passerby.ingest.own_city import create_small_city
from tests.fuzzing import (
    BYTES,
    FEW,
    JSON,
    MANY,
    PLACE,
    Format,
    check_reader,
    check_verb,
    limited,
    make_world,
    try_format,
    verb,
    write_json,
)
from tests.test_fuzz import MAP


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("fuzz"))


def write_backup(path: Path) -> None:
    folder = path.parent / "of-a-backup"
    path.unlink(missing_ok=True)
    create_small_city(folder, camera="C01", place=PLACE).close()
    assert main(["admin", "backup", str(folder), str(path)]) == 0
    shutil.rmtree(folder)


def write_contents(path: Path) -> None:
    """The manifest of a backup, which :func:`restore_manifest` puts into a tar file."""
    write_backup(path.with_suffix(".tar"))
    with tarfile.open(path.with_suffix(".tar")) as tar:
        found = tar.extractfile("manifest.json")
        assert found is not None
        path.write_bytes(found.read())


def city_file(name: str, *words: str) -> Callable[[Path, Path], int]:
    """A verb on a copy of the city, one file of which is the mutated one."""

    def run(path: Path, world: Path) -> int:
        copy = world / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(world / "city", copy)
        (copy / name).unlink(missing_ok=True)
        shutil.copy(path, copy / name)
        for extra in ("-wal", "-shm"):
            (copy / f"{name}{extra}").unlink(missing_ok=True)
        return check_verb([str(copy) if word == "CITY" else word for word in words], (0, 1, 2))

    return run


def of_city(name: str) -> Callable[[Path], None]:
    """A file of the world's city."""
    return lambda path: shutil.copy(path.parent / "city" / name, path) and None


def restore_manifest(path: Path, world: Path) -> int:
    tar = world / "changed.tar"
    with tarfile.open(path.with_suffix(".tar")) as old, tarfile.open(tar, "w") as new:
        for member in old:
            data = (
                old.extractfile(member).read()
                if member.name != "manifest.json"
                else path.read_bytes()
            )  # type: ignore[union-attr]
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    return verb("admin", "restore", str(tar), "NEW")(path, world)


def landscape(path: Path, world: Path) -> int:
    from passerby.service.routes.map import _landscape

    return check_reader(_landscape.__wrapped__, path)


def write_position(path: Path) -> None:
    from passerby.ingest.position import to_bytes

    path.write_bytes(to_bytes({"a": [1, 2.5, None, {"b": (1, b"x")}], "c": np.zeros((2, 3))}))


def position(path: Path, _world: Path) -> int:
    from passerby.ingest.position import from_file

    with limited(), contextlib.suppress(ValueError):  # the run begins anew then
        from_file(path)
    return 0


FORMATS: dict[str, Format] = {
    "landscape": Format(
        make=write_json(MAP["units"]), suffix=".geojson", ways=JSON, read=landscape
    ),
    "backup": Format(
        make=write_backup, suffix=".tar", ways=BYTES, read=verb("admin", "restore", "FILE", "NEW")
    ),
    "backup: manifest": Format(
        make=write_contents, suffix=".json", ways=JSON, read=restore_manifest
    ),
    "database.json": Format(
        make=write_json({"address": "postgresql://a@127.0.0.1:1/b?sslmode=disable"}),
        suffix=".json",
        ways=JSON,
        good=2,
        read=city_file("database.json", "admin", "stats", "CITY"),
        every=3,
    ),
    **{
        f"city: {name}": Format(
            make=of_city(name),
            suffix=Path(name).suffix,
            ways=BYTES,
            read=city_file(name, "admin", *words, "CITY"),
            every=2,
        )
        for name, words in (
            ("catalogue.sqlite", ("verify",)),
            ("gallery/gallery.sqlite", ("verify",)),
            ("gallery/acknowledged", ("stats",)),
            ("service.key", ("audit", "verify")),
            ("audit.heads", ("audit", "verify")),
        )
    },
    "position": Format(make=write_position, suffix=".tracks", ways=BYTES, read=position),
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_few_mutations_of_every_format(world: Path, name: str) -> None:
    try_format(name, FORMATS[name], world, FEW)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_many_mutations_of_every_format(world: Path, name: str) -> None:
    try_format(name, FORMATS[name], world, MANY)
