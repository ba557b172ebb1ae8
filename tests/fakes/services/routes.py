"""Which service a request is for, and who answers it while nothing is wrong."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.fakes.services import contract, openai
from tests.fakes.services.contract import World, detail
from tests.fakes.services.exchange import Reply, json_reply
from tests.fakes.services.records import Arrival

PORTS = ("auth", "split", "channel", "transcription", "sentiment", "openai", "elsewhere")
"""Each has an address of its own; `split` offers channel files too, `openai` is two services."""
UNKNOWN = "unknown"
"""The service of requests that no route is for."""


@dataclass(frozen=True)
class Route:
    ports: tuple[str, ...]
    method: str
    path: re.Pattern[str]
    service: str
    answer: Callable[[World, Arrival], Reply]


def _route(
    ports: str, asked: str, service: str, answer: Callable[[World, Arrival], Reply]
) -> Route:
    method, path = asked.split()
    return Route(tuple(ports.split()), method, re.compile(path), service, answer)


def _nowhere(world: World, request: Arrival) -> Reply:
    return detail(404, "Not Found")


def _elsewhere(world: World, request: Arrival) -> Reply:
    return json_reply({})


ROUTES = (
    _route("auth", "POST /api/v1/login/access-token", "auth", contract.log_in),
    _route("split", "POST /split", "split", contract.split),
    _route("split channel", "GET /channels/.+", "channel", contract.channel_file),
    _route("transcription", "POST /api/v1/transcriptions/", "transcription", contract.transcribe),
    _route("sentiment", "POST /analyze/contextual/file", "sentiment", contract.judge),
    _route("openai", "POST /v1/audio/transcriptions", "speech", openai.transcribe),
    _route("openai", "POST /v1/chat/completions", "chat", openai.chat),
    _route("openai", "GET /v1/models", "models", openai.models),
)

SERVICES = (*dict.fromkeys(route.service for route in ROUTES), "elsewhere")
_ELSEWHERE = Route(("elsewhere",), "GET", re.compile(".*"), "elsewhere", _elsewhere)
_NOWHERE = Route(PORTS, "GET", re.compile(".*"), UNKNOWN, _nowhere)


def route_of(port: str, method: str, path: str) -> Route:
    """Whatever comes to `elsewhere` is taken; a path that the port does not have is `unknown`."""
    if port == "elsewhere":
        return _ELSEWHERE
    for route in ROUTES:
        if port in route.ports and method == route.method and route.path.fullmatch(path):
            return route
    return _NOWHERE


def port_of(service: str) -> str:
    """The port on which the service has its own address."""
    if service in PORTS:
        return service
    return next(route.ports[-1] for route in ROUTES if route.service == service)
