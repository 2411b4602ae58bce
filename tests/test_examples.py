"""The examples run, each in a namespace of its own, on one small simulated city."""

import ast
import json
import runpy
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all examples run in; the first of them simulates the city."""
    return tmp_path_factory.mktemp("examples")


def test_there_are_four_scripts_and_a_notebook() -> None:
    assert len(SCRIPTS) == 4
    assert len(NOTEBOOKS) == 1


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script(
    script: Path,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place)
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook(notebook: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    content: dict[str, Any] = json.loads(notebook.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    namespace: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "a notebook is kept without outputs"
            shown.append(run_cell("".join(cell["source"]), namespace))
    drawn = [value._repr_svg_() for value in shown if hasattr(value, "_repr_svg_")]
    assert len(drawn) == 2
    assert all(fromstring(svg).tag.endswith("svg") for svg in drawn)
    assert sum(isinstance(value, Image.Image) for value in shown) == 2


def run_cell(source: str, namespace: dict[str, Any]) -> object:
    """Run a cell and return the value of its last expression, which a notebook shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), namespace)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)
