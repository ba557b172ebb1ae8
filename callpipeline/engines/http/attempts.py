"""How often a request is tried, and what is waited between, as the contract says."""

import random
from collections.abc import Awaitable, Callable

import tenacity

from callpipeline.engines.http.answers import Unanswered

ATTEMPTS = 3
WAIT_BASE, JITTER_S = 2.0, 1.0
"""Before the next attempt: 2^attempt seconds, and up to a second more."""
LONGEST_RETRY_AFTER_S = 60.0
"""A service that asks for a longer wait than this is away: its calls wait in the ledger."""


def attempts(sleep: Callable[[float], Awaitable[None]]) -> tenacity.AsyncRetrying:
    """The attempts at a request, with `sleep` between them; the last one's error is raised."""
    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(is_worth_another),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=wait_before_next,
        sleep=sleep,
        reraise=True,
    )


def is_worth_another(error: BaseException) -> bool:
    """Whether the next attempt may be answered, and soon."""
    if not isinstance(error, Unanswered):
        return False
    return error.again and (error.wait_s or 0) <= LONGEST_RETRY_AFTER_S


def wait_before_next(state: tenacity.RetryCallState) -> float:
    """Seconds before the next attempt: what the service asked for, else the contract's."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Unanswered) and error.wait_s is not None:
        return error.wait_s
    return WAIT_BASE**state.attempt_number + random.uniform(0, JITTER_S)
