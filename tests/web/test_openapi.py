"""The OpenAPI document is valid, and the app conforms to it."""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as effort
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import SecretStr
from schemathesis import checks
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks as conformance

from callpipeline.config import Settings
from callpipeline.web.app import create_app
from tests.web import calls_by_state
from tests.web.served import Served, served
from tests.web.uploads import KEY, WITH_KEY

LARGE = "LARGE" in os.environ
KEEPS_TO_IT = [
    checks.not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_headers_conformance,
    conformance.response_schema_conformance,
]
FEW, MANY = 3, 200 if LARGE else 12
"""Examples of each operation; many take minutes."""
TRY = effort(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
OPEN = {"/health", "/health/live", "/health/ready", "/storage/signed/{token}"}
SOUND = ("/audio.wav", "/peaks", "/clip.{format}")
"""None of these calls has audio."""


@pytest.fixture(scope="module")
def document(module_settings: Settings) -> dict[str, Any]:
    return create_app(module_settings).openapi()


def routes(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        yield from ((path, route) for route in methods.values())


def test_it_is_a_valid_description(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()
    assert "HTTPValidationError" not in str(document)


def test_every_route_has_a_description_and_its_security(document: dict[str, Any]) -> None:
    for path, route in routes(document):
        assert route["description"], path
        assert route["tags"], path
        assert bool(route["security"]) == (path not in OPEN), path


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    for path, route in routes(document):
        guarded = {"401", "403", "429"} if path not in OPEN else set[str]()
        body = {"400", "408", "413", "422"} if "requestBody" in route else set[str]()
        assert route["responses"].keys() >= guarded | body | {"503"}, path
        for status, answer in route["responses"].items():
            if status >= "400" and not path.startswith("/health"):
                assert list(answer["content"]) == ["application/problem+json"], (path, status)


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    options = {
        "web_users": {"ann": SecretStr("a password of mine")},
        "web_requests_per_min": 0,
        "web_uploads_per_min": 0,
    }
    with served(tmp_path_factory.mktemp("app"), module_url, **WITH_KEY, **options) as app:
        yield app


@pytest.fixture
def calls(empty_app: Served, tmp_path: Path) -> dict[str, str]:
    return calls_by_state.one_per_state(empty_app.storage, tmp_path / "sound")


@pytest.fixture(scope="module")
def loaded(app: Served) -> Any:
    return schemathesis.openapi.from_url(f"{app.address}/openapi.json", timeout=300)


@pytest.fixture
def api(loaded: Any, calls: dict[str, str]) -> Any:
    """The document of a running app with calls in every state."""
    return loaded


def operations(api: Any) -> Iterator[Any]:
    for found in api.get_all_operations():
        yield found.ok()


@contextmanager
def noted(failures: list[str], operation: Any) -> Iterator[None]:
    try:
        yield
    except (Exception, FailureGroup) as error:
        told = "".join(traceback.format_exception(error, limit=0))
        failures.append(f"{operation.label}: {told}"[:4000])


def ask(case: Any, **headers: str) -> int:
    """Return the status of the response, which must be documented."""
    reply = case.call(headers=headers, timeout=60)
    if reply.status_code == 400 and reply.text == "Invalid HTTP request received.":
        return 400  # the server's own answer to a head that is too long
    case.validate_response(reply, checks=KEEPS_TO_IT)
    return reply.status_code


# What the app's threads do with `random` meanwhile is taken for the strategies'.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_generated_requests_get_documented_responses(
    api: Any, mode: schemathesis.GenerationMode, examples: int
) -> None:
    failures: list[str] = []
    for operation in operations(api):
        is_bare = not operation.definition.raw.get("parameters") and not operation.body
        if is_bare and mode is schemathesis.GenerationMode.NEGATIVE:
            continue
        with noted(failures, operation):

            @effort(TRY, max_examples=examples)
            @given(operation.as_strategy(generation_mode=mode))
            def asked(case: Any) -> None:
                ask(case, **{"X-API-KEY": KEY})

            asked()
    assert not failures, "\n\n".join(failures)


def test_existing_calls_get_documented_responses(api: Any, calls: dict[str, str]) -> None:
    failures: list[str] = []
    ids = [*calls.values(), "2020-01-01-000000000000", "\0"]
    others = {"competitor_name": "Sky", "object_path": "a/b.json", "what": "calls", "kind": "csv"}
    others |= {
        "token": "x.y",
        "filename": "a.wav",
        "format": "json",
        "version": "abc",
        "pattern": "abc",
        "mention_id": "left:0:0",
        "view_id": "1",
        "user_name": "zoe",
        "key_id": "aaaaaaaaaaaa",
        "channel": "left",
        "index": 0,
    }
    seen: dict[str, set[int]] = {}
    for operation in operations(api):
        if operation.path.endswith(SOUND):
            continue
        for call_id in ids:
            named = {"call_id": call_id, "job_id": call_id, **others}
            wanted = {each.name: named[each.name] for each in operation.path_parameters}
            with noted(failures, operation):
                status = ask(operation.Case(path_parameters=wanted), **{"X-API-KEY": KEY})
                seen.setdefault(operation.label, set()).add(status)
    assert not failures, "\n\n".join(failures)
    of_calls = [
        seen[label]
        for label in seen
        if ("{call_id}" in label or "{job_id}" in label)
        and not label.startswith(("PUT ", "PATCH "))
    ]  # these need a body
    assert len(of_calls) >= 3
    assert all({200, 404} <= found or {202, 404} <= found for found in of_calls), seen


def test_unknown_visitors_get_documented_responses(api: Any) -> None:
    failures: list[str] = []
    for operation in operations(api):
        named = {each.name: "x" for each in operation.path_parameters}
        for headers in ({}, {"X-API-KEY": "no"}, {"Authorization": "Bearer no"}):
            with noted(failures, operation):
                status = ask(operation.Case(path_parameters=named), **headers)
                assert (status == 401) == (operation.path not in OPEN), status
    assert not failures, "\n\n".join(failures)


def test_stored_documents_get_documented_responses(api: Any) -> None:
    by_label = {operation.label: operation for operation in operations(api)}

    def status(label: str, **how: Any) -> int:
        operation = by_label[label]
        names = {each.name: "a/b.json" for each in operation.path_parameters}
        return ask(operation.Case(path_parameters=names, **how), **{"X-API-KEY": KEY})

    body = {"object_path": "a/b.json", "data": [1, "é"]}
    how = {"body": body, "media_type": "application/json"}
    assert status("POST /storage/upload", **how) == 200
    for label in ("download", "exists", "presigned-url"):
        assert status(f"GET /storage/{label}/{{object_path}}") == 200
    assert status("GET /storage/list") == 200
    assert status("DELETE /storage/delete/{object_path}") == 200
    assert status("GET /storage/download/{object_path}") == 404
