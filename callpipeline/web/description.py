"""The API's own description (OpenAPI 3.1): FastAPI's, with what our doors and errors add to it."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from callpipeline.web.problems import Problem, problems

ABOUT = (
    "Errors are `application/problem+json` (RFC 9457). Routes with a lock ask for a key, in "
    "`X-API-KEY` or as a bearer; without users and keys, the app is for its own machine alone."
)
GUARDED = (401, 403, 429)
"""Nobody is known by this key; it lacks the scope; too much was asked."""

WITH_BODY = (400, 408, 413)
"""The body cannot be read, comes too slowly, or is too large."""

ALWAYS = (503,)
"""The database or a store is away."""

UNUSED = ("HTTPValidationError", "ValidationError")
"""FastAPI's errors, in place of which ours are sent."""

Document = dict[str, Any]


def describe(app: FastAPI) -> None:
    """Let the app describe itself in this way."""

    def described() -> Document:
        if app.openapi_schema is None:
            app.openapi_schema = description_of(app)
        return app.openapi_schema

    app.openapi = described


def description_of(app: FastAPI) -> Document:
    """The description of the routes that the app has now."""
    document = get_openapi(
        title=app.title, version=app.version, description=ABOUT, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    for name in UNUSED:
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema()
    for route in _routes(document):
        route["responses"] = dict(sorted(_answers(route).items()))
        route.setdefault("security", [])
    return document


def _routes(document: Document) -> Iterator[Document]:
    for methods in document["paths"].values():
        yield from methods.values()


def _answers(route: Document) -> Document:
    """By status. A route's own words for one go before ours."""
    own = route["responses"]
    takes_words = bool(route.get("parameters")) or "requestBody" in route
    is_fastapis = "HTTPValidationError" in str(own.get("422", ""))
    if is_fastapis or not takes_words:
        own = {status: each for status, each in own.items() if status != "422"}
    ours: list[int] = [*ALWAYS, *((422,) if takes_words else ())]
    ours += GUARDED if route.get("security") else ()
    ours += WITH_BODY if "requestBody" in route else ()
    return {str(status): each for status, each in problems(*ours).items()} | own
