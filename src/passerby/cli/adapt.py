"""``passerby adapt SOURCE``: let a network learn one's own cameras, without labels."""

import json
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from passerby.cli.arguments import parse
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.data import CropTable
    from passerby.recipes.cluster_contrast import ClusterContrast

MOST_CROPS = 100_000
BY = "(command line)"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Go on training a network on pictures of one's own cameras that nobody has labelled.

    The pictures are clustered by the network itself before every epoch (Cluster Contrast).
    """

    source: Annotated[Path, tyro.conf.Positional]
    """A city's folder (its stored crops), a folder of pictures of people, or a table."""
    model: str = "default"
    """The weights file to go on from."""
    out: Path = Path("runs/adapt")
    """The run's folder; a killed run continues from there."""
    epochs: int = 8
    """Length of the training."""
    iterations: int = 100
    """Batches of an epoch."""
    eps: float = 0.5
    """Largest Jaccard distance between neighbours in a cluster."""
    k1: int = 20
    """Length of the neighbour lists; about the pictures you expect of a person, or fewer."""
    min_samples: int = 4
    """Pictures within eps that make a picture the core of a cluster."""
    identities: int = 16
    """P, clusters in a batch."""
    images: int = 4
    """K, pictures of each cluster in a batch."""
    learning_rate: float = 1e-4
    """Base learning rate (Adam); it falls along half a cosine."""
    most: int = MOST_CROPS
    """Of a city, the newest so many crops."""
    seed: int = 0
    """Seed of batches and augmentation."""
    device: str = "auto"
    """A torch device; auto: a GPU where there is one."""
    json: bool = False
    """Print the result as JSON."""


def main(arguments: Sequence[str]) -> int:
    """Adapt, and say where the network is and what the clusters were."""
    options: Options = parse(Options, arguments, "adapt")
    from passerby.recipes import run_folder
    from passerby.recipes.cluster_contrast import run

    table = pictures(options.source, options.most)
    config = recipe(options)
    run(config, table)
    begun = [
        line
        for line in map(json.loads, (config.out / "log.jsonl").read_text().splitlines())
        if line["event"] == "begin"
    ]
    model = str(config.out / run_folder.MODEL)
    if options.json:
        print(json.dumps({"model": model, "pictures": len(table), "epochs": begun}))
        return 0
    first, last = begun[0], begun[-1]
    print(
        f"{model}: {len(table):,} pictures; {first['clusters']:,} clusters and "
        f"{first['outliers']:,} outliers at first, {last['clusters']:,} and "
        f"{last['outliers']:,} in the last epoch"
    )
    print("judge it on people you know before you rely on it: passerby evaluate, passerby report")
    return 0


def recipe(options: Options) -> "ClusterContrast":
    """The options as the recipe takes them: size and resizing are the network's own."""
    from passerby.models import read_card
    from passerby.models.identity import find_file
    from passerby.recipes.cluster_contrast import small_cpu
    from passerby.train.device import find_device

    card = read_card(find_file(options.model))
    return replace(
        small_cpu(),
        data=str(options.source),
        out=options.out,
        init=options.model,
        size=card.input_size,
        padding=max(1, card.input_size[1] // 13),
        interpolation=card.interpolation,  # type: ignore[arg-type]
        eps=options.eps,
        k1=options.k1,
        min_samples=options.min_samples,
        identities=options.identities,
        images=options.images,
        iterations=options.iterations,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        test_every=0,
        seed=options.seed,
        device=options.device,
        precision="bf16" if find_device(options.device) == "cpu" else "fp32",
    )


def pictures(source: Path, most: int) -> "CropTable":
    """The training rows of ``source``, identities and queries left behind.

    Raises:
        InputError: If nothing is there, or no picture.
    """
    from passerby.city.address import has_city
    from passerby.data import read_any
    from passerby.data.readers import is_market_tree

    if not source.exists():
        raise InputError(f"there is nothing at '{source}'; give a city, a folder or a table")
    if has_city(source):
        return of_city(source, most)
    if source.is_dir() and not is_market_tree(source):
        return of_folder(source)
    table = read_any(source)
    return table.select(table.split == "train")


def of_folder(folder: Path) -> "CropTable":
    """All pictures under ``folder``, with the camera where a path says ``c3`` or ``cam3``."""
    from passerby.data import CropTable
    from passerby.data.folder import CAMERA
    from passerby.data.market1501 import PICTURES

    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())
    if not files:
        raise InputError(f"'{folder}' holds no pictures; give a folder of .jpg or .png files")
    names = ["/".join(path.relative_to(folder).parts) for path in files]
    found = [re.search(CAMERA, name) for name in names]
    return CropTable(
        path=np.array(names),
        identity=np.full(len(names), -1),
        camera=np.array([int(match[1]) if match else -1 for match in found]),
        split=np.full(len(names), "train"),
        root=folder,
        name=folder.resolve().name,
    )


def of_city(folder: Path, most: int) -> "CropTable":
    """The newest crops that a city has stored; that they were used is written to its audit."""
    from passerby.city import City
    from passerby.data import CropTable
    from passerby.service.audit import Audit
    from passerby.service.database import Database

    with City.open(folder) as city, closing(Database.of(city)) as database:
        sightings = [one for one in city.gallery.latest(most) if one.crop]
        kept = [one for one in sightings if one.crop in city.crops]
        if not kept:
            raise InputError(f"the city '{folder}' has stored no crops; ingest with crops kept")
        numbers = {name: number for number, name in enumerate(sorted(city.cameras))}
        table = CropTable(
            path=np.array([str(city.crops.path(one.crop).resolve()) for one in kept]),
            identity=np.full(len(kept), -1),
            camera=np.array([numbers.get(one.camera, -1) for one in kept]),
            split=np.full(len(kept), "train"),
            time=np.array([one.time for one in kept]),
            name=folder.resolve().name,
        )
        Audit(database, city.folder).append(
            "network_adapted",
            account=BY,
            units=tuple(unit.code for unit in city.units.roots),
            details={"crops": len(kept)},
        )
    return table
