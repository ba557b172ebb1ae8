"""The guard around Dagster's UI: attacks by pages of other sites, and roles."""

import json
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from callpipeline.config import Settings
from callpipeline.defs.dagster_internals.webserver import (
    HEADER,
    PURPOSE,
    READ_ONLY,
    DagsterGuard,
    Record,
)
from callpipeline.domain.access import AuditAction, AuditEntry
from callpipeline.http_server.security import Signer

OWN = "http://127.0.0.1:3000"
SIGNER = Signer(b"k" * 32)
QUERY = {"query": "{ version }"}
MUTATION = {"query": "mutation { setNuxSeen }"}


REPLY: dict[str, Any] = {}
"""What Dagster's UI responds, if a test sets it."""


async def reached(request: Request) -> Response:
    if REPLY:
        return JSONResponse(REPLY["content"], REPLY.get("status", 200))
    role = "reader" if request.scope.get("state", {}).get(READ_ONLY) else "full"
    body = await request.body()
    return PlainTextResponse(f"{role} {len(body)}")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("open")
    await websocket.close()


def an_app() -> Starlette:
    every = ["GET", "POST", "HEAD", "OPTIONS", "PUT"]
    return Starlette(
        routes=[WebSocketRoute("/graphql", socket), Route("/{path:path}", reached, methods=every)]
    )


def a_client(
    settings: Settings,
    *,
    users: bool = False,
    peer: str = "127.0.0.1",
    record: Record = lambda entries: None,
    **options: Any,
) -> TestClient:
    known = options | ({"web_users": {"ann": SecretStr("a password of mine")}} if users else {})
    guard = DagsterGuard(an_app(), an_app(), settings.model_copy(update=known), SIGNER, record)
    return TestClient(guard, base_url=OWN, client=(peer, 50_000))


def role(name: str, for_s: float = 60) -> dict[str, str]:
    return {HEADER: SIGNER.sign(PURPOSE, name, for_s)}


IMAGE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
EVIL = {"Origin": "https://evil.example"}
OTHER_PORT = {"Origin": "http://127.0.0.1:9999"}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

ATTACKS = {
    "an image": ("GET", "/graphql?query=mutation%7BsetNuxSeen%7D", IMAGE, 403),
    "an image in an old browser": ("GET", "/graphql?query=mutation%7BsetNuxSeen%7D", {}, 405),
    "below the prefix": ("GET", "/dagster/graphql?query=mutation%7BsetNuxSeen%7D", {}, 405),
    "a form": ("POST", "/graphql?query=mutation%7BsetNuxSeen%7D", FORM | EVIL, 403),
    "a form without origin": ("POST", "/graphql?query=mutation%7BsetNuxSeen%7D", FORM, 405),
    "JSON with a query in the URL": ("POST", "/graphql?query=x", JSON, 405),
    "plain text": ("POST", "/graphql", {"Content-Type": "text/plain"}, 405),
    "a graphql body": ("POST", "/graphql", {"Content-Type": "application/graphql"}, 405),
    "fetch": ("POST", "/graphql", JSON | EVIL, 403),
    "fetch from another port": ("POST", "/graphql", JSON | OTHER_PORT, 403),
    "fetch from a sandbox": ("POST", "/graphql", JSON | {"Origin": "null"}, 403),
    "fetch of the same site": ("POST", "/graphql", JSON | {"Sec-Fetch-Site": "same-site"}, 403),
    "a preflight": ("OPTIONS", "/graphql", EVIL, 403),
    "DNS rebinding": ("POST", "/graphql", JSON | {"Host": "evil.example:3000"}, 421),
    "DNS rebinding of a page": ("GET", "/", {"Host": "evil.example"}, 421),
    "a name that looks local": ("GET", "/", {"Host": "127.0.0.1.evil.example"}, 421),
    "a frame": ("GET", "/", IMAGE | {"Sec-Fetch-Dest": "iframe"}, 403),
    "a script": ("GET", "/logs/x/y.out", IMAGE | {"Sec-Fetch-Dest": "script"}, 403),
    "an event": ("POST", "/report_asset_materialization/mentions", {}, 403),
    "an event below": ("POST", "/dagster/report_asset_check/mentions", {}, 403),
    "a proxy": ("GET", "/", {"X-Forwarded-For": "203.0.113.9"}, 403),
    "a forged role": ("POST", "/dagster/graphql", JSON | {HEADER: "YQ.YQ"}, 403),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_refused(settings: Settings, name: str):
    method, path, headers, expected = ATTACKS[name]
    content = json.dumps(MUTATION).encode() if method == "POST" else None
    for users in (False, True):
        client = a_client(settings, users=users)
        reply = client.request(method, path, headers=headers, content=content)
        assert reply.status_code in ((expected,) if not users else (expected, 403)), reply.text
        assert "full" not in reply.text


@pytest.mark.parametrize(
    ("headers", "is_open"),
    [
        ({}, True),
        ({"Origin": OWN}, True),
        ({"Origin": OWN, "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "http://127.0.0.1:8100"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": OWN, "Sec-Fetch-Site": "cross-site"}, False),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, False),
    ],
)
def test_sockets_are_opened_by_own_pages_and_programs(
    settings: Settings, headers: dict[str, str], is_open: bool
):
    client = a_client(settings)
    if is_open:
        with client.websocket_connect("ws://127.0.0.1:3000/graphql", headers=headers) as opened:
            assert opened.receive_text() == "open"
    else:
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect("ws://127.0.0.1:3000/graphql", headers=headers),
        ):
            pass
    with (
        pytest.raises(WebSocketDisconnect),
        a_client(settings, users=True).websocket_connect("ws://127.0.0.1:3000/graphql"),
    ):
        pass


def test_own_pages_links_and_programs_of_this_machine_pass(settings: Settings):
    client = a_client(settings)
    link = {
        "Sec-Fetch-Site": "same-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    own = {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}
    assert client.get("/runs/1", headers=link).text == "full 0"
    assert client.get("/assets/x.js", headers={"Sec-Fetch-Site": "same-origin"}).text == "full 0"
    assert client.post("/graphql", json=MUTATION, headers=own).text.startswith("full")
    assert client.post("/graphql", json=MUTATION).text.startswith("full")
    assert client.post("/graphql?op=Named", json=QUERY, headers=own).text.startswith("full")
    assert client.get("/server_info").status_code == 200


@pytest.mark.parametrize("path", ["/", "/runs/1", "/dagster/", "/logs/a.out"])
def test_where_there_is_a_login_only_the_web_app_passes(settings: Settings, path: str):
    client = a_client(settings, users=True, web_url="https://calls.example.com")
    reply = client.get(path)
    assert reply.status_code == 403
    assert "https://calls.example.com/dagster/" in reply.text
    assert client.post("/graphql", json=QUERY).status_code == 403
    assert client.get("/server_info").status_code == 200, "for `up`"
    assert client.get(path, headers=role("reader")).text == "reader 0"
    assert client.get(path, headers=role("admin")).text == "full 0"
    assert client.get(path, headers=role("admin", for_s=-1)).status_code == 403
    assert client.get(path, headers=role("root")).status_code == 403
    other = Signer(b"o" * 32).sign(PURPOSE, "admin", 60)
    assert client.get(path, headers={HEADER: other}).status_code == 403


def test_other_machines_are_refused(settings: Settings):
    for peer in ("192.0.2.7", "::ffff:192.0.2.7"):
        client = a_client(settings, peer=peer)
        assert client.get("/").status_code == 403
        assert client.post("/graphql", json=QUERY).status_code == 403


@pytest.mark.parametrize(
    "sent",
    [
        MUTATION,
        {"query": "query A { version } mutation B { setNuxSeen }", "operationName": "A"},
        {"query": "subscription { locationStateChangeEvents { event { eventType } } }"},
        {"query": "mutation"},
        {"query": ["mutation { setNuxSeen }"]},
        {"queries": "mutation { setNuxSeen }"},
        [MUTATION],
        "mutation { setNuxSeen }",
        {"query": "{" * 50_000},
    ],
)
def test_readers_change_nothing(settings: Settings, sent: Any):
    client = a_client(settings, users=True)
    reply = client.post("/dagster/graphql", json=sent, headers=role("reader"))
    assert reply.status_code == 403
    if sent == MUTATION:
        full = client.post("/dagster/graphql", json=sent, headers=role("admin"))
        assert full.text.startswith("full")


def test_readers_read(settings: Settings):
    client = a_client(settings, users=True)
    content = json.dumps({"query": "query A { version } fragment F on Run { id }"})
    reply = client.post("/dagster/graphql", content=content, headers=role("reader") | JSON)
    assert reply.text == f"reader {len(content)}", "the body is passed on"


CALL = "2026-01-02-0123456789ab"
CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a launch": (
        {"query": "mutation L($p: ExecutionParams!) { launchRun(executionParams: $p) { id } }"},
        ["operated launchRun"],
    ),
    "a backfill of a call": (
        {
            "query": "mutation($b: X!) { launchPartitionBackfill(backfillParams: $b) { id } }",
            "variables": {"b": {"partitionNames": [CALL]}},
        },
        [f"operated launchPartitionBackfill {CALL}"],
    ),
    "a renamed field": (
        {"query": "mutation { version: terminateRuns(runIds: []) { id } }"},
        ["operated terminateRuns"],
    ),
    "in a fragment": (
        {"query": "mutation { ...F } fragment F on Mutation { ...F ... { stopSensor { id } } }"},
        ["operated stopSensor"],
    ),
    "two": (
        {"query": "mutation { startSensor { id } deleteRun { id } }"},
        ["operated startSensor", "erased deleteRun"],
    ),
    "too long to read": (
        {"query": "mutation { deleteRun { id } }" + " { a }" * 20_000},
        ["operated unreadable query"],
    ),
    "nothing": (MUTATION, []),
    "a question": ({"query": "query mutation { version }"}, []),
}


ASKED = "mutation { one: terminateRuns(runIds: []) { id } deleteRun { id } }"
OUTCOMES: dict[str, tuple[dict[str, Any], int, list[str]]] = {
    "both succeed": (
        {"data": {"one": {"__typename": "TerminateRunsResult"}, "deleteRun": {"id": "x"}}},
        200,
        ["operated terminateRuns", "erased deleteRun"],
    ),
    "one fails": (
        {"data": {"one": {"__typename": "PythonError", "message": "Bob's 4111"},
                  "deleteRun": {"__typename": "DeletePipelineRunSuccess"}}},
        200,
        ["operated terminateRuns (failed: PythonError)", "erased deleteRun"],
    ),
    "one of several in one": (
        {"data": {"one": {"terminateRunResults": [
            {"__typename": "TerminateRunSuccess"}, {"__typename": "RunNotFoundError"}]}}},
        200,
        ["operated terminateRuns (partly failed: RunNotFoundError)", "erased deleteRun (not run)"],
    ),
    "one raises after the other was done": (
        {"data": {"one": {"id": "x"}, "deleteRun": None}, "errors": [{"message": "Bob"}]},
        500,
        ["operated terminateRuns", "erased deleteRun (failed)"],
    ),
    "neither is understood": (
        {"errors": [{"message": "Cannot query field"}]},
        400,
        ["operated terminateRuns (failed: HTTP 400)", "erased deleteRun (failed: HTTP 400)"],
    ),
    "a type with the words of a call": (
        {"data": {"one": {"__typename": "Bob said 4111 Error"}, "deleteRun": {}}},
        200,
        ["operated terminateRuns", "erased deleteRun"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTCOMES)
def test_the_audit_log_says_what_dagster_made_of_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
):
    content, status, expected = OUTCOMES[name]
    found: list[AuditEntry] = []
    client = a_client(settings, record=found.extend)
    for key, value in {"content": content, "status": status}.items():
        monkeypatch.setitem(REPLY, key, value)
    assert client.post("/graphql", json={"query": ASKED}).status_code == status
    assert [described(each) for each in found] == expected


def test_a_change_whose_end_nobody_saw_is_recorded_too(settings: Settings):
    async def dies(scope: Scope, receive: Receive, send: Send) -> None:
        raise ConnectionResetError

    found: list[AuditEntry] = []
    guard = DagsterGuard(dies, dies, settings, SIGNER, found.extend)
    client = TestClient(guard, base_url=OWN, client=("127.0.0.1", 50_000))
    with pytest.raises(ConnectionResetError):
        client.post("/graphql", json={"query": "mutation { deleteRun { id } }"})
    assert [described(each) for each in found] == ["erased deleteRun (unknown)"]


def test_escapes_hide_no_change_from_the_audit_log(settings: Settings):
    found: list[AuditEntry] = []
    client = a_client(settings, record=found.extend)
    sent = json.dumps({"query": "mutation { deleteRun { id } }", "variables": {"p": CALL}})
    hidden = sent.replace("mutation", "mut\\u0061tion").replace(CALL, CALL.replace("-", "\\u002d"))
    assert client.post("/graphql", content=hidden, headers=JSON).status_code == 200
    assert [described(each) for each in found] == [f"erased deleteRun {CALL}"]


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_changed_in_the_ui_is_in_the_audit_log(settings: Settings, name: str):
    sent, expected = CHANGES[name]
    found: list[AuditEntry] = []
    client = a_client(settings, users=True, record=found.extend)
    ann = role('admin ["ann", "login", "192.0.2.7"]')
    assert client.post("/dagster/graphql", json=sent, headers=ann).status_code == 200
    assert [described(each) for each in found] == expected
    assert {(each.actor, each.method, each.address) for each in found} <= {
        ("ann", "login", "192.0.2.7")
    }
    by_ann = len(found)
    reader = role('reader ["eve", "login", null]')
    client.post("/dagster/graphql", json=sent, headers=reader)
    client.get("/dagster/graphql", headers=ann)
    assert len(found) == by_ann, "what is refused changes nothing"


def test_changes_at_the_own_port_are_those_of_a_local_user(settings: Settings):
    found: list[AuditEntry] = []
    client = a_client(settings, record=found.extend)
    sent = {"query": "mutation { stopRunningSchedule { id } }"}
    assert client.post("/graphql", json=sent).status_code == 200
    [entry] = found
    assert described(entry) == "operated stopRunningSchedule"
    assert (entry.actor, entry.method, entry.address) == ("local user", "loopback", "127.0.0.1")


def described(entry: AuditEntry) -> str:
    assert entry.action in (AuditAction.OPERATED, AuditAction.ERASED)
    name = entry.what.removeprefix("Dagster: ")
    return f"{entry.action} {name} {entry.target or ''}".rstrip()
