"""A folder of own pictures, read as a table."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerby.data.labels import number_people
from passerby.data.listing import LeftOut, find_pictures
from passerby.data.table import CropTable, Finding
from passerby.errors import InputError

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "bounding_box_train": "train",
    "query": "query",
    "probe": "query",
    "gallery": "gallery",
    "test": "gallery",
    "bounding_box_test": "gallery",
}
# beside folders of splits, these repeat their pictures or hold no part of the test
OTHER_FOLDERS = (
    "val",
    "valid",
    "validation",
    "train_all",
    "multi-query",
    "multi_query",
    "gt_bbox",
    "gt_query",
)
PERSON = re.compile(r"(-?\d{1,18})_c(\d{1,9})(?!\d)", re.IGNORECASE)
_CAMERA = r"(?:c|cam(?:era)?[-_ .]?|相机[-_ ]?|摄像头[-_ ]?)(\d{1,4})(?:s\d+)?"
CAMERA_FOLDER = re.compile(_CAMERA, re.IGNORECASE)
# between delimiters alone: any name of random letters and digits holds a "c3" somewhere
CAMERA_TOKEN = re.compile(rf"(?<![^\W_]){_CAMERA}(?![^\W_])", re.IGNORECASE)
UUID = re.compile(r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}", re.IGNORECASE)

Parts = tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    """What the path of one picture says."""

    person: str
    camera: int
    split: str


def read_folder(root: Path, *, camera: str | None = None) -> CropTable:
    """Read ``train/``, ``query/`` and ``gallery/`` with a folder or a file name per person.

    There are two forms, which may be mixed:

    - ``query/0007_c3_anything.jpg``: identity and camera are in the name, as in Market-1501.
    - ``query/PERSON/..._c3_....jpg`` or ``query/PERSON/cam3/....jpg``: there is one folder for each
      person, with any name. The camera is ``c3``, ``cam3`` or ``camera 3`` between delimiters in
      the rest of the path, and 0 where there is none. ``query/cam3/PERSON/....jpg`` is the same.

    Folder names that are whole numbers are the identities. Otherwise all names but -1 and 0 are
    numbered from 1 in alphabetical order, the same in all splits. ``training``, ``probe``, ``test``
    and ``bounding_box_*`` also name splits. Without any folder of a split, all pictures are
    training data. ``findings`` of the table say what was left out and how cameras were read.

    Args:
        root: The folder.
        camera: A regular expression that finds the camera in a picture's relative path; its first
            group is the camera's number.

    Raises:
        InputError: No folder, no pictures, a picture that shows no identity, or lies beside the
            folders of splits.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"there is no folder '{root}'; give a folder of pictures")
    left_out = LeftOut()
    paths = [path.relative_to(root).parts for path in find_pictures(root, left_out)]
    paths = _in_splits(paths, root, left_out)
    try:
        rows, findings = _rows(paths, root, camera)
    except InputError as error:
        tables = sorted(p.name for p in root.iterdir() if p.suffix.lower() in (".csv", ".parquet"))
        hint = f"; or give the table '{root / tables[0]}'" if tables else ""
        raise InputError(f"{error}{hint}") from None
    people = number_people(
        [row.person for row in rows], lambda index: f"'{root.joinpath(*paths[index])}'"
    )
    return CropTable(
        path=np.array(["/".join(parts) for parts in paths]),
        identity=people.numbers,
        camera=np.array([row.camera for row in rows], dtype=np.int64),
        split=np.array([row.split for row in rows]),
        root=root,
        name=root.resolve().name,
        people_names=people.names,
        findings=(*left_out.findings(), *findings, *people.findings),
    )


def cameras_of(names: Sequence[str]) -> tuple[NDArray[np.int64], list[Finding]]:
    """Read the cameras (N,) that the relative paths of pictures tell, -1 where there is none.

    A folder that is named like a camera is one. Where fewer than half of the other pictures have
    something like a camera in their names, these are names of another kind, and no camera is taken
    from them.
    """
    cameras = [_folder_camera(name.split("/")[:-1]) for name in names]
    rest = [row for row, number in enumerate(cameras) if number is None]
    found = {row: CAMERA_TOKEN.search(UUID.sub(" ", names[row].split("/")[-1])) for row in rest}
    told = {row: int(match[1]) for row, match in found.items() if match}
    if len(told) * 2 >= len(rest):
        cameras = [told.get(row, number) for row, number in enumerate(cameras)]
    numbers = [-1 if number is None else number for number in cameras]
    return np.array(numbers, dtype=np.int64), _camera_findings(len(rest), len(told))


def _folder_camera(folders: Sequence[str]) -> int | None:
    found = [CAMERA_FOLDER.fullmatch(name) for name in folders]
    return next((int(match[1]) for match in found if match), None)


def _camera_findings(pictures: int, told: int) -> list[Finding]:
    if told == pictures:
        return []
    if told * 2 < pictures:
        some = f"; {told} have a part like c3, too few to mean cameras" if told else ""
        text = (
            f"the names of {pictures} pictures tell no camera{some}: all get the same one; name "
            "cameras as in 0007_c3_1.jpg or PERSON/cam3/1.jpg, or in a table"
        )
    else:
        text = f"{pictures - told} of {pictures} pictures tell no camera and get camera 0"
    return [Finding(level="warning", code="no-cameras", text=text)]


def _in_splits(paths: list[Parts], root: Path, left_out: LeftOut) -> list[Parts]:
    """Leave out folders known to be no split; refuse others beside splits."""
    if not any(len(parts) > 1 and parts[0].lower() in SPLIT_FOLDERS for parts in paths):
        inner = {parts[1].lower() for parts in paths if len(parts) > 2}
        if len({parts[0] for parts in paths}) == 1 and inner & SPLIT_FOLDERS.keys():
            raise InputError(
                f"'{root}' holds the data set in the folder {paths[0][0]}; give "
                f"'{root / paths[0][0]}'"
            )
        return paths
    kept = []
    for parts in paths:
        name = parts[0].lower() if len(parts) > 1 else ""
        if name in SPLIT_FOLDERS:
            kept.append(parts)
        elif name in OTHER_FOLDERS:
            left_out.add(f"in the folder {parts[0]}, which is no split", "/".join(parts))
        else:
            raise InputError(
                f"'{root.joinpath(*parts)}' lies beside the folders of splits (train, query, "
                "gallery); move it into one of them, or away"
            )
    return kept


def _rows(paths: list[Parts], root: Path, camera: str | None) -> tuple[list[_Row], list[Finding]]:
    """Read person, camera and split of each path, and say how."""
    split = [SPLIT_FOLDERS.get(parts[0].lower()) if len(parts) > 1 else None for parts in paths]
    inner = [p[1:] if s else p for p, s in zip(paths, split, strict=True)]
    findings = []
    if all(len(parts) > 1 and CAMERA_FOLDER.fullmatch(parts[0]) for parts in inner):
        inner = [
            _person_first(parts, root.joinpath(*p)) for parts, p in zip(inner, paths, strict=True)
        ]
        text = "the folders are read as CAMERA/PERSON, as all first ones are named like cameras"
        findings.append(Finding(level="note", code="camera-first", text=text))
    findings += _deep(inner)
    people = [
        _person(parts, root.joinpath(*path)) for parts, path in zip(inner, paths, strict=True)
    ]
    cameras = [named for _, named in people]
    if camera is not None:
        cameras[:] = _asked_for(["/".join(parts) for parts in paths], camera)
    else:
        unknown = [row for row, named in enumerate(cameras) if named is None]
        found, said = cameras_of(["/".join(inner[row][1:]) for row in unknown])
        for row, number in zip(unknown, found.tolist(), strict=True):
            cameras[row] = max(0, number)
        findings += said
    rows = [
        _Row(person, number or 0, s or "train")
        for (person, _), number, s in zip(people, cameras, split, strict=True)
    ]
    return rows, findings


def _person_first(parts: Parts, path: Path) -> Parts:
    if len(parts) > 2:
        return (parts[1], parts[0], *parts[2:])
    if PERSON.match(parts[1]):
        return parts[1:]
    raise InputError(
        f"'{path}' lies in a folder named like a camera and does not say who it shows; put it in a "
        "folder per person within, or name it IDENTITY_cCAMERA_..."
    )


def _person(parts: Parts, path: Path) -> tuple[str, int | None]:
    """Read a person, and a camera where the name is in Market-1501's form."""
    if len(parts) > 1:
        return parts[0], None
    named = PERSON.match(parts[0])
    if named is None:
        raise InputError(
            f"'{path}' does not say who it shows; name it IDENTITY_cCAMERA_... "
            "or put it in a folder per person"
        )
    return named[1], int(named[2])


def _deep(inner: list[Parts]) -> list[Finding]:
    """Find folders below a person's that are named like no camera: are they the people?"""
    deep = [p for p in inner if len(p) > 2 and not any(map(CAMERA_FOLDER.fullmatch, p[1:-1]))]
    if not deep:
        return []
    below = Counter(parts[1] for parts in deep).most_common(1)[0][0]
    example = next(parts for parts in deep if parts[1] == below)
    text = (
        f"{len(deep)} pictures lie in a folder below the person's ({'/'.join(example)}): the "
        f"person is '{example[0]}', and '{below}' is not used; if the first folder is a camera, "
        "put the person first or name cameras cam1, cam2"
    )
    items = tuple(sorted({"/".join(parts[:2]) for parts in deep}))
    return [Finding(level="warning", code="deep-folders", text=text, items=items)]


def _asked_for(names: list[str], pattern: str) -> list[int]:
    """Read cameras by a pattern that the user gives; every picture must match."""
    try:
        found = [re.search(pattern, name) for name in names]
        return [
            int(match[1]) if match else _no_match(n) for match, n in zip(found, names, strict=True)
        ]
    except (re.error, IndexError, ValueError) as error:
        raise InputError(
            f"the pattern '{pattern}' finds no camera: {error}; give one whose first group is the "
            r"camera's number, such as _cam(\d+)_"
        ) from None


def _no_match(name: str) -> int:
    raise ValueError(f"not in '{name}'")
