"""Faults in bodies look on the wire as their names say."""

from collections.abc import Iterator

import httpx
import pytest

from tests.fakes.services import FaultServer
from tests.fakes.services.bodies import (
    BROKEN_BODIES,
    CHANNEL_EMPTY,
    CHANNEL_FILES,
    CHANNEL_NOT_AUDIO,
    CHANNEL_NOT_FOUND,
    EMPTY_200,
    ENDLESS,
    GZIP_GARBAGE,
    HTML,
    HUGE_PROMISE,
    LIST_OF_ONE,
    MALFORMED_JSON,
    MORE_THAN_PROMISED,
    NO_CONTENT,
    NOT_UTF8,
    UNKNOWN_CHARSET,
    UNUSUAL_BUT_VALID,
    WRONG_TYPE,
    gzip_bomb,
)
from tests.fakes.services.shapes import WRONG_SHAPES
from tests.integration.asking_services import (
    ASK,
    a_client,
    an_upload,
    ask_split,
    outcome,
)

each_service = pytest.mark.parametrize("service", ASK)
JSON_SERVICES = [service for service in ASK if service != "channel"]


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with a_client() as client:
        yield client


@pytest.mark.parametrize("service", JSON_SERVICES)
def test_a_broken_body_has_status_200_and_is_not_json(
    service: str, services: FaultServer, client: httpx.Client
) -> None:
    for fault in BROKEN_BODIES:
        services.plan(service, fault)
        answer = outcome(service, services, client)
        if fault in (GZIP_GARBAGE, MORE_THAN_PROMISED) and isinstance(answer, Exception):
            continue
        assert isinstance(answer, httpx.Response)
        assert answer.status_code == (204 if fault is NO_CONTENT else 200)
        with pytest.raises((ValueError, RecursionError)):
            answer.json()


def test_bodies_match_their_names(services: FaultServer, client: httpx.Client) -> None:
    services.plan("split", HTML, EMPTY_200, NOT_UTF8, MALFORMED_JSON)
    page, empty, latin, cut = (ask_split(services, client) for _ in range(4))
    assert page.headers["content-type"] == "text/html"
    assert page.text.startswith("<!doctype html>")
    assert empty.content == b""
    with pytest.raises(UnicodeDecodeError):
        latin.content.decode()
    assert cut.content.startswith(b"{")


def test_garbage_is_announced_as_gzip(services: FaultServer, client: httpx.Client) -> None:
    services.plan("split", GZIP_GARBAGE)
    with pytest.raises(httpx.DecodingError):
        ask_split(services, client)


def test_a_gzip_bomb_is_small_and_unpacks_to_a_proper_answer(
    services: FaultServer, client: httpx.Client
) -> None:
    services.plan("split", gzip_bomb(8))
    answer = ask_split(services, client)
    assert services.requests("split")[0].sent_bytes < 20_000
    assert len(answer.content) > 8 << 20
    assert answer.json()["left_channel_url"] == "/channels/1/left.flac"


@each_service
def test_an_endless_body_ends_when_the_client_disconnects_and_is_counted(
    service: str, services: FaultServer
) -> None:
    services.plan(service, ENDLESS)
    limit = 3_000_000
    with a_client() as client:
        client.event_hooks["response"] = [lambda answer: _take(answer, limit)]
        with pytest.raises(_Enough):
            ASK[service](services, client)
    assert services.settled()
    [request] = services.requests(service)
    # Besides what the client read: the buffers of both kernels.
    assert limit <= request.sent_bytes < limit + 8_000_000


def test_a_huge_body_is_announced_but_not_sent(services: FaultServer, client: httpx.Client) -> None:
    services.plan("split", HUGE_PROMISE)
    with client.stream("POST", f"{services.url('split')}/split", files=an_upload()) as answer:
        assert int(answer.headers["content-length"]) == 10 * 1024**3
    assert services.settled()
    assert services.requests("split")[0].sent_bytes == 1


@pytest.mark.parametrize("service", JSON_SERVICES)
def test_unusual_but_valid_responses_have_the_regular_content(
    service: str, services: FaultServer, client: httpx.Client
) -> None:
    services.plan(service, *UNUSUAL_BUT_VALID)
    listed, typed, unknown = (ASK[service](services, client) for _ in UNUSUAL_BUT_VALID)
    assert UNUSUAL_BUT_VALID == (LIST_OF_ONE, WRONG_TYPE, UNKNOWN_CHARSET)
    assert isinstance(listed.json()[0], dict)
    assert typed.headers["content-type"] == "text/plain"
    assert isinstance(typed.json(), dict)
    assert unknown.headers["content-type"].endswith("charset=no-such-thing")


@pytest.mark.parametrize("service", JSON_SERVICES)
def test_every_wrong_shape_is_json_and_not_the_regular_response(
    service: str, services: FaultServer, client: httpx.Client
) -> None:
    proper = ASK[service](services, client).json()
    services.plan(service, *WRONG_SHAPES[service])
    answers = [ASK[service](services, client) for _ in WRONG_SHAPES[service]]
    assert {answer.status_code for answer in answers} == {200}
    documents = [answer.text for answer in answers]
    assert all(answer.json() != proper for answer in answers)
    assert len(set(documents)) == len(documents)


def test_wrong_shapes_have_unique_names() -> None:
    for faults in WRONG_SHAPES.values():
        assert len({str(fault) for fault in faults}) == len(faults)


def test_channel_files_have_specific_faults(services: FaultServer, client: httpx.Client) -> None:
    assert {CHANNEL_NOT_FOUND, CHANNEL_EMPTY, CHANNEL_NOT_AUDIO} < set(CHANNEL_FILES)
    services.plan("channel", CHANNEL_NOT_FOUND, CHANNEL_EMPTY, CHANNEL_NOT_AUDIO)
    lost, empty, page = (ASK["channel"](services, client) for _ in range(3))
    assert lost.status_code == 404
    assert (empty.status_code, empty.content) == (200, b"")
    assert page.headers["content-type"] == "audio/flac"
    assert b"<html>" in page.content


class _Enough(Exception):
    """The client has read enough."""


def _take(answer: httpx.Response, limit: int) -> None:
    taken = 0
    for piece in answer.iter_raw():
        taken += len(piece)
        if taken >= limit:
            raise _Enough
