"""Rules of the quality checks: pure functions from a query row to a result.

Each judges the results of the last day, not one call: a check that turned green with each good call
would hide a bad batch. Descriptions are written for the person on call. Results are shown in
Dagster, so they contain neither file names nor what was said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from callpipeline.domain.notifications import Severity
from callpipeline.domain.transcripts import MAX_UNHEARD_S, MIN_RELIABLE_CONFIDENCE

MIN_SAMPLE = 20
"""With fewer calls a check only warns, since one or two of them are a large share."""

CALL = "call"
"""Heading of a column of call ids."""

WORDLESS_MIN_SPEECH_S = 5.0
"""The speech detector mistakes rings, coughs and tones for speech, but hardly for this long."""
SPARSE_MIN_SPEECH_S = 10.0
"""Shorter speech may be a "yes" and a "hold on", with few words for good reason."""
WORDS_PER_S = 0.5
"""People speak 2 to 3 words per second of speech; at a fifth of that, most were missed."""

DEFECTS = {
    "silent": "a channel is silent",
    "truncated": "the file ends before its header says",
    "damaged": "parts could not be decoded",
    "fake_stereo": "both channels carry the same audio, so speakers are unknown",
    "clipped": "recorded too loud",
    "extra_channels": "more than two channels",
    "gaps": "parts are missing by the timestamps, and were filled with silence",
    "unread": "bytes behind the end of the audio could not be read",
    "crosstalk": "one channel leaked into the other, which was removed",
}
"""Without `mono`: many recorders record one channel, which is not a defect. Flags of files beside
recordings are none of the audio either.
"""
SEVERE_DEFECTS = ("silent", "truncated", "damaged", "fake_stereo", "gaps", "unread")
"""Defects that lose speech or its speaker; clipped audio can still be transcribed."""

UNNAMED_PERIOD = timedelta(days=30)
MIN_COMPETITOR_CALLS = 100
"""In fewer calls a month, small competitors may not come up at all."""

WAIT_WARNING = timedelta(minutes=15)
"""Same as in `callpipeline doctor`: a run starts within seconds and takes minutes."""
WAIT_ERROR = timedelta(hours=1)
"""Longer than a restart or a run with a full batch takes."""

SPEECH_COLUMNS = {"call_id": CALL, "channel": "channel", "speech_s": "speech s", "words": "words"}
UNHEARD_COLUMNS = {
    "call_id": CALL,
    "channel": "channel",
    "engine": "engine",
    "unheard_s": "unheard s",
    "words": "words",
}
TRANSCRIPT_COLUMNS = {
    "call_id": CALL,
    "channel": "channel",
    "engine": "engine",
    "confidence": "confidence",
}


@dataclass(frozen=True, slots=True)
class CheckTable:
    """A table for people to read."""

    headings: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


Row = Mapping[str, Any]
CheckValue = int | float | str | CheckTable


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check; without `should_notify` another notification covers the failure."""

    passed: bool
    severity: Severity
    description: str
    metadata: Mapping[str, CheckValue]
    should_notify: bool = True

    @property
    def is_alarm(self) -> bool:
        """True if a notification is due."""
        return not self.passed and self.severity is Severity.ERROR and self.should_notify


@dataclass(frozen=True, slots=True)
class CheckThresholds:
    """Shares above which a check warns, and above which it is an error."""

    warning: float
    error: float | None = None

    def severity(self, found: int, checked: int) -> Severity | None:
        """Return the severity of `found` defects in `checked`; None within the usual."""
        if checked == 0 or found / checked <= self.warning:
            return None
        is_error = self.error is not None and checked >= MIN_SAMPLE and found / checked > self.error
        return Severity.ERROR if is_error else Severity.WARNING


@dataclass(frozen=True, slots=True)
class ShareMeasure:
    """A share of calls with a defect, as text: `3 of 200 <units> <what>. <advice>`."""

    limits: CheckThresholds
    units: str
    what: str
    advice: str

    def result(
        self, row: Row, metadata: Mapping[str, CheckValue], *, grave: int | None = None
    ) -> CheckResult:
        """Return the result for `found` of `looked` in the row.

        It is an error only if the share of `grave` defects is one too; by default all are.
        """
        checked, found = row["looked"], row["found"]
        worst = self.limits.severity(found, checked)
        gravest = self.limits.severity(found if grave is None else grave, checked)
        is_error = worst is gravest is Severity.ERROR
        severity = Severity.ERROR if is_error else Severity.WARNING
        numbers = {self.units: checked, "found": found, "percent": percent(found, checked)}
        return CheckResult(
            worst is None, severity, self._describe(checked, found, worst), numbers | dict(metadata)
        )

    def _describe(self, checked: int, found: int, severity: Severity | None) -> str:
        if not checked:
            return f"No {self.units} in the last 24 hours."
        if not found:
            return f"None of {checked:,} {self.units} {self.what}."
        text = f"{found:,} of {checked:,} {self.units} {self.what}"
        if severity is None:
            return f"{text}: no more than the usual {self.limits.warning:.0%}."
        return f"{text}, {percent(found, checked):g} %. {self.advice}"


def format_call_count(count: int) -> str:
    return f"{count:,} call{'' if count == 1 else 's'}"


def percent(found: int, checked: int) -> float:
    """Return a share in percent, 0.0 of nothing."""
    return round(100 * found / checked, 2) if checked else 0.0


def to_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> CheckTable:
    """Convert query rows to a table; `columns` maps columns to headings."""
    cells = (tuple(_cell(row[name]) for name in columns) for row in rows)
    return CheckTable(tuple(columns.values()), tuple(cells))


def _cell(value: Any) -> object:
    if isinstance(value, float):
        return round(value, 2)
    if isinstance(value, list):
        return ", ".join(map(str, cast("list[object]", value)))
    return value


WORDLESS = CheckThresholds(0.01, 0.1)
"""Music on hold and foreign-language announcements are one call in a hundred; one in ten is a
recogniser that transcribes nothing."""
SPARSE = CheckThresholds(0.05, 0.25)
"""Looser than for no words at all: hesitant speakers and bad lines have few words."""
UNHEARD = CheckThresholds(0.05, 0.25)
"""Estimates: hold music, laughter and distant voices pass for speech in a few calls; in a quarter
of them, the recogniser stops before the speech does."""
UNRELIABLE = CheckThresholds(0.1)
"""One bad line in ten is usual. Never an error: the transcripts exist and are marked unreliable."""
UNSOUND = CheckThresholds(0.05, 0.25)
"""Clipping and unanswered calls are usual; a quarter means that the recorder is misconfigured."""
FAILED = CheckThresholds(0.02, 0.1)
"""Some uploads are not audio; more than a tenth is a fault of the installation."""


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The time of a check, and the settings that it depends on."""

    now: datetime
    quiet_h: float | None = None
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))


def speech_has_words(row: Row, _: CheckContext) -> CheckResult:
    measure = ShareMeasure(
        WORDLESS,
        "calls",
        f"transcribed in the last 24 hours have a channel with {WORDLESS_MIN_SPEECH_S:g} seconds "
        "of speech or more and not one word",
        "Listen to one: is it speech, in the recogniser's language? If so, the recogniser fails "
        "without an error: check its model and settings, then rematerialize transcripts.",
    )
    return measure.result(row, {"newest": to_table(row["newest"], SPEECH_COLUMNS)})


def words_keep_up_with_speech(row: Row, _: CheckContext) -> CheckResult:
    measure = ShareMeasure(
        SPARSE,
        "calls",
        f"transcribed in the last 24 hours have a channel with fewer than {WORDS_PER_S:g} words "
        "per second of speech (people speak 2 to 3)",
        "Compare one with its recording: a bad line, another language, or a weak recogniser.",
    )
    return measure.result(row, {"newest": to_table(row["newest"], SPEECH_COLUMNS)})


def all_speech_is_transcribed(row: Row, _: CheckContext) -> CheckResult:
    """Check the unheard speech of recognisers; `speech_has_words` covers calls without words."""
    measure = ShareMeasure(
        UNHEARD,
        "calls",
        f"transcribed by a recogniser in the last 24 hours have a channel with more than "
        f"{MAX_UNHEARD_S:g} seconds of speech and no word near it",
        "Listen to one where its transcript has a gap. If words are missing, the recogniser loses "
        "speech: run `callpipeline engines check`, choose a larger model or another recogniser, "
        "then rematerialize transcripts. If it is music or noise, the words are complete.",
    )
    return measure.result(row, {"newest": to_table(row["newest"], UNHEARD_COLUMNS)})


def transcripts_are_reliable(row: Row, _: CheckContext) -> CheckResult:
    measure = ShareMeasure(
        UNRELIABLE,
        "transcripts",
        "made in the last 24 hours are unreliable (mean word confidence under "
        f"{MIN_RELIABLE_CONFIDENCE})",
        "Their mentions and sentiment are guesses. pocketsphinx has demo quality on real phone "
        "calls: set up a better recogniser, or supply transcripts.",
    )
    mean = row["confidence"]
    metadata: dict[str, CheckValue] = {} if mean is None else {"mean_confidence": round(mean, 3)}
    newest = to_table(row["newest"], TRANSCRIPT_COLUMNS)
    return measure.result(row, metadata | {"newest": newest})


def recordings_are_sound(row: Row, _: CheckContext) -> CheckResult:
    counts: Mapping[str, int] = row["flags"]
    defects = [(flag, counts.get(flag, 0), meaning) for flag, meaning in DEFECTS.items()]
    listed = ", ".join(f"{count:,} {flag}" for flag, count, _ in defects if count)
    measure = ShareMeasure(
        UNSOUND,
        "recordings",
        f"split in the last 24 hours have defects{f' ({listed})' if listed else ''}",
        "Check the recorder or line that they come from: lost audio can't be recovered later.",
    )
    metadata: dict[str, CheckValue] = {flag: count for flag, count, _ in defects}
    found = tuple(defect for defect in defects if defect[1])
    metadata["flags"] = CheckTable(("flag", "calls", "means"), found)
    metadata["newest"] = to_table(row["newest"], {"call_id": CALL, "flags": "flags"})
    return measure.result(row, metadata, grave=row["grave"])


def few_calls_fail(row: Row, _: CheckContext) -> CheckResult:
    """Check the failure rate; unavailable engines alone are covered by `engine_down`."""
    listed = ", ".join(f"{r['calls']:,} {r['error']} at {r['stage']}" for r in row["reasons"][:5])
    measure = ShareMeasure(
        FAILED,
        "calls",
        "that ended in the last 24 hours failed",
        f"By error: {listed}. Once the cause is fixed: `callpipeline retry --failed`.",
    )
    reasons = {"stage": "stage", "error": "error", "calls": "calls"}
    newest = {"call_id": CALL, "stage": "stage", "error": "error"}
    metadata = {
        "reasons": to_table(row["reasons"], reasons),
        "newest": to_table(row["newest"], newest),
    }
    should_notify = FAILED.severity(row["otherwise"], row["looked"]) is Severity.ERROR
    return replace(measure.result(row, metadata), should_notify=should_notify)


def recordings_keep_arriving(row: Row, context: CheckContext) -> CheckResult:
    """Check the age of the newest recording; the sensor `trouble` notifies within a minute."""
    newest: datetime | None = row["created_at"]
    if newest is None:
        return CheckResult(
            True, Severity.WARNING, "No recording has arrived yet.", {}, should_notify=False
        )
    ago_h = (context.now - newest) / timedelta(hours=1)
    text = f"The newest recording arrived {ago_h:.1f} hours ago"
    metadata: dict[str, CheckValue] = {
        "hours_since_the_newest": round(ago_h, 2),
        "newest": f"{newest.astimezone(context.zone):%Y-%m-%d %H:%M} {context.zone}",
    }
    passed = context.quiet_h is None or ago_h <= context.quiet_h
    if not passed:
        text += (
            f"; the limit is {context.quiet_h:g} (CALLPIPELINE_INGESTION_QUIET_H). Check the "
            "recorder and the sensors new_recordings; `callpipeline doctor` shows whether the "
            "sources can be read"
        )
    return CheckResult(passed, Severity.WARNING, f"{text}.", metadata, should_notify=False)


def live_calls_do_not_wait(row: Row, context: CheckContext) -> CheckResult:
    waiting, found, oldest = row["looked"], row["found"], row["oldest_at"]
    waited = context.now - oldest if oldest else timedelta()
    minutes = max(0.0, waited / timedelta(minutes=1))
    metadata: dict[str, CheckValue] = {
        "waiting": waiting,
        "found": found,
        "longest_min": round(minutes, 1),
        "newest": to_table(row["newest"], {"call_id": CALL, "since": "waits since"}),
    }
    severity = Severity.ERROR if waited > WAIT_ERROR else Severity.WARNING
    if not found:
        longest = f", the longest for {minutes:.0f} minutes" if waiting else ""
        text = f"{format_call_count(waiting)} of the live lane waiting{longest}."
        return CheckResult(True, severity, text, metadata)
    return CheckResult(
        False,
        severity,
        f"{format_call_count(found)} of the live lane have waited for more than "
        f"{WAIT_WARNING / timedelta(minutes=1):.0f} minutes, the longest for {minutes:.0f}. Is the "
        "sensor waiting_calls on? Are runs in progress, or stuck? Run `callpipeline doctor`.",
        metadata,
    )


def every_competitor_is_named_now_and_then(row: Row, _: CheckContext) -> CheckResult:
    listed, found, calls = row["looked"], row["found"], row["calls"]
    days = UNNAMED_PERIOD.days
    metadata: dict[str, CheckValue] = {"names": listed, "calls": calls}
    if calls < MIN_COMPETITOR_CALLS:
        text = (
            f"{format_call_count(calls)} completed in the last {days} days; this check needs "
            f"{MIN_COMPETITOR_CALLS}."
        )
        return CheckResult(True, Severity.WARNING, text, metadata)
    metadata["found"] = found
    last_named = {"name": "name", "heard_at": "last named"}
    metadata["names_by_last_time"] = to_table(row["names"], last_named)
    if not found:
        text = f"Every competitor was mentioned in the last {days} days."
        return CheckResult(True, Severity.WARNING, text, metadata)
    return CheckResult(
        False,
        Severity.WARNING,
        f"{found:,} of {listed:,} competitors were not mentioned in {calls:,} calls of the last "
        f"{days} days. The usual cause is a name or alias that isn't written as it is spoken: try "
        "`callpipeline search`, add aliases to the list, and rematerialize competitor_mentions of "
        "these calls; or remove the name.",
        metadata,
    )
