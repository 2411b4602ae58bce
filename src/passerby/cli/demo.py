"""``passerby demo``: a whole city made, searched and shown, with nothing but this package."""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from passerby.city import City
from passerby.cli.arguments import parse
from passerby.ingest import ingest_table
from passerby.runtime import Embedder
from passerby.simulate.options import MILD, SimulationOptions

READY = "ready.json"
TIME_ZONE = "Asia/Shanghai"  # that of the simulated day


@dataclass(frozen=True, kw_only=True)
class Options:
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
    json: bool = False
    """With --check: print the result as JSON."""


def simulation(options: Options) -> SimulationOptions:
    """What the demo's city is simulated from."""
    return SimulationOptions(
        people=options.people,
        cameras=options.cameras,
        hours=options.hours,
        seed=options.seed,
        train_share=0.5,
        difficulty=MILD,
    )


def prepare(options: Options, embedder: Embedder) -> tuple[City, Path]:
    """The demo's city and simulated tree; made when absent or made from other options.

    The marker is written last, so a build that was interrupted is begun again.
    """
    tree, folder = options.folder / "simulated", options.folder / "city"
    marker = options.folder / READY
    wanted = {"simulation": asdict(simulation(options)), "model": embedder.model_id}
    made = json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else {}
    if options.rebuild or made.get("options") != wanted:
        marker.unlink(missing_ok=True)
        build(options, embedder, tree, folder)
        marker.write_text(json.dumps({"options": wanted}), encoding="utf-8")
    return City.open(folder), tree


def build(options: Options, embedder: Embedder, tree: Path, folder: Path) -> None:
    """Simulate, create the city, and bring every sighting but the held-back queries into it."""
    from passerby.simulate.writer import simulate

    for old in (tree, folder):
        shutil.rmtree(old, ignore_errors=True)
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"simulating {options.people} people and {options.cameras} cameras", file=sys.stderr)
    simulate(tree, simulation(options), workers=2, progress=True)
    with City.from_simulation(folder, tree) as city:
        city.set_setting("service", {"time_zone": TIME_ZONE})
        with tqdm(desc="embedding", unit=" crops") as bar:

            def advance(report: object) -> None:
                bar.total = report.rows  # type: ignore[attr-defined]
                bar.update(report.done - bar.n)  # type: ignore[attr-defined]

            ingest_table(
                city,
                tree / "sightings.parquet",
                embedder=embedder,
                splits=("train", "gallery"),
                on_progress=advance,
            )


def main(arguments: Sequence[str]) -> int:
    """Check or serve the demo."""
    options = parse(Options, arguments, "demo")
    started = time.perf_counter()
    embedder = Embedder.load("default")
    city, tree = prepare(options, embedder)
    if options.check:
        from passerby.cli.demo_check import check

        return check(city, tree, embedder, started=started, as_json=options.json)
    from passerby.cli.serve import run

    print(f"pictures to search with: {tree / 'query'}")
    return run(city, embedder, host=options.host, port=options.port, demo=True)
