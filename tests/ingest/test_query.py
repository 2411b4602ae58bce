"""Query pictures: the person is cut out, a choice is asked for, and nobody is refused."""

import numpy as np
import pytest
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.ingest import Detector, NoPersonError, find_people, read_person
from passerby.ingest.query import cut_person


def street(*people: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """A grey street, 200 high and 400 wide, with coloured figures at x0, y0, x1, y1."""
    image = np.full((200, 400, 3), 120, np.uint8)
    for number, (x0, y0, x1, y1) in enumerate(people):
        image[y0:y1, x0:x1] = (230, 20 * number, 10)
    return image


def test_the_only_person_is_cut_out(detector: Detector) -> None:
    image = street((100, 20, 160, 180))
    assert np.array_equal(read_person(image, detector), image[20:180, 100:160])


def test_passers_by_in_the_background_are_not_meant(detector: Detector) -> None:
    image = street((20, 20, 35, 60), (100, 20, 160, 180), (300, 30, 318, 70))
    assert np.array_equal(read_person(image, detector), image[20:180, 100:160])


def test_of_several_people_one_is_chosen(detector: Detector) -> None:
    image = street((40, 20, 100, 180), (200, 30, 250, 190))
    with pytest.raises(InputError, match=r"2 people: 1 at x 40\.\.100.*--person N"):
        read_person(image, detector)
    assert np.array_equal(read_person(image, detector, person=2), image[30:190, 200:250])
    for wrong in (0, 3, -1):
        with pytest.raises(InputError, match=f"no person {wrong}; there are 2"):
            read_person(image, detector, person=wrong)


def test_nobody_is_refused(detector: Detector) -> None:
    with pytest.raises(NoPersonError, match="no person was found"):
        read_person(street(), detector)


def test_a_crop_is_taken_as_it_is(detector: Detector) -> None:
    crop = np.full((128, 64, 3), 90, np.uint8)  # the detector sees nothing in it
    assert len(find_people(crop, detector)) == 0
    assert np.array_equal(read_person(crop, detector), crop)
    assert np.array_equal(read_person(crop, detector, person=1), crop)
    with pytest.raises(InputError, match="no person 2"):
        read_person(crop, detector, person=2)


def test_a_person_too_small_to_recognise_is_refused() -> None:
    image = street()
    with pytest.raises(InputError, match="too small"):
        cut_person(image, (10, 10, 30, 50))
    with pytest.raises(InputError, match="too small"):
        cut_person(image, (-40, 0, 10, 150))
    assert cut_person(image, (-10, -5, 60, 500)).shape == (200, 60, 3)
