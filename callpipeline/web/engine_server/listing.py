"""The API on one page, from its own description, without a script or anything from elsewhere."""

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
h2 { border-top: 1px solid #8886; font-size: 1.1rem; padding-top: 1rem }
code, td:first-child { font-family: ui-monospace, monospace }
td { padding: 0 1rem .2rem 0; vertical-align: top }
:root { color-scheme: light dark }
"""

Description = Mapping[str, Any]


def listing(api: Description) -> str:
    """Every route of an OpenAPI description: what it does, what it takes, what it answers."""
    routes = "".join(
        _route(method.upper(), path, route, api)
        for path, methods in api["paths"].items()
        for method, route in methods.items()
    )
    title = escape(api["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f'<h1>{title}</h1><p>For programs: <a href="/openapi.json">openapi.json</a>.</p>{routes}'
    )


def _route(method: str, path: str, route: Description, api: Description) -> str:
    token = " · with a token" if route.get("security") else ""
    codes = ", ".join(
        f"{code} {escape(answer['description'])}" for code, answer in route["responses"].items()
    )
    return (
        f"<h2><code>{method} {escape(path)}</code>{token}</h2>"
        f"<p>{_prose(route.get('description', ''))}</p>"
        f"<table>{''.join(_bodies(route, api))}</table><p>{codes}</p>"
    )


def _bodies(route: Description, api: Description) -> Iterator[str]:
    for parameter in route.get("parameters", []):
        yield _row(parameter["name"], f"in the {parameter['in']}", parameter["schema"])
    for kind, content in route.get("requestBody", {}).get("content", {}).items():
        for schema in _alternatives(content["schema"], api):
            needed = schema.get("required", [])
            for name, field in schema.get("properties", {}).items():
                yield _row(name, f"{kind}{', required' if name in needed else ''}", field)


def _alternatives(schema: Description, api: Description) -> list[Description]:
    each = schema.get("anyOf", [schema])
    return [_resolved(one, api) for one in each]


def _resolved(schema: Description, api: Description) -> Description:
    reference = schema.get("$ref", "").rpartition("/")[2]
    return api["components"]["schemas"][reference] if reference else schema


def _row(name: str, where: str, field: Description) -> str:
    said = field.get("description", "")
    return f"<tr><td>{escape(name)}<td>{escape(where)}<td>{_prose(said)}"


def _prose(text: str) -> str:
    """Words between backticks are code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
