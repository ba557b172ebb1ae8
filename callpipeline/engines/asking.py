"""For which call an engine is asked: what fails for one call alone says little of the engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_CALL: ContextVar[str | None] = ContextVar("call", default=None)


@contextmanager
def on_behalf_of(call_id: str) -> Iterator[None]:
    """What is asked within this, also by tasks and threads that begin in it, is for the call."""
    token = _CALL.set(call_id)
    try:
        yield
    finally:
        _CALL.reset(token)


def asking_call() -> str | None:
    """The call for which something is asked; None where nobody says."""
    return _CALL.get()
