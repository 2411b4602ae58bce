"""Write a whole simulated city to disk, or nothing when an error occurs."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import passerby
from passerby.errors import InputError
from passerby.simulate import tables
from passerby.simulate.clips import record_clips
from passerby.simulate.options import SimulationOptions
from passerby.simulate.rendering import Renderer, render_all
from passerby.simulate.shots import (
    FOLDERS,
    PERSON,
    SPLITS,
    CropList,
    Shots,
    list_crops,
    roles,
    take_shots,
)
from passerby.simulate.world import SHOTS, SPLIT, World, appearances_of, build_world, stream

MARK = "simulation.json"  # the last file written; says that a folder is a whole simulation


def simulate(
    out: Path,
    options: SimulationOptions,
    *,
    workers: int = 2,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Simulate a city and write it to ``out``.

    Args:
        out: the folder to make; it appears only when everything is written.
        options: what to simulate.
        workers: processes that render; the result does not depend on it.
        overwrite: replace a simulation that is there already.
        progress: show a bar on stderr.

    Returns:
        The content of ``simulation.json``, with the seconds that each step took.

    Raises:
        InputError: when ``out`` is not empty and may not be replaced.
    """
    if workers < 1:
        raise InputError(f"workers is {workers}; it must be 1 or more")
    _check_free(out, overwrite=overwrite)
    seconds: dict[str, float] = {}
    with whole_folder(out) as folder:
        record = _fill(folder, options, seconds, workers=workers, progress=progress)
        tables.write_json(folder / MARK, record)
    return {**record, "seconds": {name: round(value, 2) for name, value in seconds.items()}}


def _fill(
    folder: Path,
    options: SimulationOptions,
    seconds: dict[str, float],
    *,
    workers: int,
    progress: bool,
) -> dict[str, Any]:
    """Write all files but simulation.json; return its content and add the seconds of each step."""
    with _timed(seconds, "geometry"):
        world = build_world(options)
        appearances = appearances_of(world)
        shots, crops = _listed(world, appearances.statures)
    with _timed(seconds, "tables"):
        _write_tables(folder, world, shots, crops)
    with _timed(seconds, "rendering"):
        for name in FOLDERS:
            (folder / name).mkdir()
        sensors = [camera.sensor for camera in world.cameras]
        renderer = Renderer(folder, options, sensors, appearances, shots, crops)
        render_all(renderer, workers, progress=progress)
    record = _record(options, world, shots, crops)
    if options.clips:
        with _timed(seconds, "clips"):
            record["clips"] = record_clips(
                folder, world, appearances, workers=workers, progress=progress
            )
    return record


def _listed(world: World, statures: np.ndarray) -> tuple[Shots, CropList]:
    """Choose the crops and file them."""
    options = world.options
    rng = stream(options.seed, SHOTS)
    detected = rng.random(len(world.passages)) >= options.missed_share
    shots = take_shots(world, detected, statures, rng)
    rng = stream(options.seed, SPLIT)
    role = roles(world.population.party, options.bystander_share, options.train_share, rng)
    return shots, list_crops(world, shots, role, rng)


def _write_tables(folder: Path, world: World, shots: Shots, crops: CropList) -> None:
    people = crops.kind == PERSON
    passage = shots.passage[crops.shot[people]]
    tracklet_of = dict(zip(passage.tolist(), crops.tracklet[people].tolist(), strict=True))
    tables.write_parquet(folder / "sightings.parquet", tables.sightings(world, crops))
    tables.write_parquet(folder / "truth.parquet", tables.truth(world, tracklet_of))
    for name, features in tables.MAPS.items():
        tables.write_geojson(folder / f"{name}.geojson", features(world))


def _record(
    options: SimulationOptions, world: World, shots: Shots, crops: CropList
) -> dict[str, Any]:
    """What simulation.json says: options and counts."""
    named = crops.label > 0
    split = {name: crops.split == i for i, name in enumerate(SPLITS)}
    identities = {n: len(np.unique(crops.label[m & named])) for n, m in split.items()}
    query = crops.split == SPLITS.index("query")
    pairs = np.unique(np.stack([shots.seen.person, shots.seen.camera]), axis=1)
    return {
        "passerby": passerby.__version__,
        "note": "invented city and people; coordinates lie in the open sea",
        "options": asdict(options),
        "extent": options.metres,
        "counts": {
            "crops": {name: int(mask.sum()) for name, mask in split.items()},
            "identities": identities,
            "distractors": int((crops.label == 0).sum()),
            "junk": int((crops.label < 0).sum()),
            "passages": len(world.passages),
            "tracklets": int(crops.tracklet.max(initial=0)),
            "streets": len(set(world.streets.names)),
            "units": len(world.units),
            "passages_per_person": round(len(world.passages) / options.people, 2),
            "cameras_per_person": round(pairs.shape[1] / options.people, 2),
            "cameras_per_query_identity": round(
                float(query.sum()) / max(len(np.unique(crops.label[query])), 1), 2
            ),
        },
    }


def _check_free(out: Path, *, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"'{out}' is a file; name a folder to make")
    if not out.exists() or not any(out.iterdir()):
        return
    if not overwrite:
        raise InputError(f"'{out}' is not empty; name another folder or give --overwrite")
    if not (out / MARK).exists():
        raise InputError(f"'{out}' holds no simulation, so --overwrite leaves it; name another")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder beside ``out``; it replaces ``out`` when the block succeeds, else it is removed."""
    out = out.absolute()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(out)
        partial = out.parent / f".{out.name}.partial-{os.getpid()}"
        partial.mkdir()
    except OSError as error:
        raise InputError(f"'{out}' cannot be made: {error.strerror}; name another") from error
    try:
        yield partial
        _take_place(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _take_place(partial: Path, out: Path) -> None:
    if not out.exists():
        partial.rename(out)
        return
    old = partial.with_name(partial.name + "-old")
    out.rename(old)
    partial.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(out: Path) -> None:
    """Remove what killed runs left beside ``out``; folders of living processes stay."""
    for left in out.parent.glob(f".{out.name}.partial-*"):
        number = left.name.rpartition("-")[2]
        if number.isdigit() and not _alive(int(number)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
