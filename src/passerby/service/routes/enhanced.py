"""What a search would do to a dark query picture, to show it before and after."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from passerby.errors import InputError
from passerby.ingest.crops import encode_jpeg
from passerby.ingest.enhancement import enhance
from passerby.service.http import PROBLEMS, Searcher

Pixel = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
router = APIRouter(prefix="/api/pictures", tags=["search"], responses=PROBLEMS)


@router.get(
    "/{identifier}/enhanced",
    summary="A dark query picture after enhancement",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {}}, "description": "The person, brightened"},
        204: {"description": "Bright enough; a search takes it as it is"},
    },
)
def enhanced(
    identifier: str,
    caller: Searcher,
    box: Annotated[
        list[Pixel] | None,
        Query(description="x0, y0, x1, y1 in pixels; the whole picture without one"),
    ] = None,
) -> Response:
    """The part of a picture that a search looks for, as its enhancement makes it."""
    picture = caller.service.pictures.get(identifier, caller.account.name)
    if box is None:
        crop = picture.crop(None)
    elif len(box) == 4:
        crop = picture.crop((box[0], box[1], box[2], box[3]))
    else:
        raise InputError(f"a box has 4 values, not {len(box)}: box=x0&box=y0&box=x1&box=y1")
    better = enhance(crop)
    headers = {"Cache-Control": "no-store"}
    if better is crop:
        return Response(status_code=204, headers=headers)
    return Response(encode_jpeg(better), media_type="image/jpeg", headers=headers)
