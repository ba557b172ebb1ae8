"""Whether all that an installation needs answers: asked at most every few seconds, all at once."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from callpipeline.errors import CallpipelineError
from callpipeline.storage.database import Database
from callpipeline.storage.object_store import ObjectStore
from callpipeline.storage.outages import Outages
from callpipeline.wiring import Storage

FRESH_S = 3.0
WITHIN_S = 5.0
PROBE = "health/probe"
"""A key that no object has: a store that says so has answered."""

State = Literal["up", "down"]
Check = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Dependency:
    """What one thing says when it is asked; `detail` tells why it is down."""

    state: State
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """The state of everything at one time. `serves` is whether the app itself can do its work."""

    dependencies: Mapping[str, Dependency]
    serves: bool

    @property
    def is_up(self) -> bool:
        return all(each.state == "up" for each in self.dependencies.values())

    def document(self, *, with_details: bool) -> dict[str, object]:
        """As JSON; details name buckets and hosts."""
        each = {n: _shown(d, with_details=with_details) for n, d in self.dependencies.items()}
        return {"status": "up" if self.is_up else "down", "dependencies": each}


class Doctor:
    """Asks the database and the stores, and what the ledger knows of engine services.

    A service that is away keeps the pipeline from working, not the app: see `Health.serves`.
    """

    def __init__(self, storage: Storage, database: Database) -> None:
        """`database` is for this alone: it must not wait until the app's connections are free."""
        self._database = database
        self._outages = Outages(database)
        self._checks: dict[str, Check] = {
            "database": lambda: _asked(database),
            "results": lambda: _answers(storage.store),
            "recordings": lambda: _answers(storage.inbox),
        }
        self._asking = asyncio.Lock()
        self._last: tuple[float, Health] | None = None

    async def health(self) -> Health:
        """As of now, or of some seconds ago."""
        async with self._asking:
            if self._last is None or time.monotonic() - self._last[0] > FRESH_S:
                self._last = time.monotonic(), await self._ask()
            return self._last[1]

    async def _ask(self) -> Health:
        asked = [_state(check) for check in self._checks.values()]
        found = dict(zip(self._checks, await asyncio.gather(*asked), strict=True))
        serves = all(each.state == "up" for each in found.values())
        return Health(found | await asyncio.to_thread(self._services, found), serves)

    def _services(self, found: Mapping[str, Dependency]) -> dict[str, Dependency]:
        if found["database"].state == "down":
            return {}
        return {each.service: Dependency("down", each.reason) for each in self._outages.all()}


async def _state(check: Check) -> Dependency:
    try:
        async with asyncio.timeout(WITHIN_S):
            await asyncio.to_thread(check)
    except TimeoutError:
        return Dependency("down", f"No answer within {WITHIN_S:g} s.")
    except CallpipelineError as error:
        return Dependency("down", str(error))
    return Dependency("up")


def _asked(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("SELECT")


def _answers(store: ObjectStore) -> None:
    store.exists(PROBE)


def _shown(found: Dependency, *, with_details: bool) -> dict[str, str]:
    detail = {"detail": found.detail} if with_details and found.detail else {}
    return {"state": found.state, **detail}
