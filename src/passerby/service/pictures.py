"""Query pictures: checked, held in memory for some time, never written to disk."""

import hashlib
import io
import secrets
import threading
import warnings
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from passerby.errors import InputError
from passerby.ingest.detector import Detections, Detector
from passerby.ingest.query import (
    SMALLEST,
    Box,
    NoPersonError,
    cut_person,
    find_people,
    like_a_crop,
)
from passerby.runtime.pictures import read_image
from passerby.service.access import Refusal
from passerby.service.database import now
from passerby.service.settings import Settings

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
LOW_HEIGHT = 96  # pixels; the answer for a lower crop may be poor
LOW_CONTRAST = 12.0  # standard deviation of the grey levels; with less, the answer may be poor
LONGEST_SIDE = 1920  # pixels; larger pictures are scaled down, a person in them stays large enough
SHOWN_SIDE = 640  # of a picture that a search holds to be shown beside its results
MOST_BYTES = 400 * 2**20  # of decoded pictures in memory; the oldest are dropped first


@dataclass(frozen=True, kw_only=True)
class QueryPicture:
    """A picture that an account uploaded.

    Attributes:
        id: random, so that nobody can guess it.
        account: the account that uploaded it; no other account can use it.
        digest: SHA-256 of the uploaded file; the audit records it.
        image: (H, W, 3) uint8 RGB, scaled down where it was large.
        people: the people found in it; None without a detector.
        warnings: codes that the page explains, such as "unlike_a_crop".
        expires: ms since the epoch.
    """

    id: str
    account: str
    digest: str
    image: NDArray[np.uint8]
    people: Detections | None
    warnings: tuple[str, ...]
    expires: int

    def crop(self, box: Box | None) -> NDArray[np.uint8]:
        """Return the part of the picture inside a box in pixels; the whole picture without one.

        Raises:
            InputError: the box is too small to recognise a person in it.
        """
        return self.image if box is None else cut_person(self.image, box)


def read_upload(data: bytes, settings: Settings) -> NDArray[np.uint8]:
    """Decode an uploaded picture into (H, W, 3) uint8 RGB.

    The size is read from the header and checked first. So a small file that claims a huge picture
    is refused before a pixel is decoded.

    Raises:
        Refusal: 415 not a picture, 413 too many pixels, 422 unreadable or too small.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                width, height = picture.size
    except Image.DecompressionBombError:
        raise _too_many_pixels(settings) from None
    except (UnidentifiedImageError, OSError, ValueError):
        raise Refusal(
            415,
            "not_an_image",
            "This file is not a picture that can be read.",
            f"Give a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file.",
        ) from None
    if width * height > settings.upload_megapixels * 1e6:
        raise _too_many_pixels(settings)
    if height < SMALLEST[0] or width < SMALLEST[1]:
        raise Refusal(
            422,
            "too_small",
            f"The picture is {width} x {height} pixels; nobody can be recognised in it.",
            f"Give one of at least {SMALLEST[1]} x {SMALLEST[0]} pixels.",
        )
    try:
        return _at_most(read_image(data), LONGEST_SIDE)
    except InputError as error:
        raise Refusal(
            422, "unreadable", f"The picture cannot be read: {error}", "Give another file."
        ) from None


def _too_many_pixels(settings: Settings) -> Refusal:
    return Refusal(
        413,
        "too_many_pixels",
        "The picture has too many pixels.",
        f"Scale it down to at most {settings.upload_megapixels:g} megapixels.",
    )


def _at_most(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    share = side / max(height, width)
    if share >= 1:
        return image
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(
        Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=3)
    )


def small_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Return an (H, W, 3) uint8 picture as JPEG, at most ``SHOWN_SIDE`` pixels long."""
    out = io.BytesIO()
    Image.fromarray(_at_most(image, SHOWN_SIDE)).save(out, "JPEG", quality=90)
    return out.getvalue()


def inspect(
    image: NDArray[np.uint8], detector: Detector | None
) -> tuple[Detections | None, tuple[str, ...]]:
    """Return the people in a picture (None without a detector) and the warnings about it.

    Raises:
        Refusal: 422 for a street view in which the detector finds nobody.
    """
    try:
        people = None if detector is None else find_people(image, detector)
    except NoPersonError:
        raise Refusal(
            422,
            "no_person",
            "No person was found in this picture.",
            "Give a picture in which the whole person can be seen, or crop it to the person.",
        ) from None
    found: list[str] = []
    if not people and not like_a_crop(image):
        found.append("unlike_a_crop")
    if not people and len(image) < LOW_HEIGHT:
        found.append("low_resolution")
    grey = image[::4, ::4].astype(np.float32).mean(axis=2)
    if grey.std() < LOW_CONTRAST:
        found.append("low_contrast")
    return people, tuple(found)


class QueryPictures:
    """The uploaded pictures of all accounts, held in memory for a limited time."""

    def __init__(self, settings: Settings, detector: Detector | None) -> None:
        self.settings = settings
        self.detector = detector
        self._pictures: OrderedDict[str, QueryPicture] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, data: bytes, account: str) -> QueryPicture:
        """Check an uploaded file and hold its picture in memory.

        Raises:
            Refusal: the picture cannot be used; the refusal says why.
        """
        image = read_upload(data, self.settings)
        people, found = inspect(image, self.detector)
        picture = QueryPicture(
            id=secrets.token_urlsafe(16),
            account=account,
            digest=hashlib.sha256(data).hexdigest(),
            image=image,
            people=people,
            warnings=found,
            expires=now() + int(self.settings.query_minutes * 60_000),
        )
        with self._lock:
            self._pictures[picture.id] = picture
            self._drop_old()
        return picture

    def get(self, identifier: str, account: str) -> QueryPicture:
        """Return a picture of the account.

        Raises:
            Refusal: 404 for a picture that is gone or belongs to another account; one answer.
        """
        with self._lock:
            self._drop_old()
            picture = self._pictures.get(identifier)
        if picture is None or picture.account != account:
            raise Refusal(
                404,
                "pictures_forgotten",
                "The pictures are no longer held.",
                "Add them again.",
            )
        return picture

    def forget(self, account: str) -> None:
        """Drop the pictures of an account, for example when it signs out."""
        with self._lock:
            for key in [k for k, v in self._pictures.items() if v.account == account]:
                del self._pictures[key]

    def _drop_old(self) -> None:
        present = now()
        for key in [k for k, v in self._pictures.items() if v.expires <= present]:
            del self._pictures[key]
        size = sum(picture.image.nbytes for picture in self._pictures.values())
        while size > MOST_BYTES:
            size -= self._pictures.popitem(last=False)[1].image.nbytes
