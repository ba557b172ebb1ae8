"""Visitors, the scopes that routes require of them, and which routes require which."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import Depends, HTTPException, Request, Security
from fastapi.routing import iter_route_contexts
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.routing import BaseRoute
from starlette.types import Scope as AsgiScope

from callpipeline.domain.access import Scope
from callpipeline.web.access.csrf import CsrfBinding

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="callpipeline"'}
NOT_AUTHENTICATED = "Log in, or send a key in the header X-API-KEY."

AuthMethod = Literal["key", "login", "proxy", "loopback"]

_api_key = APIKeyHeader(
    name="X-API-KEY", auto_error=False, description="An API key; can be sent as a bearer as well."
)
_bearer = HTTPBearer(auto_error=False, description="An API key: `cpk_…`.")


@dataclass(frozen=True, slots=True)
class Visitor:
    """An authenticated client: a key, a user who logged in or whom a proxy names, or loopback.

    `visitor_id` is unique and stable, so it may be stored; `name` is for display.
    """

    name: str
    scopes: frozenset[Scope]
    method: AuthMethod
    visitor_id: str

    def may(self, *scopes: Scope) -> bool:
        """Check whether the visitor has one of these scopes."""
        return not self.scopes.isdisjoint(scopes)


@dataclass(frozen=True, slots=True)
class Authentication:
    """A visitor, and what the CSRF tokens of the visitor's forms are bound to."""

    visitor: Visitor
    binding: CsrfBinding | None = None
    """None for API keys: browsers don't send them automatically, so no token is needed."""


class ScopeRequirement:
    """Dependency that returns the visitor, who must have one of the scopes, if there are any.

    `AuthMiddleware` has checked it before the body is read; routes get the visitor from here.
    """

    def __init__(self, *scopes: Scope, page: bool = False, action: str = "do this") -> None:
        self.scopes = scopes
        self.page = page
        self.action = action

    def __call__(
        self,
        request: Request,
        _key: Annotated[object, Security(_api_key)] = None,
        _token: Annotated[object, Security(_bearer)] = None,
    ) -> Visitor:
        visitor = visitor_of(request)
        if visitor is None:
            raise HTTPException(401, NOT_AUTHENTICATED, CHALLENGE)
        self.check(visitor)
        return visitor

    def check(self, visitor: Visitor) -> None:
        """Raise HTTPException (403) if the visitor lacks the scope."""
        if self.scopes and not visitor.may(*self.scopes):
            raise HTTPException(403, f"You don't have permission to {self.action}. Ask an admin.")


def require(*scopes: Scope, page: bool = False, action: str = "do this") -> ScopeRequirement:
    """Return a dependency, for `Depends(require(Scope.READ))`: one of the scopes is needed.

    A page redirects unknown visitors to the login. `action` completes "You don't have permission
    to …".
    """
    return ScopeRequirement(*scopes, page=page, action=action)


def visitor_of(request: Request) -> Visitor | None:
    """Return the visitor, or None on a route without requirements."""
    authentication = authentication_of(request)
    return authentication.visitor if authentication else None


def authentication_of(request: Request) -> Authentication | None:
    return request.scope.get("state", {}).get("authentication")


Reader = Annotated[Visitor, Depends(require(Scope.READ))]
Uploader = Annotated[Visitor, Depends(require(Scope.UPLOAD))]
Admin = Annotated[Visitor, Depends(require(Scope.ADMIN))]


class ProtectedRoute(NamedTuple):
    """A route and the requirements of the route, its router and the app; all must be met."""

    path: str
    methods: frozenset[str]
    pattern: Any
    requirements: tuple[ScopeRequirement, ...]

    def matches(self, path: str, method: str) -> bool:
        return (not self.methods or method in self.methods) and bool(self.pattern.match(path))


def protected_routes(routes: Sequence[BaseRoute]) -> list[ProtectedRoute]:
    """Return every route in matching order. A route without requirements is public."""
    return [
        ProtectedRoute(
            path=str(route.path),
            methods=frozenset(route.methods or ()),
            pattern=route.path_regex,
            requirements=tuple(_requirements(getattr(route, "dependant", None))),
        )
        for route in iter_route_contexts(routes)
        if hasattr(route, "path_regex")
    ]


def _requirements(dependant: Any) -> Iterator[ScopeRequirement]:
    for below in getattr(dependant, "dependencies", ()):
        if isinstance(below.call, ScopeRequirement):
            yield below.call
        yield from _requirements(below)


class RouteRequirements:
    """Requirements of a request's route. The routes are collected on the first request."""

    def __init__(self) -> None:
        self._routes: list[ProtectedRoute] | None = None

    def of(self, scope: AsgiScope) -> tuple[ScopeRequirement, ...]:
        if self._routes is None:
            self._routes = protected_routes(scope["app"].routes)
        path, method = scope["path"], scope["method"]
        for route in self._routes:
            if route.matches(path, method):
                return route.requirements
        return ()
