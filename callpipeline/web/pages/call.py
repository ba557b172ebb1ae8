"""`/calls/{call_id}`: one call, live while it is worked on."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from callpipeline.domain.call_ids import is_call_id
from callpipeline.errors import UnknownCall
from callpipeline.web.opened import Here
from callpipeline.web.pages.head import head_of
from callpipeline.web.pages.rendering import page

router = APIRouter()


@router.get("/calls/{call_id}")
def call(
    request: Request, here: Here, call_id: Annotated[str, Path(max_length=40)]
) -> HTMLResponse:
    found = here.reading.rows([call_id]) if is_call_id(call_id) else ()
    if not found:
        raise UnknownCall("There is no such call. It may have been deleted when its time was over.")
    return page(request, "call.html", head=head_of(here, found[0]))
