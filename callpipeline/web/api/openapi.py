"""`/health`, `/metrics` and the OpenAPI document with authentication and error responses."""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, PlainTextResponse

from callpipeline.web.problems import Problem, problems
from callpipeline.web.services.monitoring import CONTENT_TYPE
from callpipeline.web.state import State

API_DESCRIPTION = (
    "Errors are `application/problem+json` (RFC 9457). Routes with a lock require an API key, in "
    "`X-API-KEY` or as a bearer token. Without users and keys, the app serves its own machine only."
)
PROTECTED_STATUSES = (401, 403, 429)
"""Unknown key, missing scope, too many requests."""
BODY_STATUSES = (400, 408, 413)
"""The body is malformed, too slow or too large."""
COMMON_STATUSES = (503,)
"""The database or a store is unavailable."""
UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")
"""FastAPI's error schemas, replaced by `Problem`."""

OpenApiDocument = dict[str, Any]


def install_openapi(app: FastAPI) -> None:
    """Make the app serve this document."""

    def openapi() -> OpenApiDocument:
        if app.openapi_schema is None:
            app.openapi_schema = openapi_document(app)
        return app.openapi_schema

    app.openapi = openapi


def openapi_document(app: FastAPI) -> OpenApiDocument:
    """Generate the document of the app's current routes."""
    document = get_openapi(
        title=app.title, version=app.version, description=API_DESCRIPTION, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    for name in UNUSED_SCHEMAS:
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema()
    for operation in _operations(document):
        operation["responses"] = dict(sorted(_responses(operation).items()))
        operation.setdefault("security", [])
    return document


def _operations(document: OpenApiDocument) -> Iterator[OpenApiDocument]:
    for methods in document["paths"].values():
        yield from methods.values()


def _responses(operation: OpenApiDocument) -> OpenApiDocument:
    """Return the responses by status. The route's own descriptions take precedence."""
    own = operation["responses"]
    has_input = bool(operation.get("parameters")) or "requestBody" in operation
    is_default = "HTTPValidationError" in str(own.get("422", ""))
    if is_default or not has_input:
        own = {status: each for status, each in own.items() if status != "422"}
    added: list[int] = [*COMMON_STATUSES, *((422,) if has_input else ())]
    added += PROTECTED_STATUSES if operation.get("security") else ()
    added += BODY_STATUSES if "requestBody" in operation else ()
    return {str(status): each for status, each in problems(*added).items()} | own


health_router = APIRouter(tags=["server"])
metrics_router = APIRouter(tags=["server"])


@health_router.get("/health", responses={503: {"description": "Something is down"}})
async def health(state: State) -> JSONResponse:
    """Return the state of each dependency; 503 if one is down.

    `database`, `results` and `recordings` are always listed, engine services while they are down.
    The reasons are included if the app serves this machine only.
    """
    found = await state.health_checker.health()
    document = found.document(with_details=state.options.web_is_open)
    return JSONResponse(document, 200 if found.is_up else 503)


@health_router.get("/health/live", status_code=204)
async def live() -> None:
    """Liveness probe: 204 if the app runs."""


@health_router.get("/health/ready", responses=problems(503), status_code=204)
async def ready(state: State) -> Response:
    """Readiness probe for load balancers: 204 if the app can serve requests, else 503."""
    found = await state.health_checker.health()
    return (
        Response(status_code=204)
        if found.is_ready
        else JSONResponse(found.document(with_details=False), 503)
    )


@metrics_router.get("/metrics", response_class=PlainTextResponse)
def metrics(state: State) -> Response:
    """Prometheus metrics: requests, calls by state, backlog, undelivered notifications."""
    return Response(state.metrics.text(), headers={"Content-Type": CONTENT_TYPE})
