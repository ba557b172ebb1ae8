"""`/retention`, `/erasures`, `/sources` and `/channels`: what is kept and received, for admins."""

from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from pydantic import BaseModel, Field

from callpipeline import wiring
from callpipeline.domain.calls.call import RetentionClass, RetentionPeriods
from callpipeline.domain.notifications import NotificationChannel
from callpipeline.errors import SettingsInvalid
from callpipeline.pipeline.erasure import DeletionResult
from callpipeline.pipeline.notifications.dispatch import ChannelAnswer, check_channel
from callpipeline.storage.postgres.database import sanitize_text
from callpipeline.storage.sources.recordings import SourceScan, SourceScans
from callpipeline.web.problems import problems
from callpipeline.web.services.audit import name_calls_in_audit, name_in_audit
from callpipeline.web.state import AppState, State
from callpipeline.wiring.administration import find_erasable

router = APIRouter(tags=["administration"])

MAX_ERASED = 990
"""Calls that one request erases: a person has seen them listed. A form has at most 1,000 fields."""
TOO_MANY = (
    f"These are more than {MAX_ERASED:,} calls, too many to check in a list: use `callpipeline "
    "erase`."
)
CallName = Annotated[str, Field(min_length=1, max_length=1024)]
CallNames = Annotated[list[str], Form(max_length=MAX_ERASED)]


class RetentionItem(BaseModel):
    """A class of data with its period in days, null to keep it, and how much is due."""

    what: RetentionClass
    days: int | None
    due: int | None


class ErasureRequest(BaseModel):
    """Calls to erase, by id or file name, or all of a customer. A dry run only lists them."""

    calls: Annotated[list[CallName], Field(max_length=MAX_ERASED)] = []
    customer: Annotated[str | None, Field(max_length=200)] = None
    because: Annotated[str, Field(max_length=200)] = ""
    keep_recording: bool = False
    dry_run: bool = True


class ErasureDocument(BaseModel):
    """Calls that are erased, or would be; `already_erased` are tombstones.

    `views` are the names of saved views and reports that name the customer, which go too.
    """

    dry_run: bool
    calls: list[str]
    already_erased: list[str]
    views: list[str]


class SourceDocument(BaseModel):
    """A source and its last scan; counts are of the last scan that listed objects."""

    name: str
    url: str
    scanned_at: datetime | None = None
    swept_at: datetime | None = None
    found_at: datetime | None = None
    listed: int = 0
    skipped: int = 0
    unsettled: int = 0
    unreadable: dict[str, int] = {}
    failure: str | None = None


class SourceList(BaseModel):
    """The sources, and problems of the file that names them."""

    sources: list[SourceDocument]
    problems: list[str]


class ChannelTest(BaseModel):
    """The answer of a channel to a test message."""

    channel: NotificationChannel
    where: str
    delivered: bool
    answer: str
    took_s: float


def retention_plan(state: AppState, now: datetime) -> tuple[list[DeletionResult], RetentionPeriods]:
    """Return what is due for deletion now, and the periods; nothing is deleted."""
    periods = wiring.retention_periods(state.options)
    return wiring.open_retention(state.options, state.storage).plan(now), periods


@router.get("/retention", responses=problems(503))
def retention(state: State) -> list[RetentionItem]:
    """Return the retention periods and what is due, as a dry run."""
    due, periods = retention_plan(state, datetime.now(UTC))
    counts = {each.what: each.items for each in due}
    return [
        RetentionItem(what=each, days=periods.days.get(each), due=counts.get(each))
        for each in RetentionClass
    ]


def begin_erasure(
    state: AppState,
    call_ids: Collection[str],
    *,
    because: str,
    keep_recording: bool,
    customer: str | None = None,
) -> list[str]:
    """Erase calls, and the views and reports that name the customer.

    What is outside the database is deleted by `callpipeline up` in minutes.
    """
    if customer:
        state.storage.views.forget(state.storage.views.naming(customer))
    return state.storage.erasures.begin(
        [sanitize_text(each) for each in call_ids],
        keep_recording=keep_recording,
        because=sanitize_text(because),
    )


@router.post("/erasures", responses=problems(404, 422, 503))
def erase(state: State, request: Request, wanted: ErasureRequest) -> ErasureDocument:
    """Erase calls permanently, or list them with `dry_run`, which is the default."""
    if bool(wanted.calls) == bool(wanted.customer):
        raise HTTPException(422, "Name either calls or a customer.")
    names = [sanitize_text(each) for each in wanted.calls]
    whose = sanitize_text(wanted.customer) if wanted.customer else None
    found, begun = find_erasable(state.storage, names, customer=whose)
    named = state.storage.views.naming(whose) if whose else []
    if len(found) > MAX_ERASED:
        raise HTTPException(422, TOO_MANY)
    call_ids = [each.call_id for each in found]
    if wanted.dry_run:
        name_in_audit(request, "dry run")
    else:
        call_ids = begin_erasure(
            state,
            call_ids,
            because=wanted.because,
            keep_recording=wanted.keep_recording,
            customer=whose,
        )
        name_calls_in_audit(request, call_ids)
    return ErasureDocument(
        dry_run=wanted.dry_run,
        calls=call_ids,
        already_erased=begun,
        views=[each.name for each in named],
    )


def list_sources(state: AppState) -> tuple[list[SourceDocument], tuple[str, ...]]:
    """Return the sources with their last scans, and what is wrong with their file."""
    scans = SourceScans(state.storage.database).all()
    listed = [
        SourceDocument(
            **({} if (scan := scans.get(source.name)) is None else _scanned(scan)),
            name=source.name,
            url=source.url,
        )
        for source in wiring.load_sources(state.options)
    ]
    return listed, wiring.source_problems(state.options)


def _scanned(scan: SourceScan) -> dict[str, Any]:
    names = SourceDocument.model_fields.keys() - {"name", "url"}
    return {name: getattr(scan, name) for name in names}


@router.get("/sources", responses=problems(503))
def sources(state: State) -> SourceList:
    """List the sources with their last scans, and what these skipped."""
    listed, wrong = list_sources(state)
    return SourceList(sources=listed, problems=list(wrong))


def send_test(state: AppState, channel: NotificationChannel) -> list[ChannelAnswer]:
    """Send a test message to a channel. Raises SettingsInvalid."""
    notifiers = wiring.open_notifiers(state.options)
    chosen = [each for each in notifiers if each.channel == channel]
    if not chosen:
        raise SettingsInvalid(f"The channel {channel} is not configured.")
    return [check_channel(each, state.storage.outbox.resubscribe) for each in chosen]


@router.post("/channels/{channel}/test", responses=problems(422, 503))
def check(state: State, channel: NotificationChannel) -> ChannelTest:
    """Send a test message to a channel and return the answer."""
    try:
        [answer] = send_test(state, channel)
    except SettingsInvalid as refusal:
        raise HTTPException(422, str(refusal)) from None
    return ChannelTest(**asdict(answer))
