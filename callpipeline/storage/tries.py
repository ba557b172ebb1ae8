"""How often a call is tried, how long it waits before, and what is said where that is over."""

import random

MAX_ATTEMPTS = 3
"""Runs that may be lost while working on a call before it is taken to be what kills them."""

RETRY_WAITS_S = (30.0, 120.0, 480.0)
"""Waits before each new try after an error that may pass: ten and a half minutes in all."""

FRUITLESS_WAITS = {"first_wait_s": 5.0, "longest_wait_s": 600.0}
"""Calls of a run that ends before they do are asked for again, later each time in a row."""

MAX_GIVEN_BACK = 10
"""Runs in a row that may end in order while they hold a call, before it ends with them."""

OUTAGE_PATIENCE_S = 86_400.0
"""How long a call waits for a service that is away before it ends FAILED."""

JITTER = 0.2
"""Calls that failed together are not to come back together: waits differ by a fifth."""

POISON = (
    f"The run that processed this call died {MAX_ATTEMPTS} times. The recording may be what kills "
    "it: look at the last run's log in Dagster."
)

GIVEN_UP = (
    f"The runs that were to process this call ended {MAX_GIVEN_BACK} times before it did: look at "
    "the last run in Dagster. `callpipeline retry` tries again."
)


def jittered(wait_s: float) -> float:
    """The wait, up to a fifth shorter or longer."""
    return wait_s * random.uniform(1 - JITTER, 1 + JITTER)
