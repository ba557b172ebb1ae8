"""What a route asks of its visitors, and which routes ask what."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, HTTPException, Request, Security
from fastapi.routing import iter_route_contexts
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.routing import BaseRoute
from starlette.types import Scope as AsgiScope

from callpipeline.domain.access import Scope
from callpipeline.web.access.visitors import Identified, Visitor

_api_key = APIKeyHeader(name="X-API-KEY", auto_error=False, description="A key, or as a bearer.")
_bearer = HTTPBearer(auto_error=False, description="A key: `cpk_…`.")

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="callpipeline"'}
UNKNOWN = "Log in, or send a key in the header X-API-KEY."


class Needs:
    """A dependency that gives the visitor, who has one of the scopes; without scopes any visitor.

    `Guard` has asked before, without reading anything of a body; this is where routes get it.
    """

    def __init__(self, *scopes: Scope, page: bool = False) -> None:
        self.scopes = scopes
        self.page = page

    def __call__(
        self,
        request: Request,
        _key: Annotated[object, Security(_api_key)] = None,
        _token: Annotated[object, Security(_bearer)] = None,
    ) -> Visitor:
        visitor = visitor_of(request)
        if visitor is None:
            raise HTTPException(401, UNKNOWN, CHALLENGE)
        self.check(visitor)
        return visitor

    def check(self, visitor: Visitor) -> None:
        """Raises HTTPException (403)."""
        if self.scopes and not visitor.may(*self.scopes):
            wanted = " or ".join(self.scopes)
            raise HTTPException(403, f"{visitor.name} may not do this: it needs scope {wanted}.")


def needs(*scopes: Scope, page: bool = False) -> Needs:
    """`Depends(needs(Scope.READ))`: one of these scopes. A page sends strangers to the login."""
    return Needs(*scopes, page=page)


def visitor_of(request: Request) -> Visitor | None:
    """Who asks, where the route needs anybody."""
    identified: Identified | None = request.scope.get("state", {}).get("identified")
    return identified.visitor if identified else None


Reader = Annotated[Visitor, Depends(needs(Scope.READ))]
Uploader = Annotated[Visitor, Depends(needs(Scope.UPLOAD))]
Admin = Annotated[Visitor, Depends(needs(Scope.ADMIN))]


class GuardedRoute(NamedTuple):
    """A route and all that it, its router and the app ask for; each of them must be met."""

    path: str
    methods: frozenset[str]
    pattern: Any
    asked: tuple[Needs, ...]

    def is_for(self, path: str, method: str) -> bool:
        return (not self.methods or method in self.methods) and bool(self.pattern.match(path))


def guarded_routes(routes: Sequence[BaseRoute]) -> list[GuardedRoute]:
    """Every route in the order in which they are tried. One that asks for nothing is open."""
    return [
        GuardedRoute(
            path=str(route.path),
            methods=frozenset(route.methods or ()),
            pattern=route.path_regex,
            asked=tuple(_asked(getattr(route, "dependant", None))),
        )
        for route in iter_route_contexts(routes)
        if hasattr(route, "path_regex")
    ]


def _asked(dependant: Any) -> Iterator[Needs]:
    for below in getattr(dependant, "dependencies", ()):
        if isinstance(below.call, Needs):
            yield below.call
        yield from _asked(below)


class Guards:
    """What the route of a request asks for. Routes are read at the first request."""

    def __init__(self) -> None:
        self._routes: list[GuardedRoute] | None = None

    def of(self, scope: AsgiScope) -> tuple[Needs, ...]:
        if self._routes is None:
            self._routes = guarded_routes(scope["app"].routes)
        path, method = scope["path"], scope["method"]
        for route in self._routes:
            if route.is_for(path, method):
                return route.asked
        return ()
