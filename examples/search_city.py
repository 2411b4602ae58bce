"""Search a city for a person, and reconstruct where they went.

The city is simulated: units, cameras, streets, and crops with their time and camera. An operator
gives a picture, a unit and a time window, and gets ranked sightings and a trajectory.

    python examples/search_city.py
"""

import shutil
from pathlib import Path

import passerby
from passerby.city import find, trace
from passerby.ingest import ingest_table
from passerby.metrics import Calibration
from passerby.simulate.options import SimulationOptions
from passerby.simulate.writer import simulate

DATA = Path("datasets/example")
CITY = Path("runs/example-city")


def main() -> None:
    """Make a city, bring the crops into it, search for one person, and print their path."""
    if not DATA.exists():
        simulate(DATA, SimulationOptions(people=24, cameras=4, hours=1.0, seed=7), workers=1)
    shutil.rmtree(CITY, ignore_errors=True)
    embedder = passerby.Embedder.load("default", device="cpu")
    calibration = Calibration.from_card(embedder.card.calibration)
    table = passerby.read("simcity", DATA)
    picture = table.query.paths()[0]

    with passerby.City.from_simulation(CITY, DATA) as city:
        report = ingest_table(
            city, DATA / "sightings.parquet", embedder=embedder, splits=("train", "gallery")
        )
        print(f"{report.added} sightings from {len(city.cameras)} cameras")

        vectors = embedder.embed([picture])
        district = next(unit for unit in city.units if unit.level == "district")
        for scope in (passerby.Scope(), passerby.Scope(units=(district.code,))):
            found = find(
                city, vectors, scope, k=3, model=embedder.model_id, calibration=calibration
            )
            print(f"units {scope.units or 'all'}: {found.searched} sightings in scope")
            for match in found.matches:
                sighting = match.sighting
                print(f"  {match.score:.2f}  camera {sighting.camera}  unit {sighting.unit}")

        path = trace(
            city, vectors, passerby.Scope(), model=embedder.model_id, calibration=calibration
        )
        for visit in path.visits:
            print(f"at camera {visit.camera}, confidence {visit.confidence:.2f}")


if __name__ == "__main__":
    main()
