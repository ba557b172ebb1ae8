"""Outcome of each fault of each service, and the number of attempts.

A row is a fault, which applies to one request or to all of them. The outcome is one of
- recovers: another attempt succeeds;
- unavailable: the call is retried later, which counts as an attempt (EngineUnavailable);
- outage: the service is down, so its calls wait and lose no attempt (ServiceUnavailable);
- refused: a retry can't help (EngineRefused).
All lasting faults of `auth` are outages, since no recording can be the cause.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from callpipeline.engines.http.connections import HttpLimits
from callpipeline.errors import EngineRefused, EngineUnavailable, ServiceUnavailable
from tests.fakes.services import FaultServer, bodies, faults
from tests.fakes.services.faults import Fault
from tests.fakes.services.shapes import WRONG_SHAPES
from tests.integration.remote_engines import MARKER, EngineBench

JSON_SERVICES = ("auth", "split", "transcription", "sentiment")
SERVICES = (*JSON_SERVICES, "channel")

RECOVERS, UNAVAILABLE, OUTAGE, REFUSED = "recovers", "unavailable", "outage", "refused"
OUTCOMES = {ServiceUnavailable: OUTAGE, EngineUnavailable: UNAVAILABLE, EngineRefused: REFUSED}
GENEROUS = HttpLimits(
    connect_s=30, read_s=30, request_s=60, answer_bytes=300_000, file_bytes=300_000
)
HANGING = replace(GENEROUS, connect_s=0.7)
"""Long enough for the server to detect a hanging connection, even on a busy machine."""
TIGHT = HttpLimits(
    connect_s=0.25, read_s=0.25, request_s=0.5, answer_bytes=300_000, file_bytes=300_000
)
SLOWER = (1, 5, 25)
"""Factors: a limit may be too short for a busy machine, so a row that fails gets longer ones."""
DEFAULT_WAITS = ((2, 3), (4, 5))
"""2^attempt seconds plus up to one second of jitter."""


@dataclass(frozen=True)
class Row:
    """`attempts` and `reason` are those of a lasting fault."""

    fault: Fault
    once: str
    lasting: str
    attempts: int
    reason: str
    waits: tuple[tuple[float, float], ...] = DEFAULT_WAITS
    limits: HttpLimits = GENEROUS


TABLE = (
    #   the fault                  once         lasting     attempts  the reason
    Row(faults.STATUS_408, RECOVERS, UNAVAILABLE, 3, "408 Request Timeout"),
    Row(faults.STATUS_425, RECOVERS, UNAVAILABLE, 3, "425 Too Early"),
    Row(faults.STATUS_500, RECOVERS, UNAVAILABLE, 3, "500 Internal Server Error"),
    Row(faults.STATUS_429, RECOVERS, OUTAGE, 3, "429 Too Many Requests"),
    Row(faults.STATUS_502, RECOVERS, OUTAGE, 3, "502 Bad Gateway"),
    Row(faults.STATUS_503, RECOVERS, OUTAGE, 3, "503 Service Unavailable"),
    Row(faults.STATUS_504, RECOVERS, OUTAGE, 3, "504 Gateway Timeout"),
    Row(faults.UNAVAILABLE_FOR_7_S, RECOVERS, OUTAGE, 3, "503", ((7, 7), (7, 7))),
    Row(faults.TOO_MANY_FOR_3_S, RECOVERS, OUTAGE, 3, "429", ((3, 3), (3, 3))),
    Row(faults.TOO_MANY_UNTIL_A_DATE, RECOVERS, OUTAGE, 3, "429", ((25, 30), (25, 30))),
    Row(faults.retry_after(503, 3600), OUTAGE, OUTAGE, 1, "503 Service Unavailable", ()),
    Row(faults.retry_in(500, 3600), OUTAGE, OUTAGE, 1, "500 Internal Server Error", ()),
    Row(faults.CLOSED_BEFORE_ANSWER, RECOVERS, UNAVAILABLE, 3, "connection was lost"),
    Row(faults.RESET_BEFORE_ANSWER, RECOVERS, UNAVAILABLE, 3, "connection was lost"),
    Row(faults.RESET_MID_BODY, RECOVERS, UNAVAILABLE, 3, "connection was lost"),
    Row(faults.SHORT_BODY, RECOVERS, UNAVAILABLE, 3, "connection was lost"),
    Row(faults.NOT_HTTP, RECOVERS, UNAVAILABLE, 3, "connection was lost"),
    Row(faults.READ_TIMEOUT, RECOVERS, UNAVAILABLE, 3, "did not answer in time", limits=TIGHT),
    Row(faults.DRIP, RECOVERS, UNAVAILABLE, 3, "did not answer in time", limits=TIGHT),
    Row(faults.DRIP_HEAD, RECOVERS, UNAVAILABLE, 3, "did not answer in time", limits=TIGHT),
    Row(faults.CONNECT_HANGS, RECOVERS, OUTAGE, 3, "the connection timed out", limits=HANGING),
    Row(faults.STATUS_400, REFUSED, REFUSED, 1, "400 Bad Request", ()),
    Row(faults.STATUS_404, REFUSED, REFUSED, 1, "404 Not Found", ()),
    Row(faults.STATUS_413, REFUSED, REFUSED, 1, "413", ()),
    Row(faults.STATUS_422, REFUSED, REFUSED, 1, "422", ()),
    Row(faults.STATUS_403, OUTAGE, OUTAGE, 1, "403 Forbidden", ()),
    Row(
        faults.REDIRECT,
        REFUSED,
        REFUSED,
        1,
        "302 Found: set its URL to the target of the redirect",
        (),
    ),
    Row(bodies.ENDLESS, REFUSED, REFUSED, 1, "it sent more than 0 MB", ()),
    Row(bodies.HUGE_PROMISE, RECOVERS, UNAVAILABLE, 3, "did not answer in time", limits=TIGHT),
)

OF_JSON = (
    Row(bodies.MALFORMED_JSON, RECOVERS, UNAVAILABLE, 3, "its response is not JSON"),
    Row(bodies.NOT_UTF8, RECOVERS, UNAVAILABLE, 3, "its response is not JSON"),
    Row(bodies.DEEP_JSON, RECOVERS, UNAVAILABLE, 3, "its response is not JSON"),
    Row(bodies.MORE_THAN_PROMISED, RECOVERS, UNAVAILABLE, 3, "its response is not JSON"),
    Row(bodies.HTML, RECOVERS, UNAVAILABLE, 3, "its response is a web page"),
    Row(bodies.EMPTY_200, RECOVERS, UNAVAILABLE, 3, "its response is empty"),
    Row(bodies.NO_CONTENT, RECOVERS, UNAVAILABLE, 3, "its response is empty"),
    Row(bodies.GZIP_GARBAGE, RECOVERS, UNAVAILABLE, 3, "could not be decompressed"),
    Row(bodies.gzip_bomb(8), REFUSED, REFUSED, 1, "it sent more than 0 MB", ()),
)
OF_CHANNELS = (
    Row(bodies.CHANNEL_NOT_FOUND, REFUSED, REFUSED, 1, "404 Not Found", ()),
    Row(bodies.CHANNEL_EMPTY, REFUSED, REFUSED, 1, "is not audio (the file is empty)", ()),
    Row(bodies.CHANNEL_NOT_AUDIO, REFUSED, REFUSED, 1, "is not audio (this is an HTML page", ()),
    Row(bodies.HTML, REFUSED, REFUSED, 1, "is not audio (this is an HTML page", ()),
    Row(bodies.MALFORMED_JSON, REFUSED, REFUSED, 1, "is not audio (this is a JSON", ()),
)
OF_UPLOADS = (
    Row(faults.RESET_MID_UPLOAD, RECOVERS, UNAVAILABLE, 3, "connection was lost"),
    Row(faults.EARLY_413, REFUSED, REFUSED, 1, "413", ()),
)

CASES = [
    *((service, row) for row in TABLE for service in SERVICES),
    *((service, row) for row in OF_JSON for service in JSON_SERVICES),
    *(("channel", row) for row in OF_CHANNELS),
    *((service, row) for row in OF_UPLOADS for service in ("split", "transcription", "sentiment")),
]
of_all = pytest.mark.parametrize(
    ("service", "row"), CASES, ids=[f"{service}-{row.fault}" for service, row in CASES]
)


def outcome_of(result: object) -> str:
    return OUTCOMES[type(result)] if isinstance(result, Exception) else RECOVERS


def expected(service: str, outcome: str) -> str:
    return OUTAGE if service == "auth" and outcome != RECOVERS else outcome


def attempts(services: FaultServer, service: str) -> int:
    """Count attempts; of two concurrent channel downloads those of the left one."""
    if service != "channel":
        return services.attempts(service)
    return sum(arrival.path.endswith("left.flac") for arrival in services.requests("channel"))


def plan(services: FaultServer, service: str, fault: Fault, *, forever: bool) -> None:
    """Plan a fault, on `channel` for the left files only; faults of a port apply to all."""
    if service == "channel" and not fault.port_fault:
        left = lambda arrival: arrival.path.endswith("left.flac")  # noqa: E731
        services.plan(service, fault, forever=forever, where=left)
    else:
        services.plan(service, fault, forever=forever)


def a_bench(services: FaultServer, folder: Path, service: str, limits: HttpLimits) -> EngineBench:
    services.script.absolute_urls = service == "channel"
    services.script.labels = {"vodafone": "positive"}
    return EngineBench(services, folder, limits)


def check_with_patience(
    check: Callable[[FaultServer, EngineBench, str, Row], None],
    folder: Path,
    service: str,
    row: Row,
) -> None:
    """Run a check; repeat it with longer limits, if they are short, when it fails."""
    for factor in SLOWER:
        (attempt := folder / str(factor)).mkdir()
        limits = row.limits
        if limits is TIGHT:
            times = {"connect_s": limits.connect_s, "read_s": limits.read_s}
            times["request_s"] = limits.request_s
            limits = replace(limits, **{name: each * factor for name, each in times.items()})
        try:
            with FaultServer() as services:
                check(services, a_bench(services, attempt, service, limits), service, row)
            return
        except AssertionError:
            if row.limits is GENEROUS or factor == SLOWER[-1]:
                raise


@of_all
def test_a_lasting_fault(tmp_path: Path, service: str, row: Row) -> None:
    check_with_patience(check_lasting, tmp_path, service, row)


def check_lasting(services: FaultServer, bench: EngineBench, service: str, row: Row) -> None:
    plan(services, service, row.fault, forever=True)
    result = bench.run(bench.ask(service))

    assert outcome_of(result) == expected(service, row.lasting)
    assert row.reason in str(result)
    assert MARKER not in str(result)
    named = "split" if service == "channel" else service
    assert str(result).startswith(f"The {named} service at http://127.0.0.1:")
    if service != "channel" or not row.fault.port_fault:
        assert attempts(services, service) == row.attempts
        assert_waits(bench.slept, row.waits)


@of_all
def test_a_passing_fault(tmp_path: Path, service: str, row: Row) -> None:
    check_with_patience(check_passing, tmp_path, service, row)


def check_passing(services: FaultServer, bench: EngineBench, service: str, row: Row) -> None:
    plan(services, service, row.fault, forever=False)
    result = bench.run(bench.ask(service))

    assert outcome_of(result) == expected(service, row.once)
    if service != "channel" or not row.fault.port_fault:
        assert attempts(services, service) == (2 if row.once == RECOVERS else 1)
        assert_waits(bench.slept, row.waits[:1])


def assert_waits(slept: list[float], waits: tuple[tuple[float, float], ...]) -> None:
    assert len(slept) == len(waits)
    for seconds, (least, most) in zip(slept, waits, strict=True):
        assert least <= seconds <= most


@pytest.mark.parametrize("service", SERVICES)
def test_a_refused_connection_is_an_outage(
    services: FaultServer, tmp_path: Path, service: str
) -> None:
    bench = a_bench(services, tmp_path, service, GENEROUS)
    services.plan(service, faults.CONNECT_REFUSED, forever=True)
    result = bench.run(bench.ask(service))
    assert outcome_of(result) == OUTAGE
    assert "no connection (Connection refused)" in str(result)


@pytest.mark.parametrize("service", JSON_SERVICES)
def test_a_service_that_is_restarted_recovers(
    services: FaultServer, tmp_path: Path, service: str
) -> None:
    bench = a_bench(services, tmp_path, service, GENEROUS)
    services.plan(service, faults.CONNECT_REFUSED, forever=True)
    bench.on_sleep = lambda: services.clear(service)
    assert outcome_of(bench.run(bench.ask(service))) == RECOVERS
    assert services.attempts(service) == 1


SHAPES = [
    (s, fault) for s, shapes in WRONG_SHAPES.items() if s in JSON_SERVICES for fault in shapes
]
TOLERATED = {
    "transcription-word-without-start",
    "transcription-word-nan",
    "transcription-times-negative",
    "sentiment-segment-times-nan",
    "sentiment-segment-id-unknown",
}
"""A word loses its time, a time is clamped, a segment is identified by its text."""


@pytest.mark.parametrize(("service", "fault"), SHAPES, ids=[f"{s}-{fault}" for s, fault in SHAPES])
def test_json_that_does_not_match_the_contract_is_refused_at_once(
    services: FaultServer, tmp_path: Path, service: str, fault: Fault
) -> None:
    bench = a_bench(services, tmp_path, service, GENEROUS)
    services.plan(service, fault, forever=True)
    result = bench.run(bench.ask(service))
    tolerated = f"{service}-{fault}" in TOLERATED
    assert outcome_of(result) == (RECOVERS if tolerated else expected(service, REFUSED))
    assert services.attempts(service) == 1
    assert bench.slept == []
    assert MARKER not in str(result) or tolerated


@pytest.mark.parametrize("service", JSON_SERVICES)
@pytest.mark.parametrize("fault", bodies.UNUSUAL_BUT_VALID, ids=str)
def test_unusual_but_valid_responses_are_accepted(
    services: FaultServer, tmp_path: Path, service: str, fault: Fault
) -> None:
    bench = a_bench(services, tmp_path, service, GENEROUS)
    services.plan(service, fault, forever=True)
    assert outcome_of(bench.run(bench.ask(service))) == RECOVERS


@pytest.mark.parametrize("service", ["split", "channel", "transcription", "sentiment"])
@pytest.mark.parametrize("fault", faults.REDIRECTS, ids=str)
def test_redirects_are_not_followed(
    services: FaultServer, tmp_path: Path, service: str, fault: Fault
) -> None:
    bench = a_bench(services, tmp_path, service, GENEROUS)
    services.plan(service, fault, forever=True)
    assert outcome_of(bench.run(bench.ask(service))) == REFUSED
    assert services.requests("elsewhere") == []


@pytest.mark.parametrize("service", SERVICES)
def test_no_more_of_an_endless_body_is_read_than_allowed(
    services: FaultServer, tmp_path: Path, service: str
) -> None:
    bench = a_bench(services, tmp_path, service, GENEROUS)
    services.plan(service, bodies.ENDLESS, forever=True)
    bench.run(bench.ask(service))
    assert services.settled()
    # One read, and the buffers of the kernel on both sides.
    in_flight = 6_000_000
    assert all(a.sent_bytes < 300_000 + in_flight for a in services.requests(service))
