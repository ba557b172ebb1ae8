"""`/export/…`: what a page shows as a file, sent while it is read."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import StreamingResponse

from callpipeline.storage.export import Format, What
from callpipeline.web.exporting import Wish
from callpipeline.web.filters import Asked
from callpipeline.web.opened import Here
from callpipeline.web.problems import problems

router = APIRouter(prefix="/export", tags=["export"])

FILE = {
    200: {
        "description": "The file: CSV with a header, JSON a document a line, or Parquet",
        "content": {
            "text/csv": {},
            "application/x-ndjson": {},
            "application/vnd.apache.parquet": {},
        },
    }
}


@router.get(
    "/{what}.{kind}", response_class=StreamingResponse, responses=FILE | problems(404, 422, 503)
)
async def export(
    request: Request,
    what: What,
    kind: Format,
    filters: Asked,
    here: Here,
    words: Annotated[str | None, Query(max_length=400, description="Segments with them")] = None,
) -> StreamingResponse:
    """Calls, mentions or segments that the filters let through, as many as there are.

    Texts that a spreadsheet would take for formulas have an apostrophe before them in CSV.
    """
    if words is not None and what is not What.SEGMENTS:
        raise HTTPException(422, "words: only segments can be looked through for words.")
    return await here.exports.sent(request, Wish(what, kind, filters, words or None))
