"""Notification channels, sources and health (`/admin/…`), for admins."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from callpipeline.domain.access import Scope
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.notifications import EventKind, NotificationChannel
from callpipeline.errors import SettingsInvalid
from callpipeline.pipeline.notifications.dispatch import ChannelAnswer, channel_test_message
from callpipeline.web.access import require
from callpipeline.web.api.administration.data import list_sources, send_test
from callpipeline.web.pages.rendering import page
from callpipeline.web.services.audit import name_in_audit
from callpipeline.web.services.monitoring import HealthReport
from callpipeline.web.state import AppState, State

router = APIRouter(
    prefix="/admin",
    dependencies=[Depends(require(Scope.ADMIN, page=True, action="see the operation"))],
)


@router.get("")
def administration() -> Response:
    """Lead to the first page of administration."""
    return RedirectResponse("/admin/health", 303)


@router.get("/channels")
def channels(request: Request, state: State) -> Response:
    """List the notification channels, what each receives, and the newest messages."""
    return _channels_page(request, state)


@router.post("/channels/test")
def check(
    request: Request, state: State, channel: Annotated[NotificationChannel, Form()]
) -> Response:
    """Send a test message to a channel and show the answer."""
    name_in_audit(request, channel)
    try:
        return _channels_page(request, state, answers=send_test(state, channel))
    except SettingsInvalid as refusal:
        return _channels_page(request, state, problem=str(refusal))


def _channels_page(
    request: Request,
    state: AppState,
    *,
    answers: Sequence[ChannelAnswer] = (),
    problem: str = "",
) -> Response:
    policy, storage = state.dispatcher.policy, state.storage
    off = storage.outbox.unsubscribed()
    configured = sorted(policy.routing.configured)
    kinds = {
        channel: [kind for kind in EventKind if channel in policy.routing.channels(kind)]
        for channel in configured
    }
    return page(
        request,
        "admin/channels.html",
        422 if problem else 200,
        channels=[(channel, kinds[channel], off.get(channel)) for channel in configured],
        others=[each for each in NotificationChannel if each not in configured],
        message=channel_test_message(),
        answers=answers,
        problem=problem,
        sent=storage.notifications.list(channel=None, state=None, limit=20),
    )


@router.get("/sources")
def sources(request: Request, state: State) -> Response:
    """List the sources, when each was scanned, and what the scan skipped."""
    listed, problems = list_sources(state)
    return page(request, "admin/sources.html", sources=listed, problems=problems)


@router.get("/health")
async def health(request: Request, state: State) -> Response:
    """Show what is up or down, and what waits."""
    report = await state.health_checker.health()
    return await run_in_threadpool(_health_page, request, state, report)


def _health_page(request: Request, state: AppState, report: HealthReport) -> Response:
    is_up = report.dependencies["database"].state == "up"
    return page(
        request,
        "admin/health.html",
        dependencies=report.dependencies,
        is_up=report.is_up,
        lanes=state.storage.queue.backlog() if is_up else [],
        counts=state.storage.ledger.count() if is_up else {},
        states=list(CallState),
        unjudged=state.storage.unjudged.count() if is_up else None,
        messages=state.storage.notifications.backlog() if is_up else [],
    )
