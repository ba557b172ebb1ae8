"""Calls with known sound and words, stored as stages store them, and checks that look at them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from callpipeline.domain.audio import Channel, Flag, QualityFlag
from callpipeline.domain.call import Stage
from callpipeline.domain.catalog import Catalog
from callpipeline.domain.mention import Mention
from callpipeline.domain.transcript import Transcript
from callpipeline.pipeline.checking import CHECKS, Checking
from callpipeline.pipeline.findings import Finding, Table
from callpipeline.wiring import Storage
from tests.builders import a_channel, a_split, a_transcript, a_write, channel_files
from tests.integration.calls import change, enter
from tests.integration.databases import asked


@dataclass
class Day:
    """A day of calls; `passed` is how long ago they were, for the checks."""

    storage: Storage
    folder: Path
    passed: timedelta = field(default_factory=timedelta)

    def check(self, name: str, *, quiet_h: float | None = 24.0) -> Finding:
        [check] = [each for each in CHECKS if each.name == name]
        checking = Checking(self.storage.database, self.storage.outbox, quiet_h)
        return checking.evaluate(check, datetime.now(UTC) + self.passed)

    def split(self, key: str, *, speech_s: float = 9.0, flags: Sequence[Flag] = ()) -> str:
        """A call taken apart: somebody speaks for so long on the left channel."""
        [call_id] = enter(self.storage, key)
        self.storage.claims.claim([call_id], "run-1")
        found = [QualityFlag(flag, "by hand") for flag in flags]
        split = a_split(a_channel(Channel.LEFT, (1.0, 3.0), (4.0, 2.0 + speech_s)), flags=found)
        write = a_write(call_id, Stage.CHANNEL_AUDIO)
        self.storage.results.save_audio(write, split, channel_files(split, self.folder / call_id))
        return call_id

    def transcribe(self, key: str, *texts: str, speech_s: float = 9.0) -> str:
        call_id = self.split(key, speech_s=speech_s)
        self.hear(call_id, a_transcript(*texts))
        return call_id

    def hear(self, call_id: str, *transcripts: Transcript) -> None:
        self.storage.results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), transcripts)

    def judge(self, call_id: str, catalog: Catalog, *mentions: Mention) -> None:
        self.storage.results.remember_catalog(catalog)
        write = a_write(call_id, Stage.COMPETITOR_MENTIONS, catalog=catalog)
        self.storage.results.save_mentions(write, mentions)

    def complete(self, count: int) -> list[str]:
        """Calls of which nothing is known but that they are through."""
        call_ids = enter(self.storage, *(f"through-{number}.wav" for number in range(count)))
        change(self.storage, call_ids, state="'COMPLETED'", completed_at="now()")
        return call_ids

    def fail(self, *keys: str, error_class: str = "UnsupportedAudio") -> list[str]:
        call_ids = enter(self.storage, *keys)
        reason = {"error_class": f"'{error_class}'", "error_stage": "'transcripts'"}
        ended = {"state": "'FAILED'", "error_message": "'zanzibar'", "completed_at": "now()"}
        change(self.storage, call_ids, **ended, **reason)
        return call_ids

    def age(self, call_id: str, stage: Stage, hours: float) -> None:
        """Let a stage have been stored so long ago."""
        asked(
            self.storage.database.url,
            f"UPDATE call_stages SET stored_at = now() - interval '{hours} hours' "
            f"WHERE call_id = '{call_id}' AND stage = '{stage}'",
        )


def outcome(finding: Finding) -> str:
    return "passed" if finding.passed else finding.severity.value


def listed(finding: Finding, fact: str = "newest") -> list[object]:
    """The first column of a table: ids of calls, or names."""
    table = finding.facts[fact]
    assert isinstance(table, Table)
    return [row[0] for row in table.rows]
