"""Planned faults apply to matching requests, in order."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.fakes.services import FaultServer, for_competitor, for_file, for_path
from tests.fakes.services.bodies import LIST_OF_ONE
from tests.fakes.services.faults import NO_FAULT, STATUS_500, STATUS_503, Fault
from tests.integration.asking_services import (
    ASK,
    a_client,
    ask_auth,
    ask_sentiment,
    ask_split,
)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with a_client() as client:
        yield client


def _codes(services: FaultServer, client: httpx.Client, service: str, times: int) -> list[int]:
    return [ASK[service](services, client).status_code for _ in range(times)]


def test_faults_apply_in_order_one_per_request(services: FaultServer, client: httpx.Client) -> None:
    services.plan("split", STATUS_503, times=2)
    services.plan("split", NO_FAULT, STATUS_500)
    assert services.planned("split") == 4
    assert _codes(services, client, "split", 5) == [503, 503, 200, 500, 200]
    assert _codes(services, client, "auth", 1) == [200]


def test_a_fault_may_apply_until_it_is_cleared(services: FaultServer, client: httpx.Client) -> None:
    services.plan("auth", STATUS_503, STATUS_500, forever=True)
    assert _codes(services, client, "auth", 4) == [503, 500, 500, 500]
    services.clear("auth")
    assert _codes(services, client, "auth", 1) == [200]


def test_a_fault_may_match_one_competitor(services: FaultServer, client: httpx.Client) -> None:
    services.plan("sentiment", STATUS_500, forever=True, where=for_competitor("Sky"))
    asked = ["Vodafone", "Sky", "Three", "Sky"]
    codes = [ask_sentiment(services, client, name).status_code for name in asked]
    assert codes == [200, 500, 200, 500]
    faults = [(r.form["context"], r.fault) for r in services.requests("sentiment")]
    assert faults[1] == ("Sky", "500")
    assert faults[2] == ("Three", None)


def test_a_fault_may_match_a_file_or_a_path(services: FaultServer, client: httpx.Client) -> None:
    services.plan("split", STATUS_500, where=for_file("other.wav"))
    services.plan("channel", STATUS_503, where=for_path("/channels/1/right.flac"))
    urls = ask_split(services, client).json()
    answers = [client.get(services.url("split") + url).status_code for url in urls.values()]
    assert answers == [200, 503]
    upload = {"file": ("other.wav", b"sound", "audio/wav")}
    assert client.post(f"{services.url('split')}/split", files=upload).status_code == 500


def test_faults_are_distributed_over_concurrent_requests(services: FaultServer) -> None:
    services.plan("auth", STATUS_503, times=10)
    with ThreadPoolExecutor(5) as pool, a_client() as client:
        asked = [pool.submit(ask_auth, services, client) for _ in range(25)]
        codes = [answer.result().status_code for answer in asked]
    assert codes.count(503) == 10
    assert codes.count(200) == 15


@pytest.mark.parametrize("ask", ["requests", "attempts", "peak", "connections", "planned"])
def test_a_misspelt_service_is_an_error(ask: str, services: FaultServer) -> None:
    with pytest.raises(ValueError, match="There is no service 'trancription'"):
        getattr(services, ask)("trancription")
    with pytest.raises(ValueError, match="There is no service"):
        services.plan("trancription", STATUS_500)


def test_a_fault_triggered_earlier_has_a_derived_name() -> None:
    fault: Fault = STATUS_500.after(10)
    assert (str(fault), fault.after_bytes, fault.retried) == ("500-after-10-bytes", 10, True)
    assert (str(LIST_OF_ONE), LIST_OF_ONE.retried) == ("list-of-one", None)
