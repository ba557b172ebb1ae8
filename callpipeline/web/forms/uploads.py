"""How many recordings come in at once, and where they lie meanwhile."""

import asyncio

from callpipeline.web.forms.landing import Landing
from callpipeline.web.places import Places

MOST_AT_ONCE = 200
STORED_AT_ONCE = 3
"""A large one takes 15 MB of memory while it goes to S3."""


class Uploads:
    """One of these for the whole app."""

    def __init__(self, landing: Landing) -> None:
        self.landing = landing
        self.coming = Places(MOST_AT_ONCE, 0)
        self.storing = asyncio.Semaphore(STORED_AT_ONCE)
