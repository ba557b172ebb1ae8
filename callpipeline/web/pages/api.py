"""`/docs`: the API on one page, from its own description."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape

from callpipeline.web.pages.rendering import page

router = APIRouter()

Description = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that a route takes: `where` is path, query, header, or the kind of its body."""

    name: str
    where: str
    is_required: bool
    kind: str
    said: Markup


@dataclass(frozen=True, slots=True)
class Route:
    """A route as people read of it."""

    tag: str
    method: str
    path: str
    said: Markup
    takes: tuple[Parameter, ...]
    answers: Mapping[str, str]


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    routes = sorted(described(request.app.openapi()), key=lambda route: route.tag)
    groups = [(tag, list(of)) for tag, of in groupby(routes, key=lambda route: route.tag)]
    return page(request, "api.html", groups=groups)


def described(api: Description) -> Iterator[Route]:
    """Every route of an OpenAPI description."""
    for path, methods in api["paths"].items():
        for method, route in methods.items():
            yield Route(
                tag=(route.get("tags") or ["other"])[0],
                method=method.upper(),
                path=path,
                said=prose(route.get("description", "")),
                takes=(*_parameters(route, api), *_body(route, api)),
                answers={code: each["description"] for code, each in route["responses"].items()},
            )


def _parameters(route: Description, api: Description) -> Iterator[Parameter]:
    for each in route.get("parameters", []):
        required = each.get("required", False)
        schema = each.get("schema", {})
        said = each.get("description") or schema.get("description", "")
        yield Parameter(each["name"], each["in"], required, _kind(schema, api), prose(said))


def _body(route: Description, api: Description) -> Iterator[Parameter]:
    for media, content in route.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(content.get("schema", {}), api)
        needed = schema.get("required", [])
        for name, field in schema.get("properties", {}).items():
            said = prose(field.get("description", ""))
            yield Parameter(name, media, name in needed, _kind(field, api), said)


def _kind(schema: Description, api: Description) -> str:
    """The type of a value in a word or two."""
    if any_of := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_kind(each, api) for each in any_of))
    whole = _resolved(schema, api)
    if choices := whole.get("enum"):
        return ", ".join(map(str, choices))
    if whole.get("type") == "array":
        return f"list of {_kind(whole.get('items', {}), api)}"
    return str(whole.get("format") or whole.get("type") or "anything")


def _resolved(schema: Description, api: Description) -> Description:
    reference = schema.get("$ref", "").rpartition("/")[2]
    return api["components"]["schemas"][reference] if reference else schema


def prose(text: str) -> Markup:
    """Words between backticks are code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
