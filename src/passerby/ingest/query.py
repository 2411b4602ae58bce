"""Query pictures: find the person with a detector, and cut the person out."""

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.ingest.detector import Detections, Detector
from passerby.runtime import Picture, read_image
from passerby.runtime.pictures import describe

Box = tuple[float, float, float, float]
LEAST_CONFIDENCE = 0.5  # of a detected person
SMALLEST = (48, 24)  # height, width in pixels; smaller people cannot be recognised
CROP_SHAPE = (1.4, 4.5)  # range of height / width of a picture that may be a crop of a person
BACKGROUND = 0.25  # people with less than this share of the largest box are in the background


class NoPersonError(InputError):
    """A detector found nobody in a picture."""


def like_a_crop(image: NDArray[np.uint8]) -> bool:
    """Whether a picture (H, W, 3) has the shape of a crop of one person."""
    height, width = image.shape[:2]
    return bool(CROP_SHAPE[0] <= height / width <= CROP_SHAPE[1])


def find_people(image: NDArray[np.uint8], detector: Detector) -> Detections:
    """Find the people in a query picture, in order of falling confidence.

    Detectors are made for street views and often miss a person who fills the picture. A picture
    with the shape of a crop is therefore taken as a crop even when the detector finds nobody.

    Args:
        image: (H, W, 3) uint8 RGB.
        detector: Finds people.

    Returns:
        The people; none for a picture that is taken as a crop.

    Raises:
        NoPersonError: Nobody is in a picture that is no crop.
    """
    found = detector.detect([image])[0].above(LEAST_CONFIDENCE)
    if not len(found) and not like_a_crop(image):
        raise NoPersonError(
            "no person was found in this picture; give one in which the whole person can be "
            "seen, or crop it to the person"
        )
    return found


def cut_person(image: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Cut a person out of a query picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: x0, y0, x1, y1 in pixels; it is clipped to the picture.

    Raises:
        InputError: The clipped box is too small to recognise a person in.
    """
    height, width = image.shape[:2]
    x0, x1 = (int(np.clip(round(value), 0, width)) for value in (box[0], box[2]))
    y0, y1 = (int(np.clip(round(value), 0, height)) for value in (box[1], box[3]))
    if y1 - y0 < SMALLEST[0] or x1 - x0 < SMALLEST[1]:
        raise InputError(
            f"the box is {max(x1 - x0, 0)} x {max(y1 - y0, 0)} pixels, too small to recognise "
            f"a person in; give one of at least {SMALLEST[1]} x {SMALLEST[0]}"
        )
    return np.ascontiguousarray(image[y0:y1, x0:x1])


def read_person(
    picture: Picture, detector: Detector, *, person: int | None = None
) -> NDArray[np.uint8]:
    """Read a query picture and cut out the person to look for.

    Args:
        picture: Path, PIL image or RGB uint8 array.
        detector: Finds people.
        person: Number of the person among several, from 1, in order of falling confidence. None
            takes the person who is alone or far larger than all others.

    Returns:
        (h, w, 3) uint8 RGB; the whole picture when it is taken as a crop.

    Raises:
        NoPersonError: Nobody is in the picture.
        InputError: The picture cannot be read, there are several people and no choice, or there is
            no such person.
    """
    image, name = read_image(picture), describe(picture)
    try:
        people = find_people(image, detector)
    except NoPersonError as error:
        raise NoPersonError(f"{name}: {error}") from None
    if not len(people) and person in (None, 1):
        return image
    chosen = _main_person(people) if person is None else person - 1
    if chosen is None:
        raise InputError(
            f"{name} shows {len(people)} people: {_listed(people)}; pick one with --person N"
        )
    if not 0 <= chosen < len(people):
        raise InputError(
            f"{name} has no person {person}; there are {max(1, len(people))}: {_listed(people)}"
        )
    x0, y0, x1, y1 = people.boxes[chosen].tolist()
    return cut_person(image, (x0, y0, x1, y1))


def _main_person(people: Detections) -> int | None:
    """Index of the largest person when all others are in the background; else None."""
    sizes = (people.boxes[:, 2:] - people.boxes[:, :2]).prod(axis=1)
    largest = int(np.argmax(sizes))
    others = np.delete(sizes, largest)
    return largest if (others < BACKGROUND * sizes[largest]).all() else None


def _listed(people: Detections) -> str:
    """The place of each person as text, such as "1 at x 40..130, y 20..310"."""
    return ", ".join(
        f"{number} at x {x0:.0f}..{x1:.0f}, y {y0:.0f}..{y1:.0f}"
        for number, (x0, y0, x1, y1) in enumerate(people.boxes.tolist(), 1)
    )
