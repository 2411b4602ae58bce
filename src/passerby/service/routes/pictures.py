"""Upload a query picture."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from passerby.service.access import Refusal
from passerby.service.http import PROBLEMS, Problem, Searcher, rounded
from passerby.service.pictures import QueryPicture

router = APIRouter(prefix="/api/pictures", tags=["search"], responses=PROBLEMS)


class PersonBox(BaseModel):
    """A person that the detector saw in the picture."""

    box: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1 in pixels")
    score: Annotated[float, rounded(4)]


class PictureInfo(BaseModel):
    """An uploaded picture, ready to be searched for."""

    id: str = Field(description="names the picture in a search; it is held in memory for a while")
    width: int
    height: int
    people: list[PersonBox] = Field(description="best first; empty without a detector")
    detected: bool = Field(description="whether a detector looked at the picture")
    warnings: list[str] = Field(
        description="unlike_a_crop, low_resolution, low_contrast: the answer may be poor"
    )

    @classmethod
    def of(cls, picture: QueryPicture) -> "PictureInfo":
        """Return what the page needs of a picture."""
        height, width = picture.image.shape[:2]
        people = picture.people
        boxes = [] if people is None else people.boxes.tolist()
        scores = [] if people is None else people.scores.tolist()
        return cls(
            id=picture.id,
            width=width,
            height=height,
            people=[
                PersonBox(box=box, score=score) for box, score in zip(boxes, scores, strict=True)
            ],
            detected=people is not None,
            warnings=list(picture.warnings),
        )


FORM: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {
                        "type": "string",
                        "format": "binary",
                        "description": "JPEG, PNG, WebP, BMP or TIFF",
                    }
                },
            }
        }
    },
}


class _FormInMemory(MultiPartParser):
    """Parses a form without a temporary file; the limit on request bodies bounds the memory."""

    spool_max_size = 2**40  # the base class moves what is larger than this to a file


async def read_form(request: Request, _caller: Searcher) -> bytes:
    """Return the bytes of the one file of a form; they never touch the disk.

    FastAPI's own way to take files writes those above 1 MB to a temporary file.

    Raises:
        Refusal: 422 for what is no form with one file.
    """
    try:
        parser = _FormInMemory(request.headers, request.stream(), max_files=1, max_fields=0)
        form = await parser.parse()
        file = form.get("file")
        if isinstance(file, UploadFile):
            return await file.read()
    except (MultiPartException, KeyError, ValueError, LookupError):
        pass
    raise Refusal(
        422,
        "malformed",
        "The request is no form with one file.",
        "Send multipart/form-data with the picture in the field 'file'.",
    )


@router.post(
    "",
    summary="Upload a query picture",
    status_code=201,
    responses={
        413: {"model": Problem, "description": "Too large, in bytes or in pixels"},
        415: {"model": Problem, "description": "Not a picture"},
        422: {"model": Problem, "description": "Unreadable, too small, or no person in it"},
    },
    openapi_extra={"requestBody": FORM},
)
def add(
    caller: Searcher,
    file: Annotated[bytes, Depends(read_form)],
) -> PictureInfo:
    """Check a picture and hold it in memory for a search; it is never written to disk."""
    return PictureInfo.of(caller.service.pictures.add(file, caller.account.name))
