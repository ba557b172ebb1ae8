"""What each fault of each service leads to, and how often the service is asked until then.

A row is a fault. It strikes once, or every request; then the outcome is one of
- recovers: another attempt got the answer;
- Unavailable: the call is tried again later, and that counts (EngineUnavailable);
- Away: the service is at fault, so its calls wait and lose no try (EngineAway);
- Refused: another try cannot help (EngineRefused).
Of `auth` everything that lasts is Away, since no recording can be the cause.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from callpipeline.engines.http.client import Limits
from callpipeline.errors import EngineAway, EngineRefused, EngineUnavailable
from tests.fakes.services import FaultServer, bodies, faults
from tests.fakes.services.faults import Fault
from tests.fakes.services.shapes import WRONG_SHAPES
from tests.integration.remote_engines import MARKER, Desk

JSON_SERVICES = ("auth", "split", "transcription", "sentiment")
SERVICES = (*JSON_SERVICES, "channel")

RECOVERS, UNAVAILABLE, AWAY, REFUSED = "recovers", "Unavailable", "Away", "Refused"
OUTCOMES = {EngineAway: AWAY, EngineUnavailable: UNAVAILABLE, EngineRefused: REFUSED}
ROOMY = Limits(connect_s=30, read_s=30, request_s=60, answer_bytes=300_000, file_bytes=300_000)
HANGING = Limits(connect_s=0.7, read_s=5, request_s=5, answer_bytes=300_000, file_bytes=300_000)
"""Long enough for the server to see a connection that hangs, also on a busy machine."""
TIGHT = Limits(connect_s=0.25, read_s=0.25, request_s=0.5, answer_bytes=300_000, file_bytes=300_000)
OWN_WAITS = ((2, 3), (4, 5))
"""2^attempt seconds, and up to one more."""


@dataclass(frozen=True)
class Row:
    """`attempts` are those of a fault that lasts; `says` stands in its reason."""

    fault: Fault
    once: str
    lasting: str
    attempts: int
    says: str
    waits: tuple[tuple[float, float], ...] = OWN_WAITS
    limits: Limits = ROOMY


TABLE = (
    #   the fault                  once         lasting     attempts  the reason
    Row(faults.STATUS_408, RECOVERS, UNAVAILABLE, 3, "408 Request Timeout"),
    Row(faults.STATUS_425, RECOVERS, UNAVAILABLE, 3, "425 Too Early"),
    Row(faults.STATUS_500, RECOVERS, UNAVAILABLE, 3, "500 Internal Server Error"),
    Row(faults.STATUS_429, RECOVERS, AWAY, 3, "429 Too Many Requests"),
    Row(faults.STATUS_502, RECOVERS, AWAY, 3, "502 Bad Gateway"),
    Row(faults.STATUS_503, RECOVERS, AWAY, 3, "503 Service Unavailable"),
    Row(faults.STATUS_504, RECOVERS, AWAY, 3, "504 Gateway Timeout"),
    Row(faults.BACK_IN_7_S, RECOVERS, AWAY, 3, "503", ((7, 7), (7, 7))),
    Row(faults.TOO_MANY_FOR_3_S, RECOVERS, AWAY, 3, "429", ((3, 3), (3, 3))),
    Row(faults.TOO_MANY_UNTIL_A_DATE, RECOVERS, AWAY, 3, "429", ((25, 30), (25, 30))),
    Row(faults.retry_after(503, 3600), AWAY, AWAY, 1, "503 Service Unavailable", ()),
    Row(faults.retry_in(500, 3600), AWAY, AWAY, 1, "500 Internal Server Error", ()),
    Row(faults.CLOSED_BEFORE_ANSWER, RECOVERS, UNAVAILABLE, 3, "connection broke off"),
    Row(faults.RESET_BEFORE_ANSWER, RECOVERS, UNAVAILABLE, 3, "connection broke off"),
    Row(faults.RESET_MID_BODY, RECOVERS, UNAVAILABLE, 3, "connection broke off"),
    Row(faults.SHORT_BODY, RECOVERS, UNAVAILABLE, 3, "connection broke off"),
    Row(faults.NOT_HTTP, RECOVERS, UNAVAILABLE, 3, "connection broke off"),
    Row(faults.READ_TIMEOUT, RECOVERS, UNAVAILABLE, 3, "did not answer in time", limits=TIGHT),
    Row(faults.DRIP, RECOVERS, UNAVAILABLE, 3, "did not answer in time", limits=TIGHT),
    Row(faults.DRIP_HEAD, RECOVERS, UNAVAILABLE, 3, "did not answer in time", limits=TIGHT),
    Row(faults.CONNECT_HANGS, RECOVERS, AWAY, 3, "no connection in time", limits=HANGING),
    Row(faults.STATUS_400, REFUSED, REFUSED, 1, "400 Bad Request", ()),
    Row(faults.STATUS_404, REFUSED, REFUSED, 1, "404 Not Found", ()),
    Row(faults.STATUS_413, REFUSED, REFUSED, 1, "413", ()),
    Row(faults.STATUS_422, REFUSED, REFUSED, 1, "422", ()),
    Row(faults.STATUS_403, AWAY, AWAY, 1, "403 Forbidden", ()),
    Row(faults.REDIRECT, REFUSED, REFUSED, 1, "302 Found: set its URL to where that leads", ()),
    Row(bodies.ENDLESS, REFUSED, REFUSED, 1, "it sent more than 0 MB", ()),
    Row(bodies.HUGE_PROMISE, RECOVERS, UNAVAILABLE, 3, "did not answer in time", limits=TIGHT),
)

OF_JSON = (
    Row(bodies.MALFORMED_JSON, RECOVERS, UNAVAILABLE, 3, "its answer is no JSON"),
    Row(bodies.NOT_UTF8, RECOVERS, UNAVAILABLE, 3, "its answer is no JSON"),
    Row(bodies.DEEP_JSON, RECOVERS, UNAVAILABLE, 3, "its answer is no JSON"),
    Row(bodies.MORE_THAN_PROMISED, RECOVERS, UNAVAILABLE, 3, "its answer is no JSON"),
    Row(bodies.HTML, RECOVERS, UNAVAILABLE, 3, "its answer is a web page"),
    Row(bodies.EMPTY_200, RECOVERS, UNAVAILABLE, 3, "its answer is empty"),
    Row(bodies.NO_CONTENT, RECOVERS, UNAVAILABLE, 3, "its answer is empty"),
    Row(bodies.GZIP_GARBAGE, RECOVERS, UNAVAILABLE, 3, "not compressed as it says"),
    Row(bodies.gzip_bomb(8), REFUSED, REFUSED, 1, "it sent more than 0 MB", ()),
)
OF_CHANNELS = (
    Row(bodies.CHANNEL_NOT_FOUND, REFUSED, REFUSED, 1, "404 Not Found", ()),
    Row(bodies.CHANNEL_EMPTY, REFUSED, REFUSED, 1, "is no audio (the file is empty)", ()),
    Row(bodies.CHANNEL_NOT_AUDIO, REFUSED, REFUSED, 1, "is no audio (this is an HTML page", ()),
    Row(bodies.HTML, REFUSED, REFUSED, 1, "is no audio (this is an HTML page", ()),
    Row(bodies.MALFORMED_JSON, REFUSED, REFUSED, 1, "is no audio (this is a JSON", ()),
)
OF_UPLOADS = (
    Row(faults.RESET_MID_UPLOAD, RECOVERS, UNAVAILABLE, 3, "connection broke off"),
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
    return AWAY if service == "auth" and outcome != RECOVERS else outcome


def attempts(services: FaultServer, service: str) -> int:
    """Of two channels, fetched at once, the left one's."""
    if service != "channel":
        return services.attempts(service)
    return sum(arrival.path.endswith("left.flac") for arrival in services.requests("channel"))


def plan(services: FaultServer, service: str, fault: Fault, *, forever: bool) -> None:
    """On `channel` the left side's files alone; of a port's faults nobody is left out."""
    if service == "channel" and not fault.door:
        left = lambda arrival: arrival.path.endswith("left.flac")  # noqa: E731
        services.plan(service, fault, forever=forever, where=left)
    else:
        services.plan(service, fault, forever=forever)


def a_desk(services: FaultServer, folder: Path, service: str, limits: Limits) -> Desk:
    services.script.absolute_urls = service == "channel"
    services.script.labels = {"vodafone": "positive"}
    return Desk(services, folder, limits)


@of_all
def test_a_fault_that_lasts(services: FaultServer, tmp_path: Path, service: str, row: Row) -> None:
    desk = a_desk(services, tmp_path, service, row.limits)
    plan(services, service, row.fault, forever=True)
    result = desk.run(desk.ask(service))

    assert outcome_of(result) == expected(service, row.lasting)
    assert row.says in str(result)
    assert MARKER not in str(result)
    named = "split" if service == "channel" else service
    assert str(result).startswith(f"The {named} service at http://127.0.0.1:")
    if service != "channel" or not row.fault.door:
        assert attempts(services, service) == row.attempts
        assert_waits(desk.slept, row.waits)


@of_all
def test_a_fault_that_passes(services: FaultServer, tmp_path: Path, service: str, row: Row) -> None:
    desk = a_desk(services, tmp_path, service, row.limits)
    plan(services, service, row.fault, forever=False)
    result = desk.run(desk.ask(service))

    assert outcome_of(result) == expected(service, row.once)
    if service != "channel" or not row.fault.door:
        assert attempts(services, service) == (2 if row.once == RECOVERS else 1)
        assert_waits(desk.slept, row.waits[:1])


def assert_waits(slept: list[float], waits: tuple[tuple[float, float], ...]) -> None:
    assert len(slept) == len(waits)
    for seconds, (least, most) in zip(slept, waits, strict=True):
        assert least <= seconds <= most


@pytest.mark.parametrize("service", SERVICES)
def test_where_nobody_listens_the_service_is_away(
    services: FaultServer, tmp_path: Path, service: str
) -> None:
    desk = a_desk(services, tmp_path, service, ROOMY)
    services.plan(service, faults.CONNECT_REFUSED, forever=True)
    result = desk.run(desk.ask(service))
    assert outcome_of(result) == AWAY
    assert "no connection (Connection refused)" in str(result)


@pytest.mark.parametrize("service", JSON_SERVICES)
def test_a_service_that_starts_again_is_asked_again(
    services: FaultServer, tmp_path: Path, service: str
) -> None:
    desk = a_desk(services, tmp_path, service, ROOMY)
    services.plan(service, faults.CONNECT_REFUSED, forever=True)
    desk.on_sleep = lambda: services.clear(service)
    assert outcome_of(desk.run(desk.ask(service))) == RECOVERS
    assert services.attempts(service) == 1


SHAPES = [
    (s, fault) for s, shapes in WRONG_SHAPES.items() if s in JSON_SERVICES for fault in shapes
]
FORGIVEN = {
    "transcription-word-without-start",
    "transcription-word-nan",
    "transcription-times-negative",
    "sentiment-segment-times-nan",
    "sentiment-segment-id-unknown",
}
"""A word goes without its time, a time is clipped, a segment is known by its text."""


@pytest.mark.parametrize(("service", "fault"), SHAPES, ids=[f"{s}-{fault}" for s, fault in SHAPES])
def test_json_of_the_wrong_shape_is_refused_at_once(
    services: FaultServer, tmp_path: Path, service: str, fault: Fault
) -> None:
    desk = a_desk(services, tmp_path, service, ROOMY)
    services.plan(service, fault, forever=True)
    result = desk.run(desk.ask(service))
    forgiven = f"{service}-{fault}" in FORGIVEN
    assert outcome_of(result) == (RECOVERS if forgiven else expected(service, REFUSED))
    assert services.attempts(service) == 1
    assert desk.slept == []
    assert MARKER not in str(result) or forgiven


@pytest.mark.parametrize("service", JSON_SERVICES)
@pytest.mark.parametrize("fault", bodies.ODD_BUT_RIGHT, ids=str)
def test_what_is_odd_but_right_is_taken(
    services: FaultServer, tmp_path: Path, service: str, fault: Fault
) -> None:
    desk = a_desk(services, tmp_path, service, ROOMY)
    services.plan(service, fault, forever=True)
    assert outcome_of(desk.run(desk.ask(service))) == RECOVERS


@pytest.mark.parametrize("service", ["split", "channel", "transcription", "sentiment"])
@pytest.mark.parametrize("fault", faults.REDIRECTS, ids=str)
def test_nothing_follows_a_redirect(
    services: FaultServer, tmp_path: Path, service: str, fault: Fault
) -> None:
    desk = a_desk(services, tmp_path, service, ROOMY)
    services.plan(service, fault, forever=True)
    assert outcome_of(desk.run(desk.ask(service))) == REFUSED
    assert services.requests("elsewhere") == []


@pytest.mark.parametrize("service", SERVICES)
def test_of_an_endless_body_no_more_is_read_than_allowed(
    services: FaultServer, tmp_path: Path, service: str
) -> None:
    desk = a_desk(services, tmp_path, service, ROOMY)
    services.plan(service, bodies.ENDLESS, forever=True)
    desk.run(desk.ask(service))
    assert services.settled()
    # What one read takes, and what lies in buffers of the kernel on either side.
    in_flight = 6_000_000
    assert all(a.sent_bytes < 300_000 + in_flight for a in services.requests(service))
