"""State of the running app, and the FastAPI dependencies that give routes access to it."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from threading import Lock
from typing import Annotated, TypeVar

import cachetools
from fastapi import Depends, Request
from fastapi import Path as PathParam
from starlette.concurrency import run_in_threadpool

from callpipeline import wiring
from callpipeline.config import Settings
from callpipeline.domain.calls.call import is_call_id
from callpipeline.domain.calls.teams import Teams
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.errors import DatabaseUnavailable, UnknownCall
from callpipeline.http_server.incoming_file import UploadFolder
from callpipeline.http_server.limits import ConcurrencyLimiter
from callpipeline.http_server.security import Signer, signing_key
from callpipeline.pipeline.ingest.registration import AnnouncedCall, Announcement, announce
from callpipeline.pipeline.notifications.composing import Links
from callpipeline.pipeline.notifications.dispatch import Dispatcher
from callpipeline.pipeline.rematch.planning import RematchStatus, rematch_status
from callpipeline.pipeline.shared_documents import SharedDocuments
from callpipeline.storage.access import AuditSpool, IdempotencyKeys
from callpipeline.storage.ports.analytics import FilterChoices
from callpipeline.storage.ports.calls import CallSummary
from callpipeline.storage.postgres.database import DatabaseLimits
from callpipeline.storage.reading.call_detail import CallDetail, StoredTranscripts
from callpipeline.storage.reading.calls import CallTracker, TrackedCall
from callpipeline.web.live.watch import CallFragments, CallWatcher
from callpipeline.web.pages.rendering import PageZone, page_zone
from callpipeline.web.pages.status_view import call_fragments, status_view
from callpipeline.web.services.audit import AuditTrail
from callpipeline.web.services.availability import DatabaseWatch
from callpipeline.web.services.exporter import Exporter
from callpipeline.web.services.monitoring import HealthChecker, Metrics
from callpipeline.wiring import Storage

MAX_SEARCHES = 2
Value = TypeVar("Value")

MAX_UPLOADS = 200
MAX_STORING = 3
"""A large recording takes 15 MB of memory while it is sent to S3."""
CONNECTION_WITHIN_S = 15.0
"""Wait for one of the connections while Postgres is up but busy: late is better than an error."""
CHOICES_TTL_S = 60.0
REMATCH_TTL_S = 1.0
"""Pages ask every two seconds while a rematch is running."""
CALL_NOT_FOUND = "Call not found. It may have been deleted."


class CompetitorMatcher:
    """Matcher of the competitor list in force.

    Enter `searches` before you search in a thread: it leaves the processor time for other work.
    """

    def __init__(
        self, load: Callable[[], Catalog], open_matcher: Callable[[Catalog], Matcher]
    ) -> None:
        self.searches = asyncio.Semaphore(MAX_SEARCHES)
        self._load = load
        self._open_matcher = open_matcher
        self._lock = threading.Lock()
        self._matcher: Matcher | None = None

    def matcher(self) -> Matcher:
        """Return the current matcher. Raises CatalogInvalid if no list has been valid yet."""
        with self._lock:
            try:
                catalog = self._load()
            except DatabaseUnavailable:
                if self._matcher is None:
                    raise
                return self._matcher
            if self._matcher is None or self._matcher.catalog.version != catalog.version:
                self._matcher = self._open_matcher(catalog)
            return self._matcher


class UploadSlots:
    """Limits of concurrent uploads, and the folder that holds their files."""

    def __init__(self, folder: UploadFolder) -> None:
        self.folder = folder
        self.receiving = ConcurrencyLimiter(MAX_UPLOADS, 0)
        self.storing = asyncio.Semaphore(MAX_STORING)


@dataclass(frozen=True, slots=True)
class AppState:
    """Settings and services, opened at startup and found at `request.app.state.app_state`.

    `documents` are what other programs store here. `tracker` reads calls in progress, which
    `watcher` pushes to open pages; `links` lead to Dagster's UI.
    """

    options: Settings
    storage: Storage
    dispatcher: Dispatcher
    database_watch: DatabaseWatch
    health_checker: HealthChecker
    metrics: Metrics
    uploads: UploadSlots
    idempotency_keys: IdempotencyKeys
    documents: SharedDocuments
    competitors: CompetitorMatcher
    signer: Signer
    exporter: Exporter
    filter_choices: Callable[[], FilterChoices]
    tracker: CallTracker
    links: Links
    watcher: CallWatcher
    announce: Callable[[Announcement], AnnouncedCall]
    rematch_status: Callable[[], RematchStatus | None]
    audit: AuditTrail
    page_zone: Callable[[], PageZone]
    teams: Callable[[], Teams]

    def today(self) -> date:
        """Return the current day in the time zone of days."""
        return datetime.now(self.page_zone().zone).date()


@contextmanager
def _open_watched_storage(options: Settings, url: str) -> Iterator[tuple[Storage, DatabaseWatch]]:
    watch = DatabaseWatch(url)
    limits = DatabaseLimits(CONNECTION_WITHIN_S, watch.is_away)
    with wiring.open_storage(options, url, limits=limits) as storage:
        yield storage, watch


def _announcer(storage: Storage) -> Callable[[Announcement], AnnouncedCall]:
    def announce_call(announcement: Announcement) -> AnnouncedCall:
        return announce(announcement, storage.announcements, storage.home, storage.egress_policy)

    return announce_call


def _page_zone(options: Settings, storage: Storage) -> Callable[[], PageZone]:
    """Return what reads the time zone of days; without a setting, browsers show times in theirs."""

    def read() -> PageZone:
        zone = storage.day_zone.get()
        return PageZone(zone, options.timezone is not None or zone.key != "UTC")

    return cached(read)


def _open_audit(options: Settings, storage: Storage, watch: DatabaseWatch) -> AuditTrail:
    return AuditTrail(AuditSpool(options.home / "audit"), storage.audit, watch.is_away)


def _fragments(
    links: Links, zone: Callable[[], PageZone]
) -> Callable[[TrackedCall], CallFragments]:
    """Return what renders the parts of open pages that show a call."""

    def render(call: TrackedCall) -> CallFragments:
        page_zone.set(zone())
        return call_fragments(status_view(call, links))

    return render


async def show_page_zone(state: "State") -> None:
    """Let the times on the page of this request be those of the time zone."""
    with suppress(DatabaseUnavailable):
        page_zone.set(await run_in_threadpool(state.page_zone))


def _competitors(options: Settings, storage: Storage) -> CompetitorMatcher:
    return CompetitorMatcher(
        lambda: wiring.load_catalog(options, storage.catalogs),
        partial(wiring.open_matcher, options),
    )


@contextmanager
def open_state(options: Settings, metrics: Metrics) -> Iterator[AppState]:
    """Open everything that routes and pages work with, and close it in reverse order."""
    with (
        wiring.open_database_url(options) as url,
        _open_watched_storage(options, url) as (storage, watch),
        storage.database.dedicated_connection(timeout_s=2) as probe,
        closing(Exporter(storage.database)) as exporter,
        UploadFolder(options.home / "uploads") as upload_folder,
        _open_audit(options, storage, watch).running() as audit_trail,
    ):
        metrics.watch(probe)
        tracker = CallTracker(storage.database)
        links, zone = wiring.page_links(options), _page_zone(options, storage)
        yield AppState(
            options=options,
            storage=storage,
            dispatcher=wiring.open_dispatcher(options, storage.outbox),
            database_watch=watch,
            health_checker=HealthChecker(options, storage, probe),
            metrics=metrics,
            uploads=UploadSlots(upload_folder),
            idempotency_keys=IdempotencyKeys(storage.database),
            documents=SharedDocuments(storage.store, StoredTranscripts(storage.database)),
            competitors=_competitors(options, storage),
            signer=Signer(signing_key(options)),
            exporter=exporter,
            filter_choices=cached(storage.analytics.filter_choices),
            tracker=tracker,
            links=links,
            watcher=CallWatcher(tracker, _fragments(links, zone)),
            announce=_announcer(storage),
            rematch_status=cached(
                lambda: rematch_status(storage.catalogs, storage.rematches), REMATCH_TTL_S
            ),
            audit=audit_trail,
            page_zone=zone,
            teams=cached(lambda: wiring.load_teams(options)),
        )


def app_state(request: Request) -> AppState:
    return request.app.state.app_state


State = Annotated[AppState, Depends(app_state)]


def resolve_call_id(state: AppState, text: str) -> str | None:
    """Return the call with this id or UUID, which need not exist; None for a malformed one."""
    return text if is_call_id(text) else StoredTranscripts(state.storage.database).call_of_job(text)


def _valid_call_id(
    state: State, call_id: Annotated[str, PathParam(description="The call's id, or its UUID.")]
) -> str:
    """Raise UnknownCall for a malformed id."""
    found = resolve_call_id(state, call_id)
    if found is None:
        raise UnknownCall(CALL_NOT_FOUND)
    return found


CallId = Annotated[str, Depends(_valid_call_id)]


def call_summary(state: AppState, call_id: str) -> CallSummary:
    """Return the call as lists show it. Raises UnknownCall."""
    found = state.storage.calls.by_id([call_id])
    if not found:
        raise UnknownCall(CALL_NOT_FOUND)
    return found[0]


def call_detail(state: AppState, call_id: str) -> CallDetail:
    """Return everything stored about a call. Raises UnknownCall."""
    found = state.storage.calls.find(call_id)
    if found is None:
        raise UnknownCall(CALL_NOT_FOUND)
    return found


def cached(
    read: Callable[[], Value],
    ttl_s: float = CHOICES_TTL_S,
    timer: Callable[[], float] = time.monotonic,
) -> Callable[[], Value]:
    """Cache the result of a slow query for `ttl_s`."""
    cache: cachetools.TTLCache[object, Value] = cachetools.TTLCache(1, ttl_s, timer=timer)
    return cachetools.cached(cache, lock=Lock())(read)
