"""Checks of a data set: whether it suits training and evaluation, and if not, why."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from passerby.data.inspection import inspect_pictures
from passerby.data.published import NOTES, differences
from passerby.data.table import DISTRACTOR, JUNK, SPLITS, CropTable, Finding


@dataclass(frozen=True, kw_only=True)
class Check:
    """Counts and findings of a data set.

    Attributes:
        name: The name of the data set.
        counts: Split -> pictures, people, distractors, junk, cameras.
        cameras: Camera -> split -> pictures.
        findings: Errors first.
        camera_names: Camera -> name, where the data name cameras.
    """

    name: str
    counts: dict[str, dict[str, int]]
    cameras: dict[int, dict[str, int]]
    findings: tuple[Finding, ...]
    camera_names: dict[int, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not any(finding.level == "error" for finding in self.findings)

    @property
    def first_error(self) -> str:
        """The first error, and how many more there are; empty without one."""
        errors = [finding.text for finding in self.findings if finding.level == "error"]
        more = f" (and {len(errors) - 1} more)" if errors[1:] else ""
        return f"{errors[0]}{more}" if errors else ""

    def summary(self) -> dict[str, Any]:
        """Return everything in a form for JSON."""
        return {**asdict(self), "ok": self.ok}

    def text(self, files: int = 10) -> str:
        """Write a page of text: all unreadable files, and the first ``files`` of other lists."""
        names = ("pictures", "people", "distractors", "junk", "cameras")
        lines = [self.name, f"{'':12s}" + "".join(f"{name:>13s}" for name in names)]
        for split, counts in self.counts.items():
            lines.append(f"{split:12s}" + "".join(f"{counts[name]:13d}" for name in names))
        for camera, per_split in self.cameras.items():
            shares = ", ".join(f"{count} {split}" for split, count in per_split.items() if count)
            lines.append(f"camera {_named(camera, self.camera_names)}: {shares}")
        for finding in self.findings:
            lines.append(f"{finding.level}: {finding.text} [{finding.code}]")
            shown = len(finding.items) if finding.code == "unreadable" else files
            lines += [f"    {item}" for item in finding.items[:shown]]
            if len(finding.items) > shown:
                lines.append(f"    and {len(finding.items) - shown} more")
        lines.append("no errors" if self.ok else "this data set cannot be used as it is")
        return "\n".join(lines)


def check(
    table: CropTable,
    *,
    identities: int = 16,
    images: int = 4,
    use: Literal["train", "evaluate"] = "train",
    labelled: bool = True,
    pictures: bool = True,
    progress: bool = False,
) -> Check:
    """Look for everything that makes training or evaluation fail or its figures mislead.

    A recipe calls this before it trains; an error here, and nothing else in the data, stops it.

    Args:
        table: The data set.
        identities: P of the training batches.
        images: K of the training batches.
        use: What the data are for: to train on, which needs no queries and gallery but tests on
            them where there are any, or only to evaluate on.
        labelled: Whether training learns from identities.
        pictures: Whether to open every picture too.
        progress: Whether to show a bar while pictures are opened.
    """
    findings = [
        *table.findings,
        *_empty(table),
        *_numbering(table),
        *(_training(table, identities, images, labelled=labelled) if use == "train" else ()),
        *_evaluation(table, needed=use == "evaluate"),
        *(_splits(table) if labelled else ()),
        *_listings(table),
        *(Finding(level="warning", code="counts", text=text) for text in differences(table)),
    ]
    if pictures:
        findings += inspect_pictures(table, progress=progress)
    if table.name in NOTES:
        findings.append(Finding(level="note", code="about", text=NOTES[table.name]))
    order = {"error": 0, "warning": 1, "note": 2}
    return Check(
        name=table.name,
        counts={split: _counts(table.select(table.split == split)) for split in SPLITS},
        cameras={
            int(camera): {
                split: int(((table.camera == camera) & (table.split == split)).sum())
                for split in SPLITS
            }
            for camera in np.unique(table.camera)
        },
        findings=tuple(sorted(findings, key=lambda finding: order[finding.level])),
        camera_names=dict(table.camera_names),
    )


def _counts(part: CropTable) -> dict[str, int]:
    return {
        "pictures": len(part),
        "people": len(np.unique(part.identity[part.identity > DISTRACTOR])),
        "distractors": int((part.identity == DISTRACTOR).sum()),
        "junk": int((part.identity == JUNK).sum()),
        "cameras": len(np.unique(part.camera)),
    }


def _empty(table: CropTable) -> Iterator[Finding]:
    if not len(table):
        text = "there are no rows; give a table with a line for each picture below its header"
        yield Finding(level="error", code="empty", text=text)


def _numbering(table: CropTable) -> Iterator[Finding]:
    """Find people numbered from 0, as the first of them is then taken for a distractor."""
    zero = int((table.query.identity == DISTRACTOR).sum())
    # where query and gallery are swapped, these are the gallery's distractors
    swapped = len(table.query) > len(table.gallery) > 0
    if zero and not swapped:
        yield Finding(
            level="error",
            code="numbered-from-zero",
            text=f"{zero} queries have the identity 0, which means distractors, people of whom "
            "nobody asks; where people are numbered from 0, number them from 1",
        )


def _training(
    table: CropTable, identities: int, images: int, *, labelled: bool
) -> Iterator[Finding]:
    train = table.train
    if not len(train):
        yield Finding(
            level="error",
            code="no-training",
            text="it has no train rows: nothing can be learned; 'passerby split' makes some, and "
            "--use evaluate checks data to test on",
        )
        return
    if labelled:
        yield from _identities(table, identities, images)
    if len(np.unique(train.camera)) == 1:
        yield Finding(
            level="warning",
            code="one-training-camera",
            text="all training pictures are from one camera: nothing teaches the network to "
            "recognise people across cameras; check how cameras are read",
        )


def _identities(table: CropTable, identities: int, images: int) -> Iterator[Finding]:
    train = table.train
    nobody = int((train.identity <= DISTRACTOR).sum())
    if nobody:
        yield Finding(
            level="error",
            code="training-nobody",
            text=f"{nobody} training pictures are junk (-1) or distractors (0), which would be "
            "learnt as one person; remove them from training, or where people are numbered from 0 "
            "number people from 1",
        )
    people, counts = np.unique(train.identity[train.identity > DISTRACTOR], return_counts=True)
    if len(people) < identities:
        yield Finding(
            level="error",
            code="few-people",
            text=f"{len(people)} people cannot fill batches of {identities} people; "
            "lower the identities per batch",
        )
    few = int((counts < images).sum())
    if few:
        yield Finding(
            level="warning",
            code="few-pictures",
            text=f"{few} of {len(people)} people have fewer than {images} training pictures, which "
            "will be repeated in a batch; lower the images per identity",
        )
    pairs = np.unique(np.stack([train.identity, train.camera], axis=1), axis=0)
    people, cameras = np.unique(pairs[pairs[:, 0] > DISTRACTOR, 0], return_counts=True)
    if (cameras == 1).any() and len(np.unique(train.camera)) > 1:
        single = people[cameras == 1]
        yield Finding(
            level="warning",
            code="one-camera-people",
            text=f"{len(single)} of {len(people)} people have training pictures from one camera "
            f"only ({_some(single, table.people_names)}): they do not teach how people look across "
            "cameras",
            items=tuple(_named(one, table.people_names) for one in single.tolist()),
        )


def _evaluation(table: CropTable, *, needed: bool) -> Iterator[Finding]:
    query, gallery = table.query, table.gallery
    if not len(query) or not len(gallery):
        lacks = [name for name, part in (("query", query), ("gallery", gallery)) if not len(part)]
        yield Finding(
            level="error" if needed or len(lacks) == 1 else "warning",
            code="no-test",
            text=f"it has no {' and no '.join(lacks)} rows: it cannot be evaluated on; "
            "'passerby split' makes both",
        )
        return
    reasons = _unanswerable(query, gallery)
    without = np.any(list(reasons.values()), axis=0)
    if without.any():
        causes = "; ".join(f"{int(m.sum())} {why}" for why, m in reasons.items() if m.any())
        yield Finding(
            level="error" if without.all() else "warning",
            code="no-match",
            text=f"{int(without.sum())} of {len(query)} queries have no true match and count "
            f"nowhere: {causes}; check how identities and cameras are read, or use protocol "
            "any-camera",
            items=tuple(query.path[without].tolist()),
        )
    if len(np.unique(np.concatenate([query.camera, gallery.camera]))) == 1:
        yield Finding(
            level="error",
            code="one-camera",
            text="all test pictures are from one camera, and the protocol counts matches across "
            "cameras only; check how cameras are read, or use protocol any-camera",
        )


def _unanswerable(query: CropTable, gallery: CropTable) -> dict[str, NDArray[np.bool_]]:
    """Mark queries (Q,) without a true match, by the reason."""
    nobody = query.identity <= DISTRACTOR
    absent = ~nobody & ~np.isin(query.identity, gallery.identity)
    # people whom the gallery has from one camera only, the query's own
    pairs = np.unique(np.stack([gallery.identity, gallery.camera], axis=1), axis=0)
    people, first, counts = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    row = np.searchsorted(people, query.identity).clip(max=len(people) - 1)
    rest = (counts[row] == 1) & (pairs[first[row], 1] == query.camera)
    return {
        "are junk or distractors": nobody,
        "show a person who is not in the gallery": absent,
        "show a person whom the gallery has only from the query's own camera": rest
        & ~(nobody | absent),
    }


def _splits(table: CropTable) -> Iterator[Finding]:
    train, query, gallery = table.train, table.query, table.gallery
    shared = np.intersect1d(train.identity, np.union1d(query.identity, gallery.identity))
    shared = shared[shared > DISTRACTOR]
    if len(shared):
        yield Finding(
            level="error",
            code="shared-people",
            text=f"{len(shared)} people are in training and test alike "
            f"({_some(shared, table.people_names)}); figures would not be of unseen people; split "
            "by person ('passerby split'), or number the splits apart",
        )
    people = query.identity[query.identity > DISTRACTOR]
    known, found = np.isin(people, train.identity), np.isin(people, gallery.identity)
    elsewhere = int((known & ~found).sum())
    if elsewhere and len(gallery):
        yield Finding(
            level="error",
            code="swapped-training",
            text=f"{elsewhere} queries show people who are in training and not in the gallery; are "
            "the training and gallery folders swapped?",
        )
    if len(gallery) and len(query) > len(gallery):
        yield Finding(
            level="warning",
            code="swapped",
            text=f"there are more queries ({len(query)}) than gallery pictures ({len(gallery)}); "
            "are the two folders swapped?",
        )
    if (query.identity == JUNK).any() and not (gallery.identity == JUNK).any():
        yield Finding(
            level="warning",
            code="swapped-junk",
            text="junk is among the queries and not in the gallery; are the two folders swapped?",
        )
    if len(train) and len(gallery) and len(np.unique(train.identity)) == 1:
        yield Finding(
            level="error",
            code="one-person",
            text="all training pictures show one person; check how identities are read",
        )


def _listings(table: CropTable) -> Iterator[Finding]:
    """Find pictures that are listed more than once: in one split, or with several labels."""
    listed: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    boxes = table.box.tolist() if table.box is not None else [()] * len(table)
    for row, (path, box) in enumerate(zip(table.path.tolist(), boxes, strict=True)):
        listed[os.path.normpath(path), *box].append(row)
    again = [(str(key[0]), rows) for key, rows in listed.items() if len(rows) > 1]
    twice, split, claims = [], [], []
    for path, rows in again:
        people = sorted(set(table.identity[rows].tolist()))
        cameras = sorted(set(table.camera[rows].tolist()))
        splits = table.split[rows].tolist()
        if len(people) > 1:
            claims.append(f"{path}: {' / '.join(_named(n, table.people_names) for n in people)}")
        elif len(cameras) > 1:
            seen = " / ".join(_named(n, table.camera_names) for n in cameras)
            claims.append(f"{path}: cameras {seen}")
        if len(set(splits)) < len(splits):
            twice.append(path)
        else:
            split.append(path)
    if claims:
        yield Finding(
            level="error",
            code="contradictory-labels",
            text=f"{len(claims)} pictures are listed with different people or cameras "
            f"({claims[0]}); keep the right one of each",
            items=tuple(claims),
        )
    if twice:
        text = f"{len(twice)} pictures are listed more than once in a split"
        yield Finding(level="warning", code="listed-twice", text=text, items=tuple(twice))
    if split:
        text = f"{len(split)} pictures are in several splits"
        yield Finding(level="warning", code="in-two-splits", text=text, items=tuple(split))


def _named(number: int, names: Mapping[int, str]) -> str:
    return f"{number} ({names[number]})" if number in names else str(number)


def _some(values: NDArray[np.int64], names: Mapping[int, str], count: int = 5) -> str:
    shown = ", ".join(_named(number, names) for number in values[:count].tolist())
    return shown + (", ..." if len(values) > count else "")
