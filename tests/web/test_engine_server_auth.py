"""Authentication of the engine server, and its routes for other machines."""

import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from callpipeline.cli import app as commands
from callpipeline.config import Settings
from callpipeline.engine_server.app import create_app
from callpipeline.engine_server.login import PURPOSE
from callpipeline.errors import SettingsInvalid
from callpipeline.http_server.limits import RateLimiter
from callpipeline.http_server.security import Signer, UserPasswords, hash_password
from tests.web.engine_servers import NAME, PASSWORD, USERS, Served, serving

TRANSCRIPTIONS = "/api/v1/transcriptions/"


@pytest.fixture(scope="module")
def served(module_settings: Settings) -> Iterator[Served]:
    with serving(module_settings) as served:
        yield served


def transcribe(served: Served, headers: dict[str, str]) -> httpx.Response:
    sound = {"audio_file": ("left.flac", b"call 1")}
    return served.http.post(TRANSCRIPTIONS, files=sound, headers=headers)


def test_a_token_allows_transcription(served: Served) -> None:
    reply = served.token().json()
    assert (reply["token_type"], reply["expires_in"]) == ("bearer", 3600)
    headers = {"Authorization": f"Bearer {reply['access_token']}"}
    assert transcribe(served, headers).status_code == 200


@pytest.mark.parametrize(
    ("name", "password"),
    [
        (NAME, "wrong password"),
        (NAME, PASSWORD + " "),
        ("stranger", PASSWORD),
        ("", ""),
        ("é", "й"),
    ],
)
def test_a_wrong_name_or_password_gives_no_token(served: Served, name: str, password: str) -> None:
    reply = served.token(name, password)
    assert reply.status_code in (401, 422)
    assert "access_token" not in reply.text
    assert not password.strip() or password not in reply.text


def test_transcription_requires_a_valid_token(served: Served) -> None:
    signer = served.state.signer
    token = signer.sign(PURPOSE, NAME, 60)
    payload, signature = token.split(".")
    refused = {
        "no header": {},
        "another scheme": {"Authorization": f"Basic {token}"},
        "nothing": {"Authorization": "Bearer"},
        "expired": {"Authorization": f"Bearer {signer.sign(PURPOSE, NAME, -1)}"},
        "another name": {"Authorization": f"Bearer {signer.sign(PURPOSE, 'gone', 60)}"},
        "of a channel": {"Authorization": f"Bearer {signer.sign('channel', NAME, 60)}"},
        "tampered": {"Authorization": f"Bearer {payload[:-1]}A.{signature}"},
        "cut": {"Authorization": f"Bearer {payload}.{signature[:-2]}"},
        "another key": {"Authorization": f"Bearer {Signer(b'x' * 32).sign(PURPOSE, NAME, 60)}"},
    }
    for case, headers in refused.items():
        reply = transcribe(served, headers)
        assert reply.status_code == 401, case
        assert reply.headers["WWW-Authenticate"].startswith("Bearer"), case
    assert transcribe(served, {"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_client_without_token_is_rejected_before_the_upload_is_read(served: Served) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        head = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000\r\n"
        kind = "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        connection.sendall((head + kind).encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 401")


def test_servers_with_the_same_key_accept_each_others_tokens(settings: Settings) -> None:
    key = SecretStr("k" * 32)
    with serving(settings, serve_key=key) as one, serving(settings, serve_key=key) as other:
        assert transcribe(other, one.bearer()).status_code == 200
    with serving(settings) as another:
        assert transcribe(another, {"Authorization": "Bearer x.y"}).status_code == 401


def test_without_users_there_are_no_logins_and_the_other_routes_are_open(
    settings: Settings,
) -> None:
    with serving(settings, serve_users={}) as served:
        reply = served.token("", "")
        assert reply.status_code in (401, 422)
        assert served.token().status_code == 401
        assert "CALLPIPELINE_SERVE_USERS" in served.token().json()["detail"]
        own = {"Authorization": f"Bearer {served.state.signer.sign(PURPOSE, NAME, 60)}"}
        assert transcribe(served, own).status_code == 401
        assert served.split().status_code == 200


OPEN_IN_CONTRACT: list[tuple[str, str, Any]] = [
    ("POST", "/split", {}),
    ("POST", "/analyze/contextual", {"context": "EE", "transcript": {"segments": []}}),
    ("POST", "/analyze/contextual/file", {}),
    ("POST", "/analyze/overall", {"text": ""}),
    ("POST", "/analyze/overall/file", {}),
    ("GET", "/patterns/positive", None),
    ("POST", "/patterns/positive", {"pattern": "x"}),
    ("PUT", "/patterns/positive", {"patterns": ["x"]}),
    ("DELETE", "/patterns/positive/x", None),
]


def test_all_routes_can_require_a_token(settings: Settings) -> None:
    with serving(settings, serve_auth="all") as served:
        for method, path, body in OPEN_IN_CONTRACT:
            assert served.http.request(method, path, json=body).status_code == 401, path
        assert served.split().status_code == 401
        broken = {"Content-Type": "application/json"}
        for path in ("/analyze/contextual", "/analyze/overall", "/patterns/positive"):
            # Rejected before parsing: a JSON body is in memory as a whole.
            assert served.http.post(path, content=b"{", headers=broken).status_code == 401, path
        files = {"file": ("call.wav", b"call 1")}
        split = served.http.post("/split", files=files, headers=served.bearer())
        assert served.http.get(split.json()["left_channel_url"]).status_code == 200
        assert served.http.get("/health").status_code == 200


def test_for_other_machines_all_routes_require_a_token(settings: Settings) -> None:
    update = USERS | {"serve_host": "0.0.0.0"}
    app = create_app(settings.model_copy(update=update))
    paths = app.openapi()["paths"]
    for method, path, _ in OPEN_IN_CONTRACT:
        described = paths[re.sub(r"/(positive)", "/{kind}", path).replace("/x", "/{pattern}")]
        assert described[method.lower()]["security"], path
    as_before = settings.model_copy(update=update | {"serve_auth": "contract"})
    assert "security" not in create_app(as_before).openapi()["paths"]["/split"]["post"]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "engines.example.com"])
def test_nothing_is_served_beyond_this_machine_without_users(settings: Settings, host: str) -> None:
    with pytest.raises(SettingsInvalid, match="CALLPIPELINE_SERVE_USERS"):
        create_app(settings.model_copy(update={"serve_host": host}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"])
def test_this_machine_alone_needs_no_users(settings: Settings, host: str) -> None:
    assert create_app(settings.model_copy(update={"serve_host": host}))


@pytest.mark.parametrize("role", ["splitter", "transcriber", "sentiment"])
def test_a_server_rejects_remote_engines(settings: Settings, role: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"CALLPIPELINE_{role.upper()} is remote"):
        create_app(settings.model_copy(update={role: "remote"}))


def test_too_many_concurrent_logins_are_rejected_with_a_wait(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.state.logins, "admitted", 32)
    reply = served.token()
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "5")


def test_failed_logins_of_a_name_from_an_address_are_limited(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.state.failed_logins, "_pairs", RateLimiter(2))
    form = {"username": "crm", "password": "a wrong password"}
    path = "/api/v1/login/access-token"
    statuses = [served.http.post(path, data=form).status_code for _ in range(3)]
    assert statuses == [401, 401, 429]
    other = {"username": "another", "password": "a wrong password"}
    assert served.http.post(path, data=other).status_code == 401


def test_a_hash_verifies_its_password() -> None:
    stored = hash_password(PASSWORD)
    assert PASSWORD not in stored
    assert stored != hash_password(PASSWORD)
    users = UserPasswords({"a": stored, "b": "another password"})
    assert users.verify("a", PASSWORD)
    assert users.verify("b", "another password")
    assert not users.verify("a", stored)
    assert not users.verify("b", PASSWORD)
    assert not UserPasswords({}).verify("a", PASSWORD)


def test_the_hash_of_the_command_is_a_valid_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = f"{PASSWORD}\n{PASSWORD}\n"
    ran = CliRunner().invoke(commands, ["engines", "password"], input=typed)
    hashed = ran.stdout.strip().splitlines()[-1]
    monkeypatch.setenv("CALLPIPELINE_SERVE_USERS", f'{{"pipeline": "{hashed}"}}')
    users = Settings(_env_file=None).serve_users  # pyright: ignore[reportCallIssue]
    assert UserPasswords({"pipeline": users["pipeline"].get_secret_value()}).verify(
        "pipeline", PASSWORD
    )
    short = CliRunner().invoke(commands, ["engines", "password"], input="short\nshort\n")
    assert short.exit_code == 1


@pytest.mark.parametrize(
    "users", ['{"a": "short"}', '{"": "a password of mine"}', '{"a": "scrypt:1:1:1:a:b"}']
)
def test_users_with_an_invalid_password_are_rejected(
    monkeypatch: pytest.MonkeyPatch, users: str
) -> None:
    monkeypatch.setenv("CALLPIPELINE_SERVE_USERS", users)
    with pytest.raises(ValueError, match="12 characters|engines password"):
        Settings(_env_file=None)  # pyright: ignore[reportCallIssue]


def test_a_signature_is_valid_for_its_purpose_and_its_lifetime() -> None:
    clock = [1000.0]
    signer = Signer(b"key", now=lambda: clock[0])
    token = signer.sign("a", "some text: with. marks", 10)
    read = signer.verify("a", token)
    assert read and (read.text, read.is_expired) == ("some text: with. marks", False)
    assert signer.verify("b", token) is None
    clock[0] = 1010.0
    read = signer.verify("a", token)
    assert read and read.is_expired
    for at in range(len(token)):
        for other in "A!":
            changed = token[:at] + other + token[at + 1 :]
            assert changed == token or signer.verify("a", changed) is None
