"""Recordings that keep coming in, by every way there is, with duplicates and broken ones."""

import random
from dataclasses import dataclass, field
from pathlib import Path

from callpipeline.pipeline.ingest import ingest
from tests.soak.faults import STAGE_POINTS, Fault
from tests.soak.installation import Installation
from tests.soak.script import Script

WAYS = {"dropped": 60, "handed over": 25, "duplicate": 9, "broken": 6}
"""How recordings arrive, and how many of a hundred."""
KILLERS, REFUSALS, FLAKY = 0.005, 0.01, 0.05
"""Of all calls those that meet a crash point and a store whose answer gets lost; of all requests
to the transcriber those that fail for now."""


@dataclass
class Feeder:
    """Brings recordings and remembers what was acknowledged."""

    installation: Installation
    chance: random.Random
    incoming: Path
    acknowledged: set[str] = field(default_factory=set)
    brought: dict[str, int] = field(default_factory=dict)
    _scripts: list[Script] = field(default_factory=list)

    def bring(self) -> None:
        """One recording, by a way that chance decides."""
        [way] = self.chance.choices(list(WAYS), list(WAYS.values()))
        number = sum(self.brought.values())
        self.brought[way] = self.brought.get(way, 0) + 1
        if way == "broken":
            self.acknowledged.add(self._broken(number))
        elif way == "duplicate" and self._scripts:
            script = self.chance.choice(self._scripts)
            self.acknowledged.add(self.installation.record(script, f"again/{number}/{script.name}"))
        else:
            self._new(number, handed_over=way == "handed over")

    def _new(self, number: int, *, handed_over: bool) -> None:
        wait_s = round(self.chance.uniform(0, 1), 2)
        script = Script(number, self.chance.randint(0, 3), wait_s, flaky=FLAKY)
        self._scripts.append(script)
        if handed_over:
            file = self.incoming / script.name
            file.write_text(script.text)
            storage = self.installation.storage
            self.acknowledged.add(ingest(file, storage.inbox, storage.ledger, storage.home).call_id)
            file.unlink()
            return
        key = self.installation.record(script)
        self.acknowledged.add(key)
        self._plan_fault(key)

    def _plan_fault(self, key: str) -> None:
        call_id = self.installation.call_id(key)
        drawn = self.chance.random()
        if drawn < KILLERS:
            self.installation.faults.arm(self.chance.choice(STAGE_POINTS), call_id)
        elif drawn < KILLERS + REFUSALS:
            self.installation.faults.arm("put.after", call_id, Fault("refuse"))

    def _broken(self, number: int) -> str:
        key = f"broken-{number:06}.wav"
        partial = self.incoming / key
        start = self.chance.choice([b"<!DOCTYPE html>", b"RIFF\0\0", b"\0" * 99])
        partial.write_bytes(start + key.encode())
        partial.rename(self.installation.recordings / key)
        return key
