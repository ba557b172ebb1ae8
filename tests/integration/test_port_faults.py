"""Faults of a port of the fake server: it hangs, refuses connections, or redirects."""

from collections.abc import Iterator

import httpx
import pytest

from tests.fakes.services import FaultServer
from tests.fakes.services.faults import (
    CONNECT_HANGS,
    CONNECT_REFUSED,
    NO_FAULT,
    REDIRECTS,
    STATUS_500,
    Fault,
)
from tests.integration.asking_services import (
    ASK,
    RECORDING,
    a_client,
    ask_chat,
    ask_transcription,
    outcome,
)
from tests.processes import until

each_service = pytest.mark.parametrize("service", ASK)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with a_client() as client:
        yield client


@pytest.mark.parametrize("service", ["split", "channel", "speech"])
def test_connections_hang_as_often_as_configured(service: str, services: FaultServer) -> None:
    services.script.absolute_urls = True
    services.plan(service, CONNECT_HANGS, times=2)

    def is_counted(number: int) -> bool:
        """Connect; a busy server may notice it only after the client has given up."""
        with a_client(connect_s=0.7) as client:
            assert isinstance(outcome(service, services, client), httpx.ConnectTimeout)
        return services.wait_for_attempts(service, number, timeout_s=0.1)

    for number in (1, 2):
        until(lambda n=number: is_counted(n), "a hanging connection is counted")
        assert services.attempts(service) == number
    with a_client() as client:
        assert ASK[service](services, client).status_code == 200
    assert services.attempts(service) == 3
    assert len(services.requests(service)) == 1


@each_service
def test_connections_are_refused_until_the_fault_is_cleared(
    service: str, services: FaultServer
) -> None:
    with a_client() as client:
        assert ASK[service](services, client).status_code == 200
        services.plan(service, CONNECT_REFUSED, forever=True)
        for _ in range(3):
            # A connection kept alive from before is closed too.
            assert isinstance(outcome(service, services, client), httpx.ConnectError)
        services.clear(service)
        assert ASK[service](services, client).status_code == 200
    assert services.attempts(service) == 2


def test_a_hanging_port_can_be_cleared(services: FaultServer, client: httpx.Client) -> None:
    services.plan("chat", CONNECT_HANGS, forever=True)
    with a_client(connect_s=0.2) as hurried:
        assert isinstance(outcome("chat", services, hurried), httpx.ConnectTimeout)
    services.clear("chat")
    assert ask_chat(services, client).status_code == 200


@pytest.mark.parametrize("fault", [CONNECT_REFUSED, CONNECT_HANGS], ids=str)
def test_a_port_fault_cannot_be_combined(fault: Fault, services: FaultServer) -> None:
    with pytest.raises(ValueError, match="must be the only one"):
        services.plan("split", STATUS_500, fault)


def test_refused_connections_cannot_be_counted(services: FaultServer) -> None:
    with pytest.raises(ValueError, match="plan them forever"):
        services.plan("split", CONNECT_REFUSED, times=2)


@pytest.mark.parametrize("fault", REDIRECTS, ids=str)
def test_a_redirect_leads_to_another_server(
    fault: Fault, services: FaultServer, client: httpx.Client
) -> None:
    services.plan("transcription", fault, NO_FAULT, fault)
    answer = ask_transcription(services, client)
    assert answer.is_redirect
    assert services.requests("elsewhere") == []
    ask_transcription(services, client)
    client.follow_redirects = True
    ask_transcription(services, client)
    [leaked] = services.requests("elsewhere")
    carried = leaked.body_bytes > len(RECORDING)
    assert carried == (answer.status_code in (307, 308))
