"""What ``passerby search`` and ``passerby trace`` share: a question to a city, and its record."""

import getpass
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from passerby.cli.arguments import OfCity
from passerby.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from passerby.city import Calibration, City, Scope
    from passerby.city.sightings import FloatArray


@dataclass(frozen=True, kw_only=True)
class Question(OfCity):
    """Who is looked for, where and when, and why."""

    pictures: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """One or more pictures of the one person; cut out, or whole with --detector."""
    unit: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Code of a unit at any level; may be given again. Without it: the whole city."""
    camera: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Id of a camera; may be given again."""
    start: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Start of the window, ISO 8601 with zone, as 2026-05-01T08:00:00+08:00."""
    end: Annotated[str | None, tyro.conf.arg(name="to")] = None
    """End of the window (not included), ISO 8601 with zone."""
    model: str = "default"
    """Embedding network: default (the bundled one) or a file (.safetensors, .onnx, .xml)."""
    detector: Path | None = None
    """Finds the person in the pictures: OpenVINO .xml or .onnx, as in `passerby ingest`."""
    person: Annotated[tuple[int, ...], tyro.conf.UseAppendAction] = ()
    """Which of several people the detector finds, from 1; given once for each picture."""
    case: str | None = None
    """Number of the open case for which this is asked; goes into the audit."""
    purpose: str | None = None
    """Why this is asked; goes into the audit."""
    json: bool = False
    """Print the answer as JSON."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question that may be asked, checked against its city and turned into vectors."""

    question: Question
    city: "City"
    scope: "Scope"
    vectors: "FloatArray"
    """(Q, D), one row a picture."""
    model: str
    """The id of the network that made them."""
    calibration: "Calibration"

    def record(self, action: str, results: Sequence[str]) -> int | None:
        """Write the question into the city's audit and return the number of the entry.

        None where the service is not installed.
        """
        try:
            from passerby.service.audit import Audit
            from passerby.service.database import Database
        except ImportError:
            return None
        details: dict[str, Any] = {
            "by": "command line",
            "purpose": self.question.purpose or "",
            "scope": self.scope.as_dict(),
            "pictures": [_digest(path) for path in self.question.pictures],
            "people": list(self.question.person),
            "results": list(results),
        }
        with closing(Database.of(self.city)) as database:
            entry = Audit(database, self.city.folder).append(
                action,
                account=f"os:{getpass.getuser()}",
                case=self.question.case,
                units=self.scope.units or tuple(unit.code for unit in self.city.units.roots),
                details=details,
            )
        return entry.number


@contextmanager
def asked(question: Question) -> Iterator[Asked]:
    """Open the city and make the question ready to be answered.

    Raises:
        InputError: no city, a question without a reason or for a case that is not open, an unknown
            unit or camera, a time without a zone, an empty gallery, a network other than the
            gallery's, a picture that cannot be read or shows nobody.
    """
    from passerby.city import Calibration, City, Scope
    from passerby.runtime import Embedder

    with City.open(question.city) as city:
        _permit(city, question)
        scope = city.check(
            Scope.parse(
                units=question.unit, cameras=question.camera, start=question.start, end=question.end
            )
        )
        if city.gallery.model_id is None:
            raise InputError(f"the gallery of {city.folder} is empty; ingest a clip or crops first")
        pictures = _pictures(question)
        embedder = Embedder.load(question.model)
        yield Asked(
            question=question,
            city=city,
            scope=scope,
            vectors=embedder.embed(pictures),
            model=embedder.model_id,
            calibration=Calibration.from_card(embedder.card.calibration),
        )


def _permit(city: "City", question: Question) -> None:
    """Refuse a question without a reason, or for a case that is not open.

    Raises:
        InputError: the city has accounts but the question neither case nor purpose; or there is
            no such case, or it is closed or has expired.
    """
    try:
        from passerby.service.access import Refusal
        from passerby.service.accounts import Accounts
        from passerby.service.cases import Cases, require_open
        from passerby.service.database import Database
    except ImportError:  # without the extra "service" there are neither cases nor accounts
        return
    with closing(Database.of(city)) as database:
        if question.case:
            try:
                require_open(Cases(database).get(question.case))
            except Refusal as refusal:
                raise InputError(f"case '{question.case}': {refusal}") from None
        elif not question.purpose and Accounts(database).all():
            raise InputError(
                "this city is in service: say why you ask, with --case NUMBER or --purpose TEXT"
            )


def _pictures(question: Question) -> "list[Path] | list[NDArray[np.uint8]]":
    """The crops to look for: the files, or what the detector finds in them.

    Raises:
        InputError: no picture, one that is not there or shows nobody, several people and no choice.
    """
    paths, chosen = question.pictures, question.person
    if not paths:
        raise InputError("there is no picture; give at least one, with one person cut out")
    for path in paths:
        if not path.is_file():
            raise InputError(f"there is no picture {path}")
    if question.detector is None:
        if chosen:
            raise InputError("--person picks one of the people a detector finds; add --detector")
        return list(paths)
    if len(chosen) not in (0, len(paths)):
        raise InputError(
            f"--person is given {len(chosen)} times for {len(paths)} pictures; give it once for "
            "each picture, in their order"
        )
    from passerby.ingest import Detector, read_person

    detector = Detector.load(question.detector)
    wanted = chosen or (None,) * len(paths)
    return [
        read_person(path, detector, person=person)
        for path, person in zip(paths, wanted, strict=True)
    ]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
