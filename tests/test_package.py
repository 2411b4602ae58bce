"""``import passerby``: quick, light, and with the main names in sight."""

import doctest
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import passerby
from passerby.errors import EXTRAS, InputError, MissingExtraError

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PROMISED = {
    "City", "CropTable", "Embedder", "ModelCard", "Ranking", "Report", "Scope", "convert",
    "evaluate", "evaluate_features", "k_reciprocal_distances", "load", "open_gallery",
    "pseudo_labels", "read", "rerank", "save", "search", "__version__",
}  # fmt: skip


def test_the_import_is_light() -> None:
    """Nothing heavy is imported; seconds of the processor, as the machine may be busy."""
    code = """
import sys, time
begin = time.process_time()
import passerby
seconds = time.process_time() - begin
names = dir(passerby)
import json
print(json.dumps([seconds, names, sorted(sys.modules)]))
"""
    fastest = float("inf")
    for _ in range(3):
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        seconds, names, modules = json.loads(ran.stdout)
        fastest = min(fastest, seconds)
        loaded = {name for name in modules if name.partition(".")[0] == "passerby"}
        assert loaded == {"passerby", "passerby.errors"}
        assert not {"torch", "numpy", "scipy", "PIL", "sqlalchemy", "tyro"} & set(modules)
        assert set(names) >= PROMISED
        if fastest < 0.1:
            return
    pytest.fail(f"import passerby takes {fastest:.3f} s")


def test_the_main_names_are_those_of_their_rooms() -> None:
    from passerby.cluster import pseudo_labels
    from passerby.data import CropTable
    from passerby.metrics import Report, evaluate
    from passerby.models import load
    from passerby.retrieval import search

    assert passerby.evaluate is evaluate
    assert passerby.Report is Report
    assert passerby.load is load
    assert passerby.search is search
    assert passerby.pseudo_labels is pseudo_labels
    assert passerby.CropTable is CropTable
    for name in dir(passerby):
        assert getattr(passerby, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'evaluated'"):
        _ = passerby.evaluated


def test_the_example_of_the_package_runs() -> None:
    assert doctest.testmod(passerby) == (0, 2)


def test_the_names_are_declared_for_type_checkers() -> None:
    text = Path(str(passerby.__file__)).read_text(encoding="utf-8")
    pairs = {
        (name, room) for room, name in re.findall(r"passerby\.(\w+)[\w.]* import (\w+) as", text)
    }
    assert pairs >= set(passerby._ROOMS.items())
    assert (Path(str(passerby.__file__)).parent / "py.typed").is_file()


def test_a_missing_extra_is_bad_input_and_a_failed_import() -> None:
    error = MissingExtraError("apsw", "city")
    assert isinstance(error, InputError)
    assert isinstance(error, ImportError)
    assert "pip install 'passerby[city]'" in str(error)
    found = MissingExtraError.of(ModuleNotFoundError("no", name="onnxruntime.capi"))
    assert found is not None
    assert "pip install 'passerby[onnx]'" in str(found)
    assert MissingExtraError.of(ModuleNotFoundError("no", name="passerby.nothing")) is None


def test_every_optional_package_is_brought_by_its_extra() -> None:
    extras = PROJECT["optional-dependencies"]

    def packages(extra: str) -> set[str]:
        names: set[str] = set()
        for requirement in extras[extra]:
            name = re.split(r"[^\w.-]", requirement)[0]
            if name == "passerby":
                for other in requirement.partition("[")[2].rstrip("]").split(","):
                    names |= packages(other)
            names.add(name)
        return names

    for package, extra in EXTRAS.values():
        assert package in packages(extra)


def test_the_metadata_say_what_is_supported() -> None:
    versions = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if " 3." in c}
    assert versions == {"3.11", "3.12", "3.13", "3.14"}
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert all(f'"{version}"' in workflow for version in versions)
    assert PROJECT["authors"] == [{"name": "Passerby contributors"}]
    assert re.fullmatch(r"\d+\.\d+\.\d+", passerby.__version__)
