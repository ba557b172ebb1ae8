"""`/calls/{call_id}/metadata`: what is known about a call, and its correction by people."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, HTTPException, Request
from pydantic import AfterValidator, BaseModel, Field, RootModel, StringConstraints

from callpipeline.domain.calls.sources import TIME_GROUPS, Source, parse_started_at
from callpipeline.storage.calls.descriptions import STARTED_AT, CallDescription
from callpipeline.web.access import visitor_of
from callpipeline.web.problems import problems
from callpipeline.web.state import AppState, CallId, State

read_router = APIRouter(prefix="/calls/{call_id}", tags=["metadata"])
write_router = APIRouter(prefix="/calls/{call_id}", tags=["metadata"])

MAX_FIELDS = 50
MAX_VALUE_CHARS = 1000
_NAME = re.compile(r"[A-Za-z]\w{0,59}", re.ASCII)
_NEUTRAL = Source("", "")


def valid_unicode(value: Any) -> Any:
    """Return a value. Raises ValueError for lone surrogates, which can't be stored."""
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("it contains a lone surrogate") from None
    return value


MetadataValue = Annotated[
    Annotated[str, StringConstraints(max_length=MAX_VALUE_CHARS)] | int | float | bool | None,
    AfterValidator(valid_unicode),
]
FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,59}$")]


class CorrectionRequest(RootModel[dict[FieldName, MetadataValue]]):
    """Fields to correct (`agent`, `customer`, `direction`, `started_at`, …); null removes one."""

    root: Annotated[dict[FieldName, MetadataValue], Field(min_length=1, max_length=MAX_FIELDS)]


class CorrectionRecord(BaseModel):
    """A correction that a person made; a null value removed the field."""

    fields: dict[str, str | None]
    corrected_by: str | None
    corrected_at: datetime


class CallMetadataDocument(BaseModel):
    """Metadata and time of a call; `corrections` are newest first."""

    metadata: dict[str, str]
    started_at: datetime | None
    corrections: list[CorrectionRecord]


@read_router.get("/metadata", responses=problems(404, 503))
def metadata(state: State, call_id: CallId) -> CallMetadataDocument:
    """Return what is known about a call, and what people corrected."""
    return _document(state.storage.descriptions.find(call_id))


@write_router.patch("/metadata", responses=problems(404, 422, 503))
def correct_metadata(
    state: State, request: Request, call_id: CallId, wanted: CorrectionRequest
) -> CallMetadataDocument:
    """Correct fields of a call; pages, exports and analytics follow, and later runs keep them."""
    given = {name: _text(value) for name, value in wanted.root.items()}
    return _document(correct(state, request, call_id, given))


def correct(
    state: AppState, request: Request, call_id: str, fields: Mapping[str, str | None]
) -> CallDescription:
    """Correct fields of a call; empty text removes one. Raises HTTPException (422)."""
    cleaned, started_at = parse_fields(fields)
    visitor = visitor_of(request)
    return state.storage.descriptions.correct(
        call_id, cleaned, started_at=started_at, by=visitor.name if visitor else None
    )


def parse_fields(
    fields: Mapping[str, str | None],
) -> tuple[dict[str, str | None], datetime | None]:
    """Return the fields as they are stored, and the time of the call if it is among them.

    Raises HTTPException (422).
    """
    cleaned: dict[str, str | None] = {}
    for name in fields:
        if name == "agent_channel" or (name in TIME_GROUPS and name != STARTED_AT):
            raise HTTPException(
                422, f"`{name}` can't be corrected here: send `{STARTED_AT}` for the time."
            )
    for name, value in fields.items():
        attributes = _NEUTRAL.attributes_of({name: value or ""})
        cleaned[name] = attributes.metadata.get(name) or None
    if not fields.get(STARTED_AT):
        return cleaned, None
    started_at = parse_started_at({STARTED_AT: fields[STARTED_AT] or ""}, "UTC", datetime.now(UTC))
    if started_at is None:
        raise HTTPException(
            422,
            "`started_at` must be a time since 1990, and not in the future: write it as "
            "2026-03-02T10:15:00Z.",
        )
    return cleaned | {STARTED_AT: started_at.isoformat()}, started_at


def sent_metadata(form: Mapping[str, str]) -> tuple[dict[str, str], str | None]:
    """Return the metadata in the fields of an upload, and the agent's channel if it is given.

    Each field is one of the call; `metadata` may hold several as JSON. Raises HTTPException (422).
    """
    # Other fields of a form are not about the call.
    fields = {name: text for name, text in form.items() if text.strip() and _NAME.fullmatch(name)}
    fields.pop("csrf_token", None)
    written = fields.pop("metadata", None)
    if written is not None:
        try:
            document = json.loads(written)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise HTTPException(422, "`metadata` must be a JSON object of fields and values.")
        listed = cast("dict[str, Any]", document)
        fields = {name: text for name, each in listed.items() if (text := _text(each))} | fields
    channel = fields.pop("agent_channel", None)
    if channel not in (None, "left", "right"):
        raise HTTPException(422, "`agent_channel` must be left or right.")
    if len(fields) > MAX_FIELDS or not all(_NAME.fullmatch(name) for name in fields):
        raise HTTPException(
            422,
            f"Send at most {MAX_FIELDS} fields of metadata; their names have up to 60 letters, "
            "digits and underscores and begin with a letter.",
        )
    return fields, channel


def _text(value: object) -> str | None:
    return None if value is None else str(value)[:MAX_VALUE_CHARS]


def _document(found: CallDescription) -> CallMetadataDocument:
    corrections = [
        CorrectionRecord(
            fields=dict(each.fields),
            corrected_by=each.corrected_by,
            corrected_at=each.corrected_at,
        )
        for each in found.corrections
    ]
    return CallMetadataDocument(
        metadata=dict(found.metadata), started_at=found.started_at, corrections=corrections
    )
