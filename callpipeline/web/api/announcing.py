"""`/webhook`: recordings that are announced by an address, which are fetched later."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from callpipeline.pipeline.announcing import Announcement
from callpipeline.web.api.repeating import IdempotencyKey, once, repeatable
from callpipeline.web.api.taken import Taken, taken
from callpipeline.web.opened import Here, Opened
from callpipeline.web.problems import problems

HOLD_S = 30.0
"""An address is entered in milliseconds: whoever is at it longer has died."""
SOON = "The recording is going to be fetched and processed when its turn comes."

router = APIRouter(tags=["recordings"])


def _of_characters(value: Any) -> Any:
    """Text alone: half a character (a lone surrogate) is none, and nothing can keep it."""
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("there is half a character in it") from None
    return value


Value = Annotated[
    Annotated[str, StringConstraints(max_length=1000)] | int | float | bool | None,
    AfterValidator(_of_characters),
]


class Said(BaseModel):
    """A recording, and where it is to be fetched.

    `metadata` is what is known of the call (`agent`, `customer`, `direction`, `started_at`, …).
    """

    filename: Annotated[str | None, StringConstraints(max_length=1024)] = None
    file_url: Annotated[str, StringConstraints(min_length=1, max_length=8192)]
    metadata: Annotated[dict[str, Value], Field(max_length=50)] = {}
    agent_channel: Literal["left", "right"] | None = None


@router.post("/webhook", responses=problems(409, 413, 422, 503))
async def webhook(
    said: Said,
    request: Request,
    response: Response,
    here: Here,
    idempotency_key: IdempotencyKey = None,
) -> Taken:
    """Enter a call whose recording is fetched later; what fails of that is told of its job."""
    asked = repeatable(request, idempotency_key, said.model_dump_json(), hold_s=HOLD_S)
    key = asked.key_hash if asked else None

    def work() -> dict[str, Any]:
        return _entered(here, _as_announced(said, key))

    return Taken(**await once(here.repeats, asked, response, work))


def _as_announced(said: Said, key: str | None) -> Announcement:
    metadata = {name: str(value) for name, value in said.metadata.items() if value is not None}
    return Announcement(said.file_url, said.filename, key, metadata, said.agent_channel)


def _entered(here: Opened, said: Announcement) -> dict[str, Any]:
    entered = here.announce(said)
    document = taken(here.storage.ledger, entered.call_id, is_new=entered.is_new)
    return document | ({"message": SOON} if entered.is_new else {})
