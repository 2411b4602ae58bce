"""Query pictures: upload, check, choose the person."""

from typing import Annotated

from fastapi import APIRouter, File, UploadFile
from pydantic import BaseModel, Field

from passerby.ingest.detector import Detections
from passerby.service.http import PROBLEMS, Searcher, TheService
from passerby.service.pictures import QueryPicture

router = APIRouter(prefix="/api/pictures", tags=["search"], responses=PROBLEMS)


class PersonBox(BaseModel):
    """A person that the detector saw in the picture."""

    box: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1 in pixels")
    score: float

    @classmethod
    def all_of(cls, people: Detections) -> "list[PersonBox]":
        """As JSON, most certain first."""
        pairs = zip(people.boxes.tolist(), people.scores.tolist(), strict=True)
        return [cls(box=tuple(box), score=round(score, 4)) for box, score in pairs]


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
        """What the page needs of a picture."""
        height, width = picture.image.shape[:2]
        return cls(
            id=picture.id,
            width=width,
            height=height,
            people=[] if picture.people is None else PersonBox.all_of(picture.people),
            detected=picture.people is not None,
            warnings=list(picture.warnings),
        )


@router.post(
    "",
    summary="Upload a query picture",
    status_code=201,
    responses={
        413: {"description": "Too large, in bytes or in pixels"},
        415: {"description": "Not a picture"},
        422: {"description": "Unreadable, too small, or no person in it"},
    },
)
def add(
    session: Searcher,
    service: TheService,
    file: Annotated[UploadFile, File(description="JPEG, PNG, WebP, BMP or TIFF")],
) -> PictureInfo:
    """Check a picture and hold it in memory for a search; it is never written to disk."""
    return PictureInfo.of(service.pictures.add(file.file.read(), session.account.name))
