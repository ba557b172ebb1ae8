"""Metadata of calls, words of transcripts and sentiment, and their correction by people."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Header, HTTPException, Path, Request, Response
from pydantic import AfterValidator, BaseModel, Field, RootModel, StringConstraints

from callpipeline import wiring
from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.calls.sources import TIME_GROUPS, Source, parse_started_at
from callpipeline.domain.sentiment import Sentiment
from callpipeline.domain.transcripts import Segment, Transcript
from callpipeline.errors import CatalogConflict, UnknownSegment
from callpipeline.pipeline.rematch.recomputation import Recomputation, request_recomputation
from callpipeline.storage.calls.descriptions import STARTED_AT, CallDescription
from callpipeline.storage.ports.rematch import SelectedCall
from callpipeline.storage.postgres.database import sanitize_text
from callpipeline.web.access import visitor_of
from callpipeline.web.problems import problems
from callpipeline.web.state import AppState, CallId, State, call_detail

read_router = APIRouter(prefix="/calls/{call_id}", tags=["metadata"])
sentiment_router = APIRouter(prefix="/calls/{call_id}", tags=["mentions"])
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
    """Metadata and time of a call; `corrections` are newest first.

    `version` changes with each correction. Send it as If-Match to correct only what you saw.
    """

    metadata: dict[str, str]
    started_at: datetime | None
    corrections: list[CorrectionRecord]
    version: int


@read_router.get("/metadata", responses=problems(404, 503))
def metadata(state: State, response: Response, call_id: CallId) -> CallMetadataDocument:
    """Return what is known about a call, and what people corrected."""
    return _document(state.storage.descriptions.find(call_id), response)


@write_router.patch("/metadata", responses=problems(404, 409, 422, 503))
def correct_metadata(
    state: State,
    request: Request,
    response: Response,
    call_id: CallId,
    wanted: CorrectionRequest,
    if_match: Annotated[str | None, Header(max_length=40)] = None,
) -> CallMetadataDocument:
    """Correct fields of a call; pages, exports and analytics follow, and later runs keep them.

    With If-Match, the request is refused (409) if one of the fields was corrected since.
    """
    given = {name: _text(value) for name, value in wanted.root.items()}
    seen = _version(if_match) if if_match is not None else None
    return _document(correct(state, request, call_id, given, seen), response)


def _version(etag: str) -> int | None:
    """Return the version in an If-Match header. Raises HTTPException (422)."""
    text = etag.strip().strip('"')
    if text == "*":
        return None
    if not text.isdecimal() or len(text) > 18:
        raise HTTPException(422, "If-Match must be the ETag of the metadata.")
    return int(text)


def correct(
    state: AppState,
    request: Request,
    call_id: str,
    fields: Mapping[str, str | None],
    seen: int | None = None,
) -> CallDescription:
    """Correct fields of a call; empty text removes one. Raises HTTPException (422).

    Raises CorrectionOutdated if one of the fields was corrected since version `seen`.
    """
    cleaned, started_at = parse_fields(fields)
    visitor = visitor_of(request)
    return state.storage.descriptions.correct(
        call_id, cleaned, started_at=started_at, by=visitor.name if visitor else None, seen=seen
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


class SegmentCorrection(BaseModel):
    """The right text of a segment, and the text that was `seen`: refused (409) if it changed."""

    text: Annotated[str, Field(min_length=1, max_length=5000), AfterValidator(valid_unicode)]
    seen: Annotated[str, Field(max_length=20_000), AfterValidator(valid_unicode)]


class CorrectedSegment(BaseModel):
    """A segment as corrected, and as the recogniser heard it at that time.

    `mentions_follow` says that mentions and sentiment are found and judged again now.
    """

    channel: Channel
    index: int
    text: str
    recognised: str
    mentions_follow: bool


@write_router.put("/segments/{channel}/{index}", responses=problems(404, 409, 422, 503))
def correct_words(
    state: State,
    request: Request,
    call_id: CallId,
    channel: Channel,
    index: Annotated[int, Path(ge=0, le=1_000_000)],
    wanted: SegmentCorrection,
) -> CorrectedSegment:
    """Correct the words of a segment; search, mentions and sentiment follow."""
    has_changed = correct_segment(
        state, request, call_id, (channel, index), wanted.text, wanted.seen
    )
    segment = _segment(state.storage.results.transcripts(call_id), channel, index)
    return CorrectedSegment(
        channel=channel,
        index=index,
        text=segment.text,
        recognised=recognised_text(state.storage.results.recognised(call_id), segment),
        mentions_follow=has_changed,
    )


def correct_segment(
    state: AppState,
    request: Request,
    call_id: str,
    position: tuple[Channel, int],
    text: str,
    seen: str,
) -> bool:
    """Correct a segment, and let mentions and sentiment of the call be computed again.

    Returns False if nothing changed. Raises HTTPException (422), CorrectionOutdated,
    CatalogConflict if a person stopped the rematch.
    """
    if not text.split():
        raise HTTPException(422, "A segment needs at least one word.")
    storage, visitor = state.storage, visitor_of(request)
    by = visitor.name if visitor else None
    rematch = storage.rematches.current()
    if rematch is not None and rematch.paused_at is not None:
        raise CatalogConflict("A rematch is stopped. Continue it first, so that mentions follow.")
    policies = wiring.redaction_policies(state.options)
    if not storage.words.correct(call_id, position, text, seen=seen, by=by, policies=policies):
        return False
    wanted = Recomputation(
        Stage.COMPETITOR_SENTIMENT, (SelectedCall(call_id, duration_s=0, took_s=0, mentions=0),)
    )
    catalog = wiring.load_catalog(state.options, storage.catalogs)
    # The words are stored, and the call is left for the next rematch in any case.
    with suppress(CatalogConflict):
        request_recomputation(storage.rematches, catalog, wanted, by)
    return True


def _segment(transcripts: Sequence[Transcript], channel: Channel, index: int) -> Segment:
    for transcript in transcripts:
        for segment in transcript.segments if transcript.channel == channel else ():
            if segment.index == index:
                return segment
    raise UnknownSegment("The transcript has no such segment.")


def recognised_text(recognised: Sequence[Transcript], segment: Segment) -> str:
    """Return the words that the recogniser heard in the time of a segment."""
    for transcript in recognised:
        for each in transcript.segments if transcript.channel == segment.channel else ():
            if each.index == segment.index:
                return each.text
    return ""


def _document(found: CallDescription, response: Response) -> CallMetadataDocument:
    response.headers["ETag"] = f'"{found.version}"'
    corrections = [
        CorrectionRecord(
            fields=dict(each.fields),
            corrected_by=each.corrected_by,
            corrected_at=each.corrected_at,
        )
        for each in found.corrections
    ]
    return CallMetadataDocument(
        metadata=dict(found.metadata),
        started_at=found.started_at,
        corrections=corrections,
        version=found.version,
    )


class SentimentCorrection(BaseModel):
    """The right sentiment of a mention; null lets the judge's hold again.

    With `seen`, the request is refused (409) if the sentiment has changed since.
    """

    sentiment: Sentiment | None
    seen: Sentiment | None = None


class CorrectedMention(BaseModel):
    """A mention and its sentiment; `judged_sentiment` is the judge's, if it was corrected."""

    mention_id: str
    competitor: str
    sentiment: Sentiment
    judged_sentiment: Sentiment | None


@sentiment_router.put("/mentions/{mention_id}/sentiment", responses=problems(404, 409, 422, 503))
def correct_sentiment(
    state: State,
    request: Request,
    call_id: CallId,
    mention_id: Annotated[str, Path(max_length=1000)],
    wanted: SentimentCorrection,
) -> CorrectedMention:
    """Correct the sentiment of a mention; numbers follow, and it outlives a new judgement."""
    visitor = visitor_of(request)
    name = visitor.name if visitor else None
    found = sanitize_text(mention_id)
    state.storage.corrections.correct(call_id, found, wanted.sentiment, name, seen=wanted.seen)
    detail = next(m for m in call_detail(state, call_id).mentions if m.mention_id == found)
    if detail.sentiment is None:
        raise HTTPException(409, "The mention was judged again meanwhile.")
    return CorrectedMention(
        mention_id=found,
        competitor=detail.mention.competitor,
        sentiment=detail.sentiment,
        judged_sentiment=detail.judged_sentiment,
    )
