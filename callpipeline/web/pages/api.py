"""The API reference (`/docs`), rendered from the OpenAPI description."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from callpipeline.web.pages.rendering import format_code, page

router = APIRouter()

Description = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ApiParameter:
    """Parameter of a route; `location` is path, query, header or the media type of the body."""

    name: str
    location: str
    is_required: bool
    type: str
    description: Markup


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """Route of the API as the reference shows it."""

    tag: str
    method: str
    path: str
    description: Markup
    parameters: tuple[ApiParameter, ...]
    responses: Mapping[str, str]


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    routes = sorted(parse_routes(request.app.openapi()), key=lambda route: route.tag)
    groups = [(tag, list(of)) for tag, of in groupby(routes, key=lambda route: route.tag)]
    return page(request, "api.html", groups=groups)


def parse_routes(api: Description) -> Iterator[ApiRoute]:
    """Yield the routes of an OpenAPI description."""
    for path, methods in api["paths"].items():
        for method, route in methods.items():
            yield ApiRoute(
                tag=(route.get("tags") or ["other"])[0],
                method=method.upper(),
                path=path,
                description=format_code(route.get("description", "")),
                parameters=(*_parameters(route, api), *_body(route, api)),
                responses={code: each["description"] for code, each in route["responses"].items()},
            )


def _parameters(route: Description, api: Description) -> Iterator[ApiParameter]:
    for each in route.get("parameters", []):
        required = each.get("required", False)
        schema = each.get("schema", {})
        description = each.get("description") or schema.get("description", "")
        yield ApiParameter(
            each["name"], each["in"], required, _type(schema, api), format_code(description)
        )


def _body(route: Description, api: Description) -> Iterator[ApiParameter]:
    for media, content in route.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(content.get("schema", {}), api)
        required = schema.get("required", [])
        for name, field in schema.get("properties", {}).items():
            description = format_code(field.get("description", ""))
            yield ApiParameter(name, media, name in required, _type(field, api), description)


def _type(schema: Description, api: Description) -> str:
    """Return the type of a value in a word or two."""
    if any_of := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_type(each, api) for each in any_of))
    whole = _resolved(schema, api)
    if choices := whole.get("enum"):
        return ", ".join(map(str, choices))
    if whole.get("type") == "array":
        return f"list of {_type(whole.get('items', {}), api)}"
    return str(whole.get("format") or whole.get("type") or "anything")


def _resolved(schema: Description, api: Description) -> Description:
    reference = schema.get("$ref", "").rpartition("/")[2]
    return api["components"]["schemas"][reference] if reference else schema
