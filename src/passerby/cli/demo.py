"""``passerby demo``: a whole city made, searched and shown, with nothing but this package."""

import json
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from passerby.city import City
from passerby.cli.common import Result, advance
from passerby.ingest import FolderReport, ingest_table
from passerby.runtime import Embedder
from passerby.simulate.options import MILD, SimulationOptions

READY = "ready.json"
TIME_ZONE = "Asia/Shanghai"  # that of the simulated day


@dataclass(frozen=True, kw_only=True)
class Demo(Result):
    """Make the demo city on first use, then serve its page, or check it."""

    folder: Path = Path(".demo")
    """Where the simulated pictures and the city are kept."""
    check: bool = False
    """Do everything headless, verify the answers against the truth, print a table and exit."""
    people: int = 90
    """People of the simulated city."""
    cameras: int = 16
    """Cameras of the simulated city."""
    hours: float = 2.5
    """Hours that are simulated."""
    seed: int = 2030
    """Seed of the simulated city."""
    host: str = "127.0.0.1"
    """Address to serve on."""
    port: int = 8000
    """Port to serve on; 0 takes a free one."""
    rebuild: bool = False
    """Throw the demo city away and make it anew."""

    def main(self) -> int | None:
        """Check or serve the demo."""
        started = time.perf_counter()
        embedder = Embedder.load("default")
        city, tree = prepare(self, embedder)
        if self.check:
            from passerby.cli.demo_check import check

            facts, words = check(city, tree, embedder, started=started)
            self.show(facts, words)
            return 0 if all(facts["checks"].values()) else 1
        from passerby.cli.serve import run
        from passerby.service import create_app

        print(f"pictures to search with: {tree / 'query'}")
        run(create_app(city, embedder), host=self.host, port=self.port, demo=True)
        return 0

    @property
    def simulation(self) -> SimulationOptions:
        """Options of the simulated city."""
        return SimulationOptions(
            people=self.people,
            cameras=self.cameras,
            hours=self.hours,
            seed=self.seed,
            train_share=0.5,
            difficulty=MILD,
        )


def prepare(options: Demo, embedder: Embedder) -> tuple[City, Path]:
    """Open the demo's city; build it first where it is absent or made from other options.

    Returns the city and the simulated tree. The marker is written last, so that an interrupted
    build is begun again.
    """
    tree, folder = options.folder / "simulated", options.folder / "city"
    marker = options.folder / READY
    wanted = {"simulation": asdict(options.simulation), "model": embedder.model_id}
    made = json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else {}
    if options.rebuild or made.get("options") != wanted:
        marker.unlink(missing_ok=True)
        build(options, embedder, tree, folder)
        marker.write_text(json.dumps({"options": wanted}), encoding="utf-8")
    return City.open(folder), tree


def build(options: Demo, embedder: Embedder, tree: Path, folder: Path) -> None:
    """Simulate, create the city, and bring every sighting into it but the queries."""
    from passerby.simulate.writer import simulate

    for old in (tree, folder):
        shutil.rmtree(old, ignore_errors=True)
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"simulating {options.people} people and {options.cameras} cameras", file=sys.stderr)
    simulate(tree, options.simulation, workers=2, progress=True)
    with City.from_simulation(folder, tree) as city:
        city.set_setting("service", {"time_zone": TIME_ZONE})
        with tqdm(desc="embedding", unit=" crops") as bar:

            def show(report: FolderReport) -> None:
                advance(bar, report.done, report.rows)

            ingest_table(
                city,
                tree / "sightings.parquet",
                embedder=embedder,
                splits=("train", "gallery"),
                on_progress=show,
            )
