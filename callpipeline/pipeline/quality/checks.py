"""The quality checks of calls: their queries, and notifications of failure and recovery.

The rules are in `check_rules`; `defs/checks` shows the results in Dagster.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from callpipeline.domain.competitors.find_mentions import RULE_VERSION
from callpipeline.domain.notifications import EventKind, NotificationEvent, Severity
from callpipeline.domain.transcripts import MAX_UNHEARD_S
from callpipeline.errors import EngineUnavailable
from callpipeline.pipeline.quality import check_rules as rules
from callpipeline.pipeline.quality.check_rules import CheckContext, CheckResult, Row
from callpipeline.storage.ports.calls import NamedQueries
from callpipeline.storage.ports.notifications import OutboxStore

DAY = timedelta(days=1)
MAX_LISTED_CALLS = 20
"""Calls that a result lists: enough to investigate."""


@dataclass(frozen=True, slots=True)
class CallCheck:
    """A property that the calls of the last day should have, and the asset it belongs to."""

    asset: str
    query: str
    decide: Callable[[Row, CheckContext], CheckResult]
    description: str
    recovery_title: str
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def name(self) -> str:
        return self.decide.__name__

    def query_parameters(self, now: datetime) -> dict[str, object]:
        """Return the parameters of the query; each query uses those that it names."""
        times = {
            "now": now,
            "since": now - DAY,
            "month_ago": now - rules.UNNAMED_PERIOD,
            "long_before": now - rules.WAIT_WARNING,
        }
        return {**times, "most": MAX_LISTED_CALLS, **self.parameters}


REMATCH_TIME = timedelta(hours=1)
"""A rematch of 10,000 calls takes minutes."""


def calls_are_on_the_list_in_force(row: Row, context: CheckContext) -> CheckResult:
    """Pass if no call has results of an older list, or the list has just changed."""
    found, looked = row["found"], row["looked"]
    columns = {"call_id": rules.CALL, "catalog_version": "list", "rule_version": "rules"}
    metadata = {"calls": looked, "found": found, "newest": rules.to_table(row["newest"], columns)}
    if not found:
        text = "All completed calls are on the competitor list in force."
        return CheckResult(True, Severity.WARNING, text, metadata)
    text = f"{found:,} of {looked:,} calls are on an older competitor list or older rules."
    is_new = context.now - row["changed_at"] < REMATCH_TIME
    advice = "" if is_new else " Is the sensor competitor_list running, or the rematch stopped?"
    return CheckResult(is_new, Severity.WARNING, f"{text}{advice}", metadata)


CHECKS = (
    CallCheck(
        "recordings",
        "watch/newest_call",
        rules.recordings_keep_arriving,
        "A recording has arrived within CALLPIPELINE_INGESTION_QUIET_H hours. Passes if none ever "
        "arrived, or if the setting is 0.",
        "Recordings are arriving again",
    ),
    CallCheck(
        "recordings",
        "checks/backlog",
        rules.live_calls_do_not_wait,
        "No call of the live lane has waited for a run longer than 15 minutes; an error after an "
        "hour. Calls that wait for a retry do not count.",
        "Live calls are processed again",
    ),
    CallCheck(
        "recordings",
        "checks/failures",
        rules.few_calls_fail,
        "Few of the calls that ended in the last 24 hours failed: a warning above 2 %, an error "
        "above 10 % of 20 or more. Lists the reasons by stage and error.",
        "The failure rate is back to normal",
        {"away": EngineUnavailable.__name__},
    ),
    CallCheck(
        "channel_audio",
        "checks/recordings",
        rules.recordings_are_sound,
        "Recordings split in the last 24 hours are not silent, truncated, damaged or fake stereo "
        "(an error above a quarter of 20 or more), nor clipped or of more than two channels; a "
        "warning above 5 %. Mono recordings pass.",
        "Recording quality is back to normal",
        {"wrong": list(rules.DEFECTS), "grave": list(rules.SEVERE_DEFECTS)},
    ),
    CallCheck(
        "transcripts",
        "checks/sparse_transcripts",
        rules.speech_has_words,
        "Channels with 5 seconds of speech or more have at least one word, in the calls "
        "transcribed in the last 24 hours. A warning above 1 %, an error above 10 % of 20 or more.",
        "Speech is transcribed again",
        {
            "wordless": True,
            "least_speech_s": rules.WORDLESS_MIN_SPEECH_S,
            "words_per_s": rules.WORDS_PER_S,
        },
    ),
    CallCheck(
        "transcripts",
        "checks/sparse_transcripts",
        rules.words_keep_up_with_speech,
        "Channels with 10 seconds of speech or more have a word per two seconds (people speak 2 to "
        "3 words a second), in the calls transcribed in the last 24 hours. A warning above 5 %, an "
        "error above 25 % of 20 or more.",
        "Transcripts have their usual length again",
        {
            "wordless": False,
            "least_speech_s": rules.SPARSE_MIN_SPEECH_S,
            "words_per_s": rules.WORDS_PER_S,
        },
    ),
    CallCheck(
        "transcripts",
        "checks/unheard_speech",
        rules.all_speech_is_transcribed,
        "Channels have at most 2 seconds of detected speech more than a second from any word, in "
        "the calls transcribed by a recogniser in the last 24 hours. Channels without any word are "
        "left to speech_has_words. A warning above 5 %, an error above 25 % of 20 or more.",
        "All speech is transcribed again",
        {"max_unheard_s": MAX_UNHEARD_S, "wordless_s": rules.WORDLESS_MIN_SPEECH_S},
    ),
    CallCheck(
        "transcripts",
        "checks/reliability",
        rules.transcripts_are_reliable,
        "At most one in ten transcripts of the last 24 hours is unreliable (mean word confidence "
        "under 0.55). pocketsphinx has demo quality. Never an error.",
        "Transcripts are reliable again",
    ),
    CallCheck(
        "competitor_mentions",
        "checks/outdated",
        calls_are_on_the_list_in_force,
        "No completed call has mentions of an older competitor list or older rules an hour after "
        "the list changed. Calls whose transcripts were deleted stay as they are. Never an error.",
        "All calls are on the competitor list in force",
        {"rule_version": RULE_VERSION},
    ),
    CallCheck(
        "competitor_mentions",
        "checks/unmentioned",
        rules.every_competitor_is_named_now_and_then,
        "Each competitor on the list was mentioned in a call of the last 30 days, if at least 100 "
        "are completed and the competitor was on the list that long. A name that is never found "
        "is usually not written as it is spoken. Never an error.",
        "Every competitor is mentioned again",
    ),
)


@dataclass(frozen=True, slots=True)
class CheckRunner:
    """Evaluates checks, and reports failures and recoveries to the outbox."""

    database: NamedQueries
    outbox: OutboxStore
    quiet_h: float | None
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def evaluate(self, check: CallCheck, now: datetime) -> CheckResult:
        """Evaluate a check and report its outcome.

        Raises DatabaseUnavailable: a check that can't be evaluated has not passed.
        """
        [row] = self.database.rows(check.query, check.query_parameters(now))
        result = check.decide(row, CheckContext(now, self.quiet_h, self.zone))
        if result.is_alarm:
            self.outbox.report(_failure_event(check, result), now)
        elif result.passed:
            reported = self.outbox.open_groups(EventKind.CHECK_FAILED)
            self.outbox.clear(reported & {_group_key(check)}, now)
        return result


def _group_key(check: CallCheck) -> str:
    return f"{EventKind.CHECK_FAILED}:{check.name}"


def _failure_event(check: CallCheck, result: CheckResult) -> NotificationEvent:
    return NotificationEvent(
        EventKind.CHECK_FAILED,
        result.severity,
        f"Check {check.name} of {check.asset} failed",
        result.description,
        group_key=_group_key(check),
        recovers=True,
        metadata={
            "over": check.recovery_title,
            "check": check.name,
            "asset": check.asset,
            "advice": f"See the calls in Dagster: asset {check.asset}, tab Checks.",
        },
    )
