"""The toolbox with its core dependencies alone: it works, and each missing extra says so.

The test runs this file as a program, in whose process the optional packages cannot be imported.
"""

import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from passerby.errors import EXTRAS, MissingExtraError


class WithoutExtras(PathFinder):
    """Finds modules as usual, but for the optional packages, as if they were not installed."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in EXTRAS:
            return None
        return super().find_spec(fullname, path, target)


def test_the_toolbox_needs_no_extra() -> None:
    ran = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, check=False, timeout=240
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stdout.splitlines()[-1] == "all steps done"


def program(folder: Path) -> None:
    found = sys.meta_path.index(PathFinder)
    sys.meta_path[found] = WithoutExtras
    crops = draw_crops(folder / "crops")
    toolbox(crops, folder)
    command_line(crops, folder)
    missing(crops, folder)
    print("all steps done")


def draw_crops(root: Path) -> Path:
    """12 people in the layout of Market-1501, 8 of them to train on."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (root / name).mkdir(parents=True)
    for identity in range(1, 13):
        looks = rng.integers(0, 256, (4, 2, 3))
        for frame in range(6):
            shot = np.clip(looks + rng.normal(0, 20, looks.shape), 0, 255).astype(np.uint8)
            part = "bounding_box_train" if identity <= 8 else "bounding_box_test"
            if identity > 8 and frame == 0:
                part = "query"
            name = f"{identity:04d}_c{frame % 3 + 1}s1_{frame:06d}_00.jpg"
            Image.fromarray(np.kron(shot, np.ones((16, 16, 1), np.uint8))).save(root / part / name)
    return root


def toolbox(crops: Path, folder: Path) -> None:
    """Read, build, embed, evaluate, search, re-rank, cluster, train."""
    import numpy as np

    import passerby
    from passerby.recipes import bag_of_tricks

    table = passerby.read("market1501", crops)
    network = passerby.build("slim18")
    card = passerby.ModelCard(
        architecture="slim18", dimension=network.dimension, input_size=(64, 32)
    )
    passerby.save(network, card, folder / "slim18.safetensors")
    embedder = passerby.Embedder.load(folder / "slim18.safetensors", device="cpu")
    queries = embedder.embed(table.query.paths())
    gallery = embedder.embed(table.gallery.paths())
    report = passerby.evaluate_features(queries, gallery, *table.match_labels())
    assert 0 < report.mAP <= 1
    again = passerby.evaluate(1 - queries @ gallery.T, *table.match_labels())
    assert abs(report.mAP - again.mAP) < 1e-6
    assert passerby.search(queries, gallery, 3).indices.shape == (4, 3)
    assert passerby.rerank(queries, gallery, 3, k1=6, k2=2).indices.shape == (4, 3)
    assert passerby.k_reciprocal_distances(queries, gallery, k1=6, k2=2).shape == (4, 20)
    labels = passerby.pseudo_labels(gallery, k1=6, k2=2)
    assert np.asarray(labels).shape == (20,)
    options = replace(
        bag_of_tricks.small_cpu(),
        data=str(crops),
        out=folder / "run",
        size=(64, 32),
        epochs=1,
        identities=4,
        images=4,
        progress=False,
    )
    assert bag_of_tricks.run(options, table) is not None


def command_line(crops: Path, folder: Path) -> None:
    from passerby.cli import main

    assert main(["check", str(crops), "--identities", "4"]) == 0
    assert main(["model-info", "default"]) == 0
    model = str(folder / "run" / "model.safetensors")
    assert main(["evaluate", model, "--data", str(crops), "--device", "cpu"]) == 0


def missing(crops: Path, folder: Path) -> None:
    """What needs an extra names it, in Python and on the command line."""
    import passerby
    from passerby.cli import main
    from passerby.runtime.export import export

    for name in ("x.onnx", "x.xml", "x.bin", "x.parquet", "x.mp4"):
        (folder / name).write_bytes(b"x")
    calls: dict[str, tuple[Callable[[], object], str]] = {
        "a city": (lambda: passerby.City, "city"),
        "a gallery": (lambda: passerby.open_gallery, "city"),
        "a network of timm": (lambda: passerby.build("timm:resnet10t"), "timm"),
        "a network of ONNX": (lambda: passerby.Embedder.load(folder / "x.onnx"), "onnx"),
        "a network of OpenVINO": (lambda: passerby.Embedder.load(folder / "x.xml"), "openvino"),
        "a file of ONNX": (lambda: export("default", folder / "new.onnx"), "onnx"),
        "a file of OpenVINO": (lambda: export("default", folder / "new.xml"), "openvino"),
    }
    wrong = []
    for what, (call, extra) in calls.items():
        try:
            call()
            wrong.append(f"{what} works without the extra {extra}")
        except Exception as error:
            asked = f"pip install 'passerby[{extra}]'" in str(error)
            if not isinstance(error, MissingExtraError) or not asked:
                wrong.append(f"{what}: {error!r}")
    picture, city = str(next((crops / "query").iterdir())), str(folder / "city")
    verbs = {
        "tables": [
            ["embed", str(crops), "--out", str(folder / "out.parquet")],
            ["check", str(folder / "x.parquet")],
        ],
        "simulate": [["simulate", str(folder / "new")]],
        "report": [["report", "default", "--data", str(crops), "--out", str(folder / "r.html")]],
        "service": [["serve", city]],
        "city": [
            ["search", city, picture],
            ["trace", city, picture],
            ["admin", "create", city, "--simulated", str(crops)],
            ["admin", "gallery", "check", city],
            ["admin", "account", "list", city],
            ["ingest", str(crops), "--city", city],
        ],
    }
    for extra, commands in verbs.items():
        for words in commands:
            said = io.StringIO()
            with redirect_stderr(said):
                status = main(words)
            lines = [line for line in said.getvalue().splitlines() if line.startswith("passerby ")]
            asked = [line for line in lines if f"pip install 'passerby[{extra}]'" in line]
            if status != 2 or len(lines) != 1 or not asked:
                wrong.append(f"{words}: status {status}, {said.getvalue()!r}")
    assert not wrong, "\n".join(wrong)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        program(Path(place))
