"""Errors met before a request reaches a route, answered as the app answers them elsewhere."""

import inspect

from starlette.requests import Request
from starlette.responses import Response


async def answer_of(request: Request, error: Exception) -> Response:
    """By the app's own handler for this kind of error. Raises the error where it has none."""
    handlers = request.app.exception_handlers
    for kind in type(error).__mro__:
        if kind in handlers:
            answer = handlers[kind](request, error)
            return await answer if inspect.isawaitable(answer) else answer
    raise error
