"""Evaluation protocols by name: the gallery rows that take part, and the average precision."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The gallery rows that take part for a query, and the form of average precision.

    In every protocol a gallery identity of -1 is junk and takes no part. A gallery identity of 0 is
    a distractor, a negative for every query, unless a query has it too: labels of other programs
    count from 0. Queries of a data set never have it (:meth:`CropTable.match_labels`).

    Attributes:
        name: The name that is printed with every result.
        says: One line for reports.
        same_camera: Whether pictures of the query's person from the query's own camera take part.
        average_precision: ``"step"``: mean over hits of hits so far / rank, as in torchreid,
            Bag of Tricks, AGW and fast-reid. ``"trapezoid"``: mean of the precision before and at
            each hit, as in Market-1501's own MATLAB code; up to about one point lower.
        distractors: Whether distractors take part.
        one_digit_camera: Whether only the first digit of a camera's number counts, as in published
            code whose file pattern reads one digit: cameras 10 to 15 become camera 1.
        shots: 0, or the number of repetitions of the CMC with one random gallery picture per
            identity (single gallery shot). AP and INP are always of the whole gallery.
    """

    name: str
    says: str
    same_camera: bool = False
    average_precision: Literal["step", "trapezoid"] = "step"
    distractors: bool = True
    one_digit_camera: bool = False
    shots: int = 0

    def cameras(self, cameras: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return camera numbers (N,) as this protocol reads them."""
        if not self.one_digit_camera:
            return cameras
        return np.array([int(str(abs(c))[0]) for c in cameras.tolist()], dtype=np.int64)


PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        Protocol(
            name="market1501",
            says="same person in the query's camera left out, junk left out, step AP; "
            "also DukeMTMC-reID, MSMT17, CUHK03 new protocol, PersonX",
        ),
        Protocol(
            name="market1501-trapezoid",
            says="market1501 with the trapezoid AP of the MATLAB evaluation",
            average_precision="trapezoid",
        ),
        Protocol(
            name="any-camera",
            says="pictures of the query's own camera count too; for data without cameras",
            same_camera=True,
        ),
        Protocol(
            name="cuhk03-old",
            says="CUHK03's old protocol: CMC with one random gallery picture per person, "
            "mean of 10 draws",
            shots=10,
        ),
        Protocol(
            name="legacy-no-distractors",
            says="market1501 without identity 0 in the gallery, as some published code reads it; "
            "easier than the standard",
            distractors=False,
        ),
        Protocol(
            name="legacy-one-digit-camera",
            says="market1501 with cameras read by their first digit alone, as some published code "
            "reads MSMT17; more true matches are left out",
            one_digit_camera=True,
        ),
        Protocol(
            name="legacy-diff-attention",
            says="both legacy readings together, as behind the Diff Attention figures",
            distractors=False,
            one_digit_camera=True,
        ),
    )
}


def protocol_of(protocol: str | Protocol) -> Protocol:
    """Return the protocol of a name; a protocol is returned as it is.

    Raises:
        InputError: There is no such name.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise InputError(f"no protocol '{protocol}'; there are: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[protocol]
