"""The memory of an idle service over a large gallery: ``python -m`` this module with a city."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.galleries.data import code_of

KINDS = {"VmRSS": "resident", "RssAnon": "anonymous", "RssFile": "of_files"}


def make_city(folder: Path) -> None:
    """A city with the units and cameras of the generated sightings, on a grid."""
    from passerby.city import City

    def box(x: int, y: int, wide: int, high: int) -> list[Any]:
        corners = [(x, y), (x + wide, y), (x + wide, y + high), (x, y + high), (x, y)]
        return [[[a / 1000, b / 1000] for a, b in corners]]

    units = [("99", None, box(0, 0, 100, 20))]
    for cell in range(0, 2000):
        code, x, y = code_of(cell), cell // 20, cell % 20
        if cell % 200 == 0:
            units.append((code[:4], "99", box(x, 0, 10, 20)))
        if cell % 20 == 0:
            units.append((code[:6], code[:4], box(x, 0, 1, 20)))
        if cell % 4 == 0:
            units.append((code[:8], code[:6], box(x, y, 1, 4)))
        units.append((code, code[:8], box(x, y, 1, 1)))
    levels = {2: "city", 4: "district", 6: "street", 8: "area", 10: "cell"}
    cameras = []
    for number in range(4000):
        x, y = number // 40 + 0.25 + number % 2 / 2, number // 2 % 20 + 0.5
        cameras.append(({"id": f"C{number:04d}", "number": number + 1}, [x / 1000, y / 1000]))
    City.create(
        folder,
        units=collection(
            "Polygon",
            [({"code": c, "parent": p, "level": levels[len(c)]}, at) for c, p, at in units],
        ),
        cameras=collection("Point", cameras),
    ).close()


def collection(kind: str, items: list[tuple[dict[str, Any], Any]]) -> dict[str, Any]:
    """GeoJSON."""
    features = [
        {"type": "Feature", "properties": p, "geometry": {"type": kind, "coordinates": c}}
        for p, c in items
    ]
    return {"type": "FeatureCollection", "features": features}


def memory() -> dict[str, int]:
    """MiB of this process by kind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {told: int(fields[name].split()[0]) // 1024 for name, told in KINDS.items()}


def measure(city: Path) -> dict[str, Any]:
    """Start a service in a process of its own and ask for its memory."""
    command = [sys.executable, "-m", "benchmarks.galleries.service", str(city)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main(folder: Path) -> None:
    """Open the service as ``passerby serve`` does; measure, search the whole city, measure."""
    import numpy as np

    from passerby.city import City, Scope
    from passerby.runtime import Embedder
    from passerby.service import create_app

    city = City.open(folder)
    app = create_app(city, Embedder.load("default"))
    assert app.state.service.city is city
    idle = memory()
    rng = np.random.default_rng(0)
    query = rng.standard_normal(city.gallery.dimension or 0).astype(np.float32)
    for _ in range(3):
        city.gallery.search(query, 50, Scope())
    print(json.dumps({"idle_mib": idle, "after_whole_city_mib": memory()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
