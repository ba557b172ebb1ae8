"""Generator of recordings that arrive in all supported ways, with duplicates and broken ones."""

from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from callpipeline.pipeline.ingest.registration import ingest_file
from tests.soak.faults import STAGE_POINTS, Fault
from tests.soak.installation import Installation
from tests.soak.script import Script

WAYS = {"dropped": 60, "ingested": 25, "duplicate": 9, "broken": 6}
"""Ways in which recordings arrive, with their percentages."""
KILLERS, REFUSALS, FLAKY = 0.005, 0.01, 0.05
"""Fractions of calls that reach a crash point and whose store response is lost, and of
transcription requests that fail temporarily."""


@dataclass
class LoadGenerator:
    """Adds recordings and remembers the acknowledged ones, as keys or call IDs."""

    installation: Installation
    random: Random
    incoming: Path
    acknowledged: set[str] = field(default_factory=set)
    added: dict[str, int] = field(default_factory=dict)
    _scripts: list[Script] = field(default_factory=list)

    def add_recording(self) -> None:
        """Add one recording in a random way."""
        [way] = self.random.choices(list(WAYS), list(WAYS.values()))
        number = sum(self.added.values())
        self.added[way] = self.added.get(way, 0) + 1
        if way == "broken":
            self.acknowledged.add(self._broken(number))
        elif way == "duplicate" and self._scripts:
            script = self.random.choice(self._scripts)
            self.acknowledged.add(self.installation.record(script, f"again/{number}/{script.name}"))
        else:
            self._new(number, ingested=way == "ingested")

    def _new(self, number: int, *, ingested: bool) -> None:
        wait_s = round(self.random.uniform(0, 1), 2)
        script = Script(number, self.random.randint(0, 3), wait_s, flaky=FLAKY)
        self._scripts.append(script)
        if ingested:
            file = self.incoming / script.name
            file.write_text(script.text)
            storage = self.installation.storage
            self.acknowledged.add(
                ingest_file(file, storage.inbox, storage.ledger, storage.home).call_id
            )
            file.unlink()
            return
        key = self.installation.record(script)
        self.acknowledged.add(key)
        self._plan_fault(key)

    def _plan_fault(self, key: str) -> None:
        call_id = self.installation.call_id(key)
        drawn = self.random.random()
        if drawn < KILLERS:
            self.installation.faults.arm(self.random.choice(STAGE_POINTS), call_id)
        elif drawn < KILLERS + REFUSALS:
            self.installation.faults.arm("put.after", call_id, Fault("refuse"))

    def _broken(self, number: int) -> str:
        key = f"broken-{number:06}.wav"
        partial = self.incoming / key
        start = self.random.choice([b"<!DOCTYPE html>", b"RIFF\0\0", b"\0" * 99])
        partial.write_bytes(start + key.encode())
        partial.rename(self.installation.recordings / key)
        return key
