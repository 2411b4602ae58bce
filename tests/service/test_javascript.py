"""The page's modules: every import exists and is used by name, and none of them form a circle."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import passerby.service

FOLDER = Path(passerby.service.__file__).parent / "static" / "js"
FILES = sorted(FOLDER.rglob("*.js"))
IMPORT = re.compile(r'^import\s+(?:(.+?)\s+from\s+)?"(\..+?)";$', re.M)
EXPORT = re.compile(r"^export\s+(?:async\s+)?(?:function|const|let|class)\s+(\w+)", re.M)


def imports(path: Path) -> list[tuple[Path, list[str]]]:
    """Each imported file with the names that are taken from it; "*" for all, "default" for one."""
    found = []
    for clause, target in IMPORT.findall(path.read_text(encoding="utf-8")):
        braces = re.search(r"{(.*)}", clause)
        names = [name.split(" as ")[0].strip() for name in braces[1].split(",")] if braces else []
        if clause.startswith("*"):
            names = ["*"]
        elif not braces and clause:
            names = ["default"]
        found.append(((path.parent / target).resolve(), [name for name in names if name]))
    return found


def exports(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    return set(EXPORT.findall(text)) | ({"default"} if "\nexport default" in text else set())


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of a circle; empty for none."""
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except ValueError as error:
        return list(error.args[1])
    return []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == {"b", "c"}


def test_modules_form_no_circle() -> None:
    graph = {
        str(path.relative_to(FOLDER)): {
            str(target.relative_to(FOLDER))
            for target, _ in imports(path)
            if target.is_relative_to(FOLDER)
        }
        for path in FILES
    }
    assert len(graph) > 30
    assert sum(map(len, graph.values())) > 150, "the imports are no longer found"
    assert circle(graph) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_imported_names_are_exported(path: Path) -> None:
    for target, names in imports(path):
        assert target.is_file(), target
        if target.is_relative_to(FOLDER):
            assert set(names) - {"*"} <= exports(target), target.name


def test_exported_names_are_imported() -> None:
    taken: dict[Path, set[str]] = {}
    for path in FILES:
        for target, names in imports(path):
            taken.setdefault(target, set()).update(names)
    for path in FILES:
        if "*" not in taken.get(path, set()):
            assert exports(path) <= taken.get(path, set()), f"{path.name} exports more than is used"
