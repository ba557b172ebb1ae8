"""The checks of calls: what each is called, what it asks the database, and who is told.

What they decide is in `checks`, how Dagster shows it in `defs/checks`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from callpipeline.domain.notification import EventKind, Occurrence
from callpipeline.errors import EngineUnavailable
from callpipeline.pipeline import checks
from callpipeline.pipeline.checks import Circumstances
from callpipeline.pipeline.findings import Finding, Row
from callpipeline.storage.database import Database
from callpipeline.storage.outbox import Outbox

DAY = timedelta(days=1)
MOST = 20
"""Calls that a finding lists: enough to look into, and no report."""


@dataclass(frozen=True, slots=True)
class Check:
    """A fact that should hold of the calls of the last day, and the asset that it concerns."""

    asset: str
    query: str
    decide: Callable[[Row, Circumstances], Finding]
    description: str
    over: str
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.decide.__name__

    def wanted(self, now: datetime) -> dict[str, object]:
        """The parameters of its query; each query takes those it names."""
        times = {
            "now": now,
            "since": now - DAY,
            "month_ago": now - checks.QUIET_NAME,
            "long_before": now - checks.WAIT_WARNING,
        }
        return {**times, "most": MOST, **self.parameters}


CHECKS = (
    Check(
        "recordings",
        "watch/newest_call",
        checks.recordings_keep_arriving,
        "A new recording has come in within CALLPIPELINE_INGESTION_QUIET_H hours. Passes where "
        "none ever came, or the setting is 0.",
        "Recordings come in again",
    ),
    Check(
        "recordings",
        "checks/waiting",
        checks.live_calls_do_not_wait,
        "No call of today (lane live) has waited for a run longer than 15 minutes; an error after "
        "an hour. Calls that wait for their next try do not count.",
        "Calls of today are processed again",
    ),
    Check(
        "recordings",
        "checks/failures",
        checks.few_calls_fail,
        "Of the calls that ended in the last 24 hours, few failed: a warning above 2 %, an error "
        "above 10 % of 20 or more. With the reasons, by stage and error.",
        "Few calls fail again",
        {"away": EngineUnavailable.__name__},
    ),
    Check(
        "channel_audio",
        "checks/sound",
        checks.recordings_are_sound,
        "Recordings taken apart in the last 24 hours are neither silent, truncated, damaged, fake "
        "stereo (an error above a quarter of 20 or more), nor clipped or of more than two "
        "channels; a warning above 5 %. One channel alone (mono) is not wrong.",
        "Recordings are sound again",
        {"wrong": list(checks.WRONG), "grave": list(checks.GRAVE)},
    ),
    Check(
        "transcripts",
        "checks/words",
        checks.speech_has_words,
        "Where at least 5 seconds of speech were found on a channel, there is a word: of the calls "
        "transcribed in the last 24 hours. A warning above 1 %, an error above 10 % of 20 or more.",
        "Speech has words again",
        {
            "wordless": True,
            "least_speech_s": checks.WORDLESS_LEAST_S,
            "words_per_s": checks.WORDS_PER_S,
        },
    ),
    Check(
        "transcripts",
        "checks/words",
        checks.words_keep_up_with_speech,
        "Where somebody speaks for 10 seconds or more, there is a word for each two seconds of it "
        "(people speak 2 to 3 words a second): of the calls transcribed in the last 24 hours. A "
        "warning above 5 %, an error above 25 % of 20 or more.",
        "Transcripts are as long as they should be again",
        {
            "wordless": False,
            "least_speech_s": checks.SLOW_LEAST_S,
            "words_per_s": checks.WORDS_PER_S,
        },
    ),
    Check(
        "transcripts",
        "checks/reliability",
        checks.transcripts_are_reliable,
        "At most one in ten transcripts of the last 24 hours is unreliable: its words have a mean "
        "confidence under 0.55. Those of pocketsphinx are of demo quality. Never an error.",
        "Transcripts are reliable again",
    ),
    Check(
        "competitor_mentions",
        "checks/unheard",
        checks.every_competitor_is_named_now_and_then,
        "Each competitor of the list in use was named in a call that came in within the last 30 "
        "days, if at least 100 of these are completed and the list has had the entry so long. A "
        "name that is never found is usually not written as it is said. Never an error.",
        "Every competitor is named now and then",
    ),
)


@dataclass(frozen=True, slots=True)
class Checking:
    """Asks the ledger, and enters into the outbox what fails gravely and what passes again."""

    database: Database
    outbox: Outbox
    quiet_h: float | None

    def evaluate(self, check: Check, now: datetime) -> Finding:
        """What the check finds; people have been told when it returns. Raises
        DatabaseUnavailable: what cannot be looked at has not passed."""
        [row] = self.database.rows(check.query, check.wanted(now))
        finding = check.decide(row, Circumstances(now, self.quiet_h))
        if finding.is_alarm:
            self.outbox.report(_occurrence(check, finding), now)
        elif finding.passed:
            told = self.outbox.open_groups(EventKind.CHECK_FAILED)
            self.outbox.clear(told & {_group(check)}, now)
        return finding


def _group(check: Check) -> str:
    return f"{EventKind.CHECK_FAILED}:{check.name}"


def _occurrence(check: Check, finding: Finding) -> Occurrence:
    return Occurrence(
        EventKind.CHECK_FAILED,
        finding.severity,
        f"The check {check.name} of {check.asset} fails",
        finding.description,
        group_key=_group(check),
        recovers=True,
        metadata={
            "over": check.over,
            "check": check.name,
            "asset": check.asset,
            "advice": f"Which calls: in Dagster's UI, asset {check.asset}, tab Checks.",
        },
    )
