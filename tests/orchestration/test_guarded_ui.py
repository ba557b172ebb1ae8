"""Dagster's real web server behind the guard, at its own port and through the web app."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from tests.integration.databases import execute_sql
from tests.orchestration.test_dagster_commands import checkout, environment, repository, started
from tests.processes import free_port, until
from tests.web.protected_app import token_in

pytestmark = pytest.mark.slow

PASSWORD = "a password of mine"
USERS = f'{{"ann": "{PASSWORD}", "eve": "{PASSWORD}"}}'
WITH_USERS = {
    "CALLPIPELINE_WEB_USERS": USERS,
    "CALLPIPELINE_WEB_ADMINS": "ann",
    "CALLPIPELINE_WEB_READERS": "eve",
}
ATTACK = "/graphql?query=" + quote(
    'mutation{shutdownRepositoryLocation(repositoryLocationName:"callpipeline"){__typename}}'
)
RELOAD = """mutation { reloadRepositoryLocation(repositoryLocationName: "callpipeline") {
  __typename } }"""
PERMISSIONS = "{ permissions { permission value } }"

__all__ = ["checkout", "environment"]


@contextmanager
def web_app(environment: dict[str, str], ui: str) -> Iterator[str]:
    port = free_port()
    ports = {"CALLPIPELINE_WEB_PORT": str(port), "CALLPIPELINE_PORT": ui.rpartition(":")[2]}
    process = subprocess.Popen(
        [sys.executable, "-m", "callpipeline.web"],
        env=environment | ports,
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/health/live", timeout=60).status_code == 204
        except httpx.TransportError:
            return False

    try:
        until(lambda: process.poll() is not None or answers(), "the app", 60, every_s=0.2)
        assert process.poll() is None
        yield url
    finally:
        process.terminate()
        process.wait()


@contextmanager
def logged_in(url: str, name: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        token = token_in(client.get("/login").text)
        fields = {"name": name, "password": PASSWORD, "csrf_token": token, "next": "/calls"}
        assert client.post("/login", data=fields).status_code == 303
        yield client


def test_the_ui_is_guarded_at_its_own_port(checkout: Path, environment: dict[str, str]):
    with started(["dagster-webserver", "-w", "workspace.yaml"], checkout, environment) as (url, _):
        until(lambda: repository(url) is not None, "the location is loaded", 60, every_s=0.5)
        for _ in range(6):
            assert httpx.get(url + ATTACK, timeout=60).status_code == 405
        foreign = {"Origin": "https://evil.example"}
        reply = httpx.post(f"{url}/graphql", json={"query": RELOAD}, headers=foreign, timeout=60)
        assert reply.status_code == 403
        assert httpx.get(url, headers={"Host": "evil.example"}, timeout=60).status_code == 421
        assert "Dagster" in httpx.get(f"{url}/runs", timeout=60).text
        assert httpx.post(f"{url}/graphql", json={"query": RELOAD}, timeout=60).json()["data"]
        assert repository(url) is not None


def test_the_web_app_serves_the_ui_to_those_who_may(checkout: Path, environment: dict[str, str]):
    environment = environment | WITH_USERS
    with EmbeddedPostgres(
        Path(environment["CALLPIPELINE_HOME"]) / "postgres"
    ).running() as database:
        migrate(database)
    changed = "SELECT actor, method, what FROM audit_log WHERE what LIKE 'Dagster: %'"
    by_ann = [("ann", "login", "Dagster: reloadRepositoryLocation")]
    with (
        EmbeddedPostgres(Path(environment["CALLPIPELINE_HOME"]) / "postgres").running() as database,
        started(["dagster-webserver", "-w", "workspace.yaml"], checkout, environment) as (ui, _),
        web_app(environment, ui) as url,
    ):
        assert httpx.get(f"{ui}/runs", timeout=60).status_code == 403
        assert (
            httpx.post(f"{ui}/graphql", json={"query": PERMISSIONS}, timeout=60).status_code == 403
        )
        assert httpx.get(f"{url}/dagster/runs", timeout=60).status_code == 401
        page = httpx.get(f"{url}/dagster/runs", headers={"Accept": "text/html"}, timeout=60)
        assert page.headers["location"] == "/login?next=%2Fdagster%2Fruns"
        with logged_in(url, "eve") as eve, logged_in(url, "ann") as ann:
            shown = eve.get("/dagster/runs").text
            assert '"/dagster' in shown
            script = shown.split('src="/dagster/', 1)[1].split('"', 1)[0]
            assert eve.get(f"/dagster/{script}").status_code == 200
            may = {name: permissions(client) for name, client in (("eve", eve), ("ann", ann))}
            assert not any(may["eve"].values())
            assert may["ann"]["launch_pipeline_execution"]
            refused = eve.post("/dagster/graphql", json={"query": RELOAD})
            assert refused.status_code == 403
            assert "Only admins" in refused.text
            assert ann.post("/dagster/graphql", json={"query": RELOAD}).json()["data"]
            until(lambda: execute_sql(database, changed) == by_ann, "it is in the audit log", 60)
            for headers in (
                {"Origin": "https://evil.example"},
                {"Sec-Fetch-Site": "cross-site"},
                {"Content-Type": "text/plain"},
            ):
                reply = ann.post("/dagster/graphql", json={"query": RELOAD}, headers=headers)
                assert reply.status_code in (403, 405)
            forged = {"X-Callpipeline-Role": "admin"}
            reply = eve.post("/dagster/graphql", json={"query": RELOAD}, headers=forged)
            assert reply.status_code == 403
            assert execute_sql(database, changed) == by_ann, "nobody else changed anything"


def permissions(client: httpx.Client) -> dict[str, bool]:
    found = client.post("/dagster/graphql", json={"query": PERMISSIONS}).json()["data"]
    return {each["permission"]: each["value"] for each in found["permissions"]}
