"""Monitoring: health checks of what the app needs, and Prometheus metrics."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline.config import Settings
from callpipeline.domain.calls.call import CallState, Lane
from callpipeline.errors import (
    CallpipelineError,
    DatabaseUnavailable,
    MachineExhausted,
    SettingsInvalid,
)
from callpipeline.storage.calls.ledger import Ledger
from callpipeline.storage.calls.queue import CallQueue, Outages
from callpipeline.storage.notifications import Notifications
from callpipeline.storage.objects.ports import ObjectStore
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.results.unjudged import UnjudgedStore
from callpipeline.wiring import Storage, disk_shortage, source_problems

CACHE_S = 3.0
TIMEOUT_S = 1.5
NEEDED = ("database", "results", "recordings")
"""The app itself needs these to answer requests."""
PROBE_KEY = "health/probe"
"""A key that doesn't exist: if the store says so, it is up."""

DependencyState = Literal["up", "down"]
HealthCheck = Callable[[], None]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0
BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 10.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class DependencyHealth:
    """State of one dependency; `detail` says why it is down."""

    state: DependencyState
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class HealthReport:
    """State of all dependencies. `is_ready` ignores those that the web app itself doesn't need."""

    dependencies: Mapping[str, DependencyHealth]
    is_ready: bool

    @property
    def is_up(self) -> bool:
        return all(each.state == "up" for each in self.dependencies.values())

    def document(self, *, with_details: bool) -> dict[str, object]:
        """Return the report as JSON. Details contain names of buckets and hosts."""
        dependencies = {
            n: _document(d, with_details=with_details) for n, d in self.dependencies.items()
        }
        return {"status": "up" if self.is_up else "down", "dependencies": dependencies}


class HealthChecker:
    """Check the database and the stores, all at once, and read outages of engine services.

    Results are cached for a few seconds. An engine's outage stops the pipeline, but not the app.
    """

    def __init__(self, options: Settings, storage: Storage, database: Database) -> None:
        """Use `database` for checks only: they must not wait for a connection of the app's pool."""
        self._database = database
        self._outages = Outages(database)
        self._checks: dict[str, HealthCheck] = {
            "database": lambda: _check_database(database),
            "results": lambda: _check_store(storage.store),
            "recordings": lambda: _check_store(storage.inbox),
            "disk": lambda: check_disk(options),
            "sources": lambda: _check_sources(options),
        }
        # Other requests may have occupied the threads that all share.
        self._threads = ThreadPoolExecutor(2 * len(self._checks), "health")
        self._lock = asyncio.Lock()
        self._last: tuple[float, HealthReport] | None = None

    async def health(self) -> HealthReport:
        """Return a report that is at most a few seconds old."""
        async with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > CACHE_S:
                self._last = time.monotonic(), await self._check()
            return self._last[1]

    async def _check(self) -> HealthReport:
        results = await asyncio.gather(*map(self._run, self._checks.values()))
        found = dict(zip(self._checks, results, strict=True))
        is_ready = all(each.state == "up" for name, each in found.items() if name in NEEDED)
        services = {} if found["database"].state == "down" else await self._unavailable_services()
        return HealthReport(found | services, is_ready)

    async def _unavailable_services(self) -> dict[str, DependencyHealth]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                outages = await loop.run_in_executor(self._threads, self._outages.all)
        except (TimeoutError, DatabaseUnavailable):
            return {}
        return {each.service: DependencyHealth("down", each.reason) for each in outages}

    async def _run(self, check: HealthCheck) -> DependencyHealth:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await loop.run_in_executor(self._threads, check)
        except TimeoutError:
            return DependencyHealth("down", f"No response within {TIMEOUT_S:g} s.")
        except CallpipelineError as error:
            return DependencyHealth("down", str(error))
        return DependencyHealth("up")


def _check_database(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("SELECT")


def _check_store(store: ObjectStore) -> None:
    store.exists(PROBE_KEY)


def _check_sources(options: Settings) -> None:
    if problems := source_problems(options):
        raise SettingsInvalid(" ".join(problems))


def check_disk(options: Settings) -> None:
    if shortage := disk_shortage(options):
        raise MachineExhausted(f"Nothing can be stored: {shortage}.")


def _document(found: DependencyHealth, *, with_details: bool) -> dict[str, str]:
    detail = {"detail": found.detail} if with_details and found.detail else {}
    return {"state": found.state, **detail}


class Metrics:
    """Metrics registry of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "callpipeline_http_requests",
            "Requests by route.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.durations = Histogram(
            "callpipeline_http_request_duration_seconds",
            "Time until the response has been sent.",
            ("method", "route"),
            buckets=BUCKETS_S,
            registry=self.registry,
        )

    def watch(self, database: Database) -> None:
        """Add metrics of the ledger, which is queried on each scrape."""
        self.registry.register(_LedgerCollector(database))

    def text(self) -> bytes:
        return generate_latest(self.registry)


class MetricsMiddleware:
    """Count and time requests by route pattern, since URLs contain call ids and file names."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 499

        async def record_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, record_status)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.durations.labels(method, route).observe(time.perf_counter() - started)


class _LedgerCollector(Collector):
    def __init__(self, database: Database) -> None:
        self._calls = Ledger(database)
        self._queue = CallQueue(database)
        self._notifications = Notifications(database)
        self._outages = Outages(database)
        self._unjudged = UnjudgedStore(database)

    def describe(self) -> Iterator[Metric]:
        """Return nothing, so that registration doesn't query the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("callpipeline_database_up", "1 if Postgres responds.")
        try:
            found = [
                *self._states(),
                *self._waiting(),
                *self._pending_notifications(),
                *self._outstanding(),
            ]
        except DatabaseUnavailable:
            found = []
        up.add_metric((), bool(found))
        yield from (up, *found)

    def _states(self) -> Iterator[Metric]:
        counts = self._calls.count()
        family = GaugeMetricFamily("callpipeline_calls", "Calls by state.", labels=["state"])
        for state in CallState:
            family.add_metric([state], counts.get(state, 0))
        yield family

    def _waiting(self) -> Iterator[Metric]:
        lanes = {each.lane: each for each in self._queue.backlog()}
        names = {
            "callpipeline_waiting_calls": "Calls waiting to be processed.",
            "callpipeline_oldest_waiting_seconds": "Age of the oldest waiting call that is due.",
        }
        counts, ages = (GaugeMetricFamily(n, t, labels=["lane"]) for n, t in names.items())
        for lane in Lane:
            waiting = lanes.get(lane)
            counts.add_metric([lane], waiting.calls if waiting else 0)
            ages.add_metric([lane], (waiting and waiting.oldest_s) or 0.0)
        yield from (counts, ages)

    def _pending_notifications(self) -> Iterator[Metric]:
        names = {
            "callpipeline_untold_notifications": "Notifications not delivered yet.",
            "callpipeline_oldest_untold_seconds": "Age of the oldest undelivered notification.",
        }
        counts, ages = (GaugeMetricFamily(n, t, labels=["channel"]) for n, t in names.items())
        for backlog in self._notifications.backlog():
            channel = backlog.channel or "outbox"
            counts.add_metric([channel], backlog.waiting)
            ages.add_metric([channel], backlog.oldest_s or 0.0)
        yield from (counts, ages)

    def _outstanding(self) -> Iterator[Metric]:
        unavailable = GaugeMetricFamily(
            "callpipeline_service_away", "Unavailable engine services.", labels=["service"]
        )
        for outage in self._outages.all():
            unavailable.add_metric([outage.service], 1)
        yield unavailable
        unjudged = self._unjudged.count()
        text = "Mentions without sentiment in completed calls, waiting or given up."
        family = GaugeMetricFamily("callpipeline_unjudged_mentions", text, labels=["status"])
        family.add_metric(["waiting"], unjudged.waiting)
        family.add_metric(["given_up"], unjudged.given_up)
        yield family
