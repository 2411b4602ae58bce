"""Query pictures: checked, kept in memory for a while, never written to disk."""

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
from passerby.service.database import now
from passerby.service.refusals import Refusal, nothing_there
from passerby.service.settings import Settings

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
LOW = 96  # pixels of height of a crop below which an answer may be poor
FLAT = 12.0  # contrast below which an answer may be poor
LONGEST_SIDE = 1920  # larger pictures are scaled down; a person in them stays large enough
MOST_BYTES = 400 * 2**20  # of decoded pictures in memory; the oldest go first


@dataclass(frozen=True, kw_only=True)
class QueryPicture:
    """A picture that an account uploaded.

    Attributes:
        id: unguessable.
        account: whose it is; nobody else can use it.
        digest: SHA-256 of the uploaded file, which is what the audit notes.
        image: (H, W, 3) uint8 RGB, perhaps scaled down.
        people: who was found in it; None without a detector.
        warnings: words the page explains, such as "unlike_a_crop".
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
        """The part of the picture to search for.

        Raises:
            InputError: the box leaves less than a person could be recognised in.
        """
        return self.image if box is None else cut_person(self.image, box)


def read_upload(data: bytes, settings: Settings) -> NDArray[np.uint8]:
    """Decode an uploaded picture, after its size was read from its header.

    Raises:
        Refusal: 415 not an image, 413 too many pixels, 422 unreadable or too small.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                width, height = picture.size
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        if isinstance(error, Image.DecompressionBombError):
            raise _too_many_pixels(settings) from None
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


def look_at(
    image: NDArray[np.uint8], detector: Detector | None
) -> tuple[Detections | None, tuple[str, ...]]:
    """People in a picture (None without a detector) and warnings about it.

    Raises:
        Refusal: 422, a detector looked at a street view and saw nobody.
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
    if not people and len(image) < LOW:
        found.append("low_resolution")
    if _contrast(image) < FLAT:
        found.append("low_contrast")
    return people, tuple(found)


def _contrast(image: NDArray[np.uint8]) -> float:
    """Standard deviation of the grey levels, 0..128."""
    return float(image[::4, ::4].astype(np.float32).mean(axis=2).std())


class QueryPictures:
    """The uploaded pictures of all accounts, each for its own account and for a short time."""

    def __init__(self, settings: Settings, detector: Detector | None) -> None:
        self.settings = settings
        self.detector = detector
        self._pictures: OrderedDict[str, QueryPicture] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, data: bytes, account: str) -> QueryPicture:
        """Check an uploaded file and keep it.

        Raises:
            Refusal: the picture cannot be used; the refusal says why.
        """
        image = read_upload(data, self.settings)
        people, found = look_at(image, self.detector)
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
        """An account's own picture.

        Raises:
            Refusal: 404, it is gone or somebody else's.
        """
        with self._lock:
            self._drop_old()
            picture = self._pictures.get(identifier)
        if picture is None or picture.account != account:
            raise nothing_there("query picture")
        return picture

    def forget(self, account: str) -> None:
        """Drop an account's pictures, as when it signs out."""
        with self._lock:
            for key in [k for k, v in self._pictures.items() if v.account == account]:
                del self._pictures[key]

    def _drop_old(self) -> None:
        time = now()
        for key in [k for k, v in self._pictures.items() if v.expires <= time]:
            del self._pictures[key]
        size = sum(picture.image.nbytes for picture in self._pictures.values())
        while size > MOST_BYTES:
            size -= self._pictures.popitem(last=False)[1].image.nbytes
