"""Numbers for Prometheus: of the requests to this process, and of the calls in the ledger."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline.domain.call import CallState, Lane
from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.database import Database
from callpipeline.storage.ledger import Ledger
from callpipeline.storage.notifications import Notifications
from callpipeline.storage.outages import Outages
from callpipeline.storage.queue import Queue
from callpipeline.storage.unjudged import UnjudgedMentions

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0
BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 10.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


class Metrics:
    """The registry of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "callpipeline_http_requests",
            "Requests by the pattern of their address.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.took = Histogram(
            "callpipeline_http_request_duration_seconds",
            "How long requests take until their answer is sent.",
            ("method", "route"),
            buckets=BUCKETS_S,
            registry=self.registry,
        )

    def watch(self, database: Database) -> None:
        """Add the numbers of the ledger, asked for at each scrape."""
        self.registry.register(_Ledger(database))

    def text(self) -> bytes:
        return generate_latest(self.registry)


class Measured:
    """Counts each request under its route's pattern: addresses themselves name calls and files."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 499

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.took.labels(method, route).observe(time.perf_counter() - began)


class _Ledger(Collector):
    def __init__(self, database: Database) -> None:
        self._calls = Ledger(database)
        self._queue = Queue(database)
        self._notifications = Notifications(database)
        self._outages = Outages(database)
        self._unjudged = UnjudgedMentions(database)

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that registering asks nothing of the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("callpipeline_database_up", "Whether Postgres answers.")
        try:
            found = [*self._states(), *self._waiting(), *self._untold(), *self._missing()]
        except DatabaseUnavailable:
            found = []
        up.add_metric((), bool(found))
        yield from (up, *found)

    def _states(self) -> Iterator[Metric]:
        counted = self._calls.count()
        family = GaugeMetricFamily("callpipeline_calls", "Calls by state.", labels=["state"])
        for state in CallState:
            family.add_metric([state], counted.get(state, 0))
        yield family

    def _waiting(self) -> Iterator[Metric]:
        lanes = {each.lane: each for each in self._queue.waiting()}
        names = {
            "callpipeline_waiting_calls": "Calls that wait to be processed.",
            "callpipeline_oldest_waiting_seconds": "How long the oldest waits that may be tried.",
        }
        counts, ages = (GaugeMetricFamily(n, t, labels=["lane"]) for n, t in names.items())
        for lane in Lane:
            waiting = lanes.get(lane)
            counts.add_metric([lane], waiting.calls if waiting else 0)
            ages.add_metric([lane], (waiting and waiting.oldest_s) or 0.0)
        yield from (counts, ages)

    def _untold(self) -> Iterator[Metric]:
        names = {
            "callpipeline_untold_notifications": "Messages that are not delivered yet.",
            "callpipeline_oldest_untold_seconds": "How long the oldest of them waits.",
        }
        counts, ages = (GaugeMetricFamily(n, t, labels=["channel"]) for n, t in names.items())
        for backlog in self._notifications.backlog():
            channel = backlog.channel or "outbox"
            counts.add_metric([channel], backlog.waiting)
            ages.add_metric([channel], backlog.oldest_s or 0.0)
        yield from (counts, ages)

    def _missing(self) -> Iterator[Metric]:
        away = GaugeMetricFamily(
            "callpipeline_service_away", "Engine services that answer nobody.", labels=["service"]
        )
        for outage in self._outages.all():
            away.add_metric([outage.service], 1)
        yield away
        unjudged = self._unjudged.count()
        names = "Mentions without a judgement of complete calls, which wait or were given up."
        family = GaugeMetricFamily("callpipeline_unjudged_mentions", names, labels=["status"])
        family.add_metric(["waiting"], unjudged.waiting)
        family.add_metric(["given_up"], unjudged.given_up)
        yield family
