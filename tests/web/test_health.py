"""Monitoring: `/health` and `/metrics`."""

from pathlib import Path

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.wiring import Storage
from tests.integration.calls import enter
from tests.web.app_server import app_client


@pytest.fixture
def options(settings: Settings, database_url: str) -> Settings:
    return settings.model_copy(update={"database_url": SecretStr(database_url)})


def test_all_is_up(options: Settings) -> None:
    with app_client(options) as client:
        reply = client.get("/health")
        ready = client.get("/health/ready").status_code
    assert (reply.status_code, ready, reply.json()["status"]) == (200, 204, "up")
    states = {name: each["state"] for name, each in reply.json()["dependencies"].items()}
    assert states == {
        "database": "up",
        "results": "up",
        "recordings": "up",
        "disk": "up",
        "sources": "up",
    }


def test_an_unreadable_store_is_down(options: Settings, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    broken = options.model_copy(update={"storage": str(blocked / "below")})
    with app_client(broken) as client:
        reply = client.get("/health")
        ready, live = client.get("/health/ready"), client.get("/health/live")
    assert (reply.status_code, ready.status_code, live.status_code) == (503, 503, 204)
    assert reply.json()["dependencies"]["results"]["state"] == "down"
    assert reply.json()["dependencies"]["results"]["detail"]


def test_an_engine_outage_leaves_the_app_ready(options: Settings, storage: Storage) -> None:
    storage.outages.begin(
        "transcription", "It refused the connection.", attempts=3, retry_after_s=60
    )
    with app_client(options) as client:
        reply, ready = client.get("/health"), client.get("/health/ready")
    assert (reply.status_code, ready.status_code) == (503, 204)
    away = reply.json()["dependencies"]["transcription"]
    assert away == {"state": "down", "detail": "It refused the connection."}


def test_a_lost_database_is_reported_in_time(options: Settings, database_url: str) -> None:
    with app_client(options) as client:
        assert client.get("/health").status_code == 200
        name = database_url.rsplit("/", 1)[1]
        with psycopg.connect(_postgres(database_url), autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
            ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(ends, [name])
            try:
                _until_down(client)
                assert _values(client)["callpipeline_database_up", ()] == 0
                assert client.get("/health/live").status_code == 204
            finally:
                connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())


def _postgres(url: str) -> str:
    return url.rsplit("/", 1)[0] + "/postgres"


def _until_down(client: httpx.Client) -> None:
    from tests.processes import until

    until(lambda: client.get("/health").status_code == 503, "the health says so", 20, every_s=0.5)


def test_metrics_of_the_ledger_and_of_requests(options: Settings, storage: Storage) -> None:
    enter(storage, "one.wav", "two.wav")
    with app_client(options) as client:
        client.get("/calls/2026-01-01-aaaaaaaaaaaa/nothing")
        client.get("/health/live")
        found = _values(client)
    assert found["callpipeline_calls", (("state", "PENDING"),)] == 2
    assert found["callpipeline_calls", (("state", "FAILED"),)] == 0
    assert found["callpipeline_waiting_calls", (("lane", "live"),)] == 2
    assert found["callpipeline_database_up", ()] == 1
    labels = (("method", "GET"), ("route", "/health/live"), ("status", "204"))
    assert found["callpipeline_http_requests_total", labels] == 1
    asked_for = {dict(labels).get("route", "") for _, labels in found}
    assert not any("aaaaaaaaaaaa" in route for route in asked_for)


def _values(client: httpx.Client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }
