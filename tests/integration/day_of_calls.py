"""Calls with given audio and words, stored as the stages store them, for the quality checks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from callpipeline.domain.audio import Channel, Flag, QualityFlag
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.transcripts import Transcript
from callpipeline.pipeline.quality.check_rules import CheckResult, CheckTable
from callpipeline.pipeline.quality.checks import CHECKS, CheckRunner
from callpipeline.wiring import Storage
from tests.builders import a_channel, a_split, a_transcript, a_write, channel_files
from tests.integration.calls import change, enter
from tests.integration.databases import execute_sql


@dataclass
class DayOfCalls:
    """A day of calls; `passed` is how long ago that was when checks run."""

    storage: Storage
    folder: Path
    passed: timedelta = field(default_factory=timedelta)

    def check(self, name: str, *, quiet_h: float | None = 24.0) -> CheckResult:
        [check] = [each for each in CHECKS if each.name == name]
        runner = CheckRunner(self.storage.database, self.storage.outbox, quiet_h)
        return runner.evaluate(check, datetime.now(UTC) + self.passed)

    def split(self, key: str, *, speech_s: float = 9.0, flags: Sequence[Flag] = ()) -> str:
        """Store the split of a call with `speech_s` of speech on the left channel."""
        [call_id] = enter(self.storage, key)
        self.storage.claims.claim([call_id], "run-1")
        found = [QualityFlag(flag, "by hand") for flag in flags]
        split = a_split(a_channel(Channel.LEFT, (1.0, 3.0), (4.0, 2.0 + speech_s)), flags=found)
        write = a_write(call_id, Stage.CHANNEL_AUDIO)
        self.storage.results.save_audio(write, split, channel_files(split, self.folder / call_id))
        return call_id

    def transcribe(self, key: str, *texts: str, speech_s: float = 9.0) -> str:
        call_id = self.split(key, speech_s=speech_s)
        self.store_transcripts(call_id, a_transcript(*texts))
        return call_id

    def store_transcripts(self, call_id: str, *transcripts: Transcript) -> None:
        self.storage.results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), transcripts)

    def store_mentions(self, call_id: str, catalog: Catalog, *mentions: Mention) -> None:
        self.storage.results.save_catalog(catalog)
        write = a_write(call_id, Stage.COMPETITOR_MENTIONS, catalog=catalog)
        self.storage.results.save_mentions(write, mentions)

    def complete(self, count: int) -> list[str]:
        """Register completed calls without results."""
        call_ids = enter(self.storage, *(f"completed-{number}.wav" for number in range(count)))
        change(self.storage, call_ids, state="'COMPLETED'", completed_at="now()")
        return call_ids

    def fail(self, *keys: str, error_class: str = "UnsupportedAudio") -> list[str]:
        call_ids = enter(self.storage, *keys)
        reason = {"error_class": f"'{error_class}'", "error_stage": "'transcripts'"}
        ended = {"state": "'FAILED'", "error_message": "'zanzibar'", "completed_at": "now()"}
        change(self.storage, call_ids, **ended, **reason)
        return call_ids

    def age(self, call_id: str, stage: Stage, hours: float) -> None:
        """Backdate the storage of a stage."""
        execute_sql(
            self.storage.database.url,
            f"UPDATE call_stages SET stored_at = now() - interval '{hours} hours' "
            f"WHERE call_id = '{call_id}' AND stage = '{stage}'",
        )


def status(result: CheckResult) -> str:
    return "passed" if result.passed else result.severity.value


def listed(result: CheckResult, name: str = "newest") -> list[object]:
    """Return the first column of a table: call ids, or names."""
    table = result.metadata[name]
    assert isinstance(table, CheckTable)
    return [row[0] for row in table.rows]
