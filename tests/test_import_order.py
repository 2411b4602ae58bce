"""The house has an order of rooms: a module imports only from rooms before its own."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "passerby"

# each room with its floor; a module may import from its own room and from lower floors
FLOORS = (
    {"errors"},
    {"files", "times"},
    {"data", "losses", "retrieval"},
    {"metrics", "models", "cluster"},
    {"train"},
    {"recipes"},
    {"simulate", "runtime", "visual"},
    {"city"},
    {"ingest"},
    {"service"},
    {"cli"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
NEVER = {room: {"train", "recipes"} for room in ("city", "ingest", "service")}
ONLY = {"simulate": {"data", "errors", "files", "times"}}


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
            if node.module == "passerby":
                names = [f"passerby.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        parts = [name.split(".") for name in names]
        rooms |= {part[1] for part in parts if part[0] == "passerby" and len(part) > 1}
    return rooms & set(FLOOR)


MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if room_of(path) not in ("__init__", "__main__")
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_from_rooms_before(path: Path) -> None:
    room = room_of(path)
    assert room in FLOOR, f"{path.name}: the room '{room}' has no floor in this test"
    for other in imported_rooms(path) - {room}:
        assert FLOOR[other] < FLOOR[room], f"{path} imports {other}, which is not below {room}"
        assert other not in NEVER.get(room, ()), f"{room} never imports {other}"
        assert room not in ONLY or other in ONLY[room], f"{room} uses {ONLY[room]} alone"


def test_imports_are_absolute() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            relative = isinstance(node, ast.ImportFrom) and node.level
            assert not relative, f"{path}: a relative import"
