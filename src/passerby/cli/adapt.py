"""``passerby adapt SOURCE``: let a network learn one's own cameras, without labels."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from passerby.cli.common import BY, Result, audited
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.data import CropTable
    from passerby.recipes.cluster_contrast import ClusterContrast

MOST_CROPS = 100_000


@dataclass(frozen=True, kw_only=True)
class Adapt(Result):
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
    """Of a city, at most this many crops, the newest first."""
    seed: int = 0
    """Seed of batches and augmentation."""
    device: str = "auto"
    """A torch device; auto: a GPU where there is one."""

    def main(self) -> None:
        """Adapt, and say where the network is and what the clusters were."""
        from passerby.recipes import run_folder
        from passerby.recipes.cluster_contrast import run

        table = pictures(self.source, self.most)
        config = recipe(self)
        run(config, table)
        log = (config.out / "log.jsonl").read_text().splitlines()
        epochs = [line for line in map(json.loads, log) if line["event"] == "begin"]
        model = str(config.out / run_folder.MODEL)
        first, last = epochs[0], epochs[-1]
        self.show(
            {"model": model, "pictures": len(table), "epochs": epochs},
            f"{model}: {len(table):,} pictures; {first['clusters']:,} clusters and "
            f"{first['outliers']:,} outliers at first, {last['clusters']:,} and "
            f"{last['outliers']:,} in the last epoch\n"
            "evaluate it on people you know before you rely on it: passerby evaluate, "
            "passerby report",
        )


def recipe(options: Adapt) -> "ClusterContrast":
    """Return the recipe of these options, with the input size and resizing of the network."""
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
    """Read the training rows of ``source``, without identities and without queries.

    Raises:
        InputError: If nothing is there, or no picture.
    """
    from passerby.city.address import has_city
    from passerby.data import read_any
    from passerby.data.market1501 import is_market_tree

    if not source.exists():
        raise InputError(f"there is nothing at '{source}'; give a city, a folder or a table")
    if has_city(source):
        return of_city(source, most)
    if source.is_dir() and not is_market_tree(source):
        return of_folder(source)
    table = read_any(source)
    return table.select(table.split == "train")


def of_folder(folder: Path) -> "CropTable":
    """Read all pictures under ``folder``; the camera is that of a path with ``c3`` or ``cam3``."""
    from passerby.data import CropTable
    from passerby.data.folder import cameras_of
    from passerby.data.listing import LeftOut, find_pictures

    left_out = LeftOut()
    files = find_pictures(folder, left_out)
    names = ["/".join(path.relative_to(folder).parts) for path in files]
    cameras, findings = cameras_of(names)
    return CropTable(
        path=np.array(names),
        identity=np.full(len(names), -1),
        camera=cameras,
        split=np.full(len(names), "train"),
        root=folder,
        name=folder.resolve().name,
        findings=(*left_out.findings(), *findings),
    )


def of_city(folder: Path, most: int) -> "CropTable":
    """Read the newest stored crops of a city, and write into its audit that they are used."""
    from passerby.data import CropTable

    with audited(folder) as (city, _, audit):
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
        units = tuple(unit.code for unit in city.units.roots)
        audit.append("network_adapted", account=BY, units=units, details={"crops": len(kept)})
    return table
