"""What the checks of calls decide: pure, from a row of a query to a finding.

Each looks at what was made in the last day, not at one call: a check that turned green with each
good call would hide a bad batch. Descriptions are read by the person on call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from callpipeline.domain.notification import Severity
from callpipeline.domain.transcript import UNRELIABLE_BELOW
from callpipeline.pipeline.findings import (
    CALL,
    Fact,
    Finding,
    Limits,
    Measure,
    Row,
    Table,
    in_calls,
    table,
)

WORDLESS_LEAST_S = 5.0
"""Of speech. The detector takes a ring, a cough or a tone for a voice, but hardly for so long."""
SLOW_LEAST_S = 10.0
"""Of speech. Who only says "yes" and "hold on" has few words, and for good reason."""
WORDS_PER_S = 0.5
"""People speak 2 to 3 words a second of speech; a fifth of that was not understood."""

WORDLESS = Limits(0.01, 0.1)
"""Music on hold and announcements in a foreign language are one call in a hundred; one in ten is a
recogniser that hears nothing."""
SLOW = Limits(0.05, 0.25)
"""Looser than for no words at all: hesitant speakers and bad lines are few words, rightly."""
UNRELIABLE = Limits(0.1)
"""One bad line in ten is usual. Never an error: the transcripts are there and say so themselves."""
UNSOUND = Limits(0.05, 0.25)
"""Telephones clip and callers do not answer now and then; a quarter is a recorder that is set up
wrongly."""
FAILED = Limits(0.02, 0.1)
"""Uploads that are no audio happen; above a tenth it is something of ours."""

WRONG = {
    "silent": "nothing is to be heard on a channel",
    "truncated": "the file ends before its header says",
    "damaged": "parts could not be decoded",
    "fake_stereo": "both channels carry the same sound, so nobody knows who speaks",
    "clipped": "recorded too loud",
    "extra_channels": "channels beyond the second were not used",
}
"""Not `mono`: that is how many a recorder works, and no fault of a recording."""
GRAVE = ("silent", "truncated", "damaged", "fake_stereo")
"""What was said, or who said it, is lost; what is clipped or left over is still heard."""

QUIET_NAME = timedelta(days=30)
LEAST_NAME_CALLS = 100
"""In fewer calls a month the names of small competitors do not come up, however they are spelt."""

WAIT_WARNING = timedelta(minutes=15)
"""As `callpipeline doctor` has it: a run begins within seconds, and takes minutes."""
WAIT_ERROR = timedelta(hours=1)
"""Longer than a restart or a run of a full batch takes: nobody works on them."""


SPOKEN = {"call_id": CALL, "channel": "channel", "speech_s": "speech s", "words": "words"}
TRANSCRIBED = {
    "call_id": CALL,
    "channel": "channel",
    "engine": "engine",
    "confidence": "confidence",
}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision depends on beside the calls: the time, and what is set."""

    now: datetime
    quiet_h: float | None = None


def speech_has_words(row: Row, _: Circumstances) -> Finding:
    measure = Measure(
        WORDLESS,
        "calls",
        f"transcribed in the last 24 hours have a channel with {WORDLESS_LEAST_S:g} seconds of "
        "speech or more and not one word",
        "Listen to one: is it speech, in the recogniser's language? If so the recogniser fails "
        "without an error: look at its model and settings, then materialize transcripts anew.",
    )
    return measure.finding(row, {"newest": table(row["newest"], SPOKEN)})


def words_keep_up_with_speech(row: Row, _: Circumstances) -> Finding:
    measure = Measure(
        SLOW,
        "calls",
        f"transcribed in the last 24 hours have a channel with fewer than {WORDS_PER_S:g} words a "
        "second of speech (people speak 2 to 3)",
        "Compare one with its recording: a bad line, another language, or a recogniser that is "
        "not up to it.",
    )
    return measure.finding(row, {"newest": table(row["newest"], SPOKEN)})


def transcripts_are_reliable(row: Row, _: Circumstances) -> Finding:
    measure = Measure(
        UNRELIABLE,
        "transcripts",
        f"made in the last 24 hours are unreliable (mean word confidence under {UNRELIABLE_BELOW})",
        "Mentions and sentiment that rest on them are guesses. pocketsphinx is of demo quality on "
        "real telephone calls: set up a better recogniser, or supply transcripts.",
    )
    mean = row["confidence"]
    facts: dict[str, Fact] = {} if mean is None else {"mean_confidence": round(mean, 3)}
    return measure.finding(row, facts | {"newest": table(row["newest"], TRANSCRIBED)})


def recordings_are_sound(row: Row, _: Circumstances) -> Finding:
    counts: Mapping[str, int] = row["flags"]
    known = [(flag, counts.get(flag, 0), why) for flag, why in WRONG.items()]
    listed = ", ".join(f"{count:,} {flag}" for flag, count, _ in known if count)
    measure = Measure(
        UNSOUND,
        "recordings",
        f"taken apart in the last 24 hours are not sound{f' ({listed})' if listed else ''}",
        "Look at the recorder or line that they come from: what is lost cannot be made up later.",
    )
    facts: dict[str, Fact] = {flag: count for flag, count, _ in known}
    facts["flags"] = Table(("flag", "calls", "means"), tuple(one for one in known if one[1]))
    facts["newest"] = table(row["newest"], {"call_id": CALL, "flags": "flags"})
    return measure.finding(row, facts, grave=row["grave"])


def few_calls_fail(row: Row, _: Circumstances) -> Finding:
    """No news where it is an error by engines alone that were away: people hear of these."""
    listed = ", ".join(f"{r['calls']:,} {r['error']} at {r['stage']}" for r in row["reasons"][:5])
    measure = Measure(
        FAILED,
        "calls",
        "that ended in the last 24 hours failed",
        f"By error: {listed}. When its cause is gone: `callpipeline retry --failed`.",
    )
    reasons = {"stage": "stage", "error": "error", "calls": "calls"}
    newest = {"call_id": CALL, "stage": "stage", "error": "error"}
    facts = {"reasons": table(row["reasons"], reasons), "newest": table(row["newest"], newest)}
    is_news = FAILED.severity(row["otherwise"], row["looked"]) is Severity.ERROR
    return replace(measure.finding(row, facts), is_news=is_news)


def recordings_keep_arriving(row: Row, about: Circumstances) -> Finding:
    """No news at any time: the sensor `trouble` tells of it within a minute."""
    newest: datetime | None = row["created_at"]
    if newest is None:
        return Finding(True, Severity.WARNING, "No recording has come in yet.", {}, is_news=False)
    ago_h = (about.now - newest) / timedelta(hours=1)
    said = f"The newest recording came in {ago_h:.1f} hours ago"
    facts: dict[str, Fact] = {
        "hours_since_the_newest": round(ago_h, 2),
        "newest": f"{newest.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
    }
    passed = about.quiet_h is None or ago_h <= about.quiet_h
    if not passed:
        said += (
            f"; usual are {about.quiet_h:g} at most (CALLPIPELINE_INGESTION_QUIET_H). Look at the "
            "recorder, and at the sensors new_recordings; `callpipeline doctor` tells whether the "
            "sources can be read"
        )
    return Finding(passed, Severity.WARNING, f"{said}.", facts, is_news=False)


def live_calls_do_not_wait(row: Row, about: Circumstances) -> Finding:
    looked, found, oldest = row["looked"], row["found"], row["oldest_at"]
    waited = about.now - oldest if oldest else timedelta()
    minutes = max(0.0, waited / timedelta(minutes=1))
    facts: dict[str, Fact] = {"waiting": looked, "found": found, "longest_min": round(minutes, 1)}
    facts["newest"] = table(row["newest"], {"call_id": CALL, "since": "waits since"})
    severity = Severity.ERROR if waited > WAIT_ERROR else Severity.WARNING
    if not found:
        said = f", the longest for {minutes:.0f} minutes" if looked else ""
        return Finding(True, severity, f"Waiting now: {in_calls(looked)} of today{said}.", facts)
    return Finding(
        False,
        severity,
        f"{in_calls(found)} of the live lane have waited for more than "
        f"{WAIT_WARNING / timedelta(minutes=1):.0f} minutes, the longest for {minutes:.0f}. Is the "
        "sensor waiting_calls on, and are runs under way or stuck? `callpipeline doctor` tells.",
        facts,
    )


def every_competitor_is_named_now_and_then(row: Row, _: Circumstances) -> Finding:
    looked, found, calls = row["looked"], row["found"], row["calls"]
    facts: dict[str, Fact] = {"names": looked, "calls": calls}
    if calls < LEAST_NAME_CALLS:
        said = f"Completed of the last {QUIET_NAME.days} days: {in_calls(calls)}. Of fewer than "
        said += f"{LEAST_NAME_CALLS} nothing is concluded."
        return Finding(True, Severity.WARNING, said, facts)
    facts["found"] = found
    facts["names_by_last_time"] = table(row["names"], {"name": "name", "heard_at": "last named"})
    if not found:
        said = f"Each name that was listed so long was named in the last {QUIET_NAME.days} days."
        return Finding(True, Severity.WARNING, said, facts)
    return Finding(
        False,
        Severity.WARNING,
        f"{found:,} of {looked:,} competitors were not named once in {calls:,} calls of the last "
        f"{QUIET_NAME.days} days. The usual cause is a name or alias that is not written as it is "
        "said: try `callpipeline search`, add aliases to the list, and materialize "
        "competitor_mentions of these calls anew; or take the name out.",
        facts,
    )
