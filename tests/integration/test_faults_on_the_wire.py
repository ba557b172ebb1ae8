"""Faults look on the wire as their names say."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from tests.fakes.services import FaultServer
from tests.fakes.services.faults import (
    BROKEN,
    CLOSED_BEFORE_ANSWER,
    EARLY_413,
    NOT_HTTP,
    READ_TIMEOUT,
    REFUSALS,
    RESET_BEFORE_ANSWER,
    RESET_MID_BODY,
    RESET_MID_UPLOAD,
    RETRIED_STATUSES,
    SHORT_BODY,
    TOO_MANY_FOR_3_S,
    TOO_MANY_UNTIL_A_DATE,
    UNAVAILABLE_FOR_7_S,
    Fault,
    drip,
    drip_head,
    retry_at,
)
from tests.integration.asking_services import (
    ASK,
    LIMIT_S,
    a_client,
    an_upload,
    ask_split,
    outcome,
)

each_service = pytest.mark.parametrize("service", ASK)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with a_client() as client:
        yield client


@each_service
def test_each_status_is_returned_and_the_next_request_succeeds(
    service: str, services: FaultServer, client: httpx.Client
) -> None:
    faults = (*RETRIED_STATUSES, *REFUSALS)
    services.plan(service, *faults)
    answers = [ASK[service](services, client) for _ in faults]
    assert [answer.status_code for answer in answers] == [int(str(f)[:3]) for f in faults]
    assert [a.fault for a in services.requests(service)] == [str(fault) for fault in faults]
    assert ASK[service](services, client).status_code == 200
    assert services.attempts(service) == len(faults) + 1


def test_retry_after_is_sent_as_seconds_and_as_a_date(
    services: FaultServer, client: httpx.Client
) -> None:
    moment = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    services.plan(
        "split", UNAVAILABLE_FOR_7_S, TOO_MANY_FOR_3_S, TOO_MANY_UNTIL_A_DATE, retry_at(503, moment)
    )
    waits = [ask_split(services, client).headers["retry-after"] for _ in range(4)]
    assert waits[:2] == ["7", "3"]
    ahead = parsedate_to_datetime(waits[2]) - datetime.now(UTC)
    assert timedelta(seconds=20) < ahead <= timedelta(seconds=30)
    assert waits[3] == "Tue, 06 May 2031 07:08:09 GMT"


@each_service
@pytest.mark.parametrize("fault", BROKEN, ids=str)
def test_a_broken_connection_is_the_expected_error(
    service: str, fault: Fault, services: FaultServer, client: httpx.Client
) -> None:
    errors = {
        CLOSED_BEFORE_ANSWER: httpx.RemoteProtocolError,
        RESET_BEFORE_ANSWER: httpx.ReadError,
        RESET_MID_BODY: httpx.ReadError,
        # httpcore ignores the failed write and reads, which consumes the reset.
        RESET_MID_UPLOAD: (httpx.NetworkError, httpx.RemoteProtocolError),
        SHORT_BODY: httpx.RemoteProtocolError,
        NOT_HTTP: httpx.RemoteProtocolError,
    }
    services.plan(service, fault)
    assert isinstance(outcome(service, services, client), errors[fault])
    assert services.attempts(service) == 1
    assert ASK[service](services, client).status_code == 200


def test_a_reset_is_a_reset_and_a_close_is_a_close(services: FaultServer) -> None:
    for fault, is_reset in [(RESET_BEFORE_ANSWER, True), (CLOSED_BEFORE_ANSWER, False)]:
        services.plan("auth", fault)
        with socket.create_connection(_address(services, "auth")) as bare:
            bare.sendall(b"GET /api/v1/login/access-token HTTP/1.1\r\nHost: a\r\n\r\n")
            assert bare.recv(4096).startswith(b"HTTP/1.1 404")
            bare.sendall(b"POST /api/v1/login/access-token HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
            if is_reset:
                with pytest.raises(ConnectionResetError):
                    bare.recv(100)
            else:
                _drain(bare)


def test_a_body_is_cut_in_half(services: FaultServer, client: httpx.Client) -> None:
    whole = len(ask_split(services, client).content)
    for fault in (SHORT_BODY, RESET_MID_BODY):
        services.plan("split", fault)
        taken, promised = _read_until_failure(services)
        assert abs(promised - whole) <= 2
        assert 0 < taken < whole
        assert services.requests("split")[-1].sent_bytes == taken


def test_a_reset_during_an_upload_has_read_part_of_it(services: FaultServer) -> None:
    large = b"x" * 20_000_000
    services.plan("split", RESET_BEFORE_ANSWER.after(1_000_000))
    with a_client() as client, pytest.raises(httpx.TransportError):
        client.post(f"{services.url('split')}/split", files=an_upload(large))
    [request] = services.requests("split")
    assert request.fault == "reset-before-answer-after-1000000-bytes"
    assert 1_000_000 <= request.body_bytes < 1_100_000
    assert not request.body_read


def test_413_may_come_before_the_body_is_read(services: FaultServer, client: httpx.Client) -> None:
    services.plan("split", EARLY_413)
    answer = client.post(f"{services.url('split')}/split", files=an_upload(b"x" * 5_000_000))
    assert answer.status_code == 413
    [request] = services.requests("split")
    assert (request.body_bytes, request.files) == (0, [])


@each_service
def test_a_service_may_never_answer(service: str, services: FaultServer) -> None:
    services.plan(service, READ_TIMEOUT)
    with a_client(read_s=LIMIT_S) as impatient:
        assert isinstance(outcome(service, services, impatient), httpx.ReadTimeout)
    assert services.wait_for_attempts(service, 1)
    assert services.settled()
    assert services.requests(service)[0].status is None
    with a_client() as patient:
        assert ASK[service](services, patient).status_code == 200


@pytest.mark.parametrize("fault", [drip(0.02), drip_head(0.02)], ids=str)
def test_a_slow_response_is_sent_byte_by_byte_and_never_ends(
    fault: Fault, services: FaultServer
) -> None:
    """Each byte is in time: only a limit on the whole response helps."""
    services.plan("channel", fault)
    with socket.create_connection(_address(services, "channel")) as bare:
        bare.settimeout(60)
        bare.sendall(b"GET /channels/1/left.flac HTTP/1.1\r\n\r\n")
        for _ in range(10):
            assert bare.recv(4096)
    assert services.settled()
    assert services.requests("channel")[0].fault == str(fault)


def test_a_drip_is_counted_until_the_client_disconnects(
    services: FaultServer, client: httpx.Client
) -> None:
    services.plan("split", drip(0.01))
    with client.stream("POST", f"{services.url('split')}/split", files=an_upload()) as answer:
        stream = answer.iter_raw()
        taken = sum(len(next(stream)) for _ in range(10))
    assert services.settled()
    [request] = services.requests("split")
    assert request.ended_s is not None
    longest_s = request.ended_s - request.arrived_s
    assert taken <= request.sent_bytes <= longest_s / 0.01 + 5


def _read_until_failure(services: FaultServer) -> tuple[int, int]:
    """Return the bytes received before the connection failed, and the announced length."""
    taken = 0
    with (
        a_client() as client,
        client.stream("POST", f"{services.url('split')}/split", files=an_upload()) as answer,
    ):
        try:
            for piece in answer.iter_raw():
                taken += len(piece)
        except httpx.TransportError:
            return taken, int(answer.headers["content-length"])
    raise AssertionError("The body came whole.")


def _address(services: FaultServer, service: str) -> tuple[str, int]:
    url = httpx.URL(services.url(service))
    assert url.port
    return url.host, url.port


def _drain(bare: socket.socket) -> None:
    while bare.recv(1000):
        pass
