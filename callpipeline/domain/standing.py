"""How far a call is, in what people are told: percentage, current step, and when it may be done.

All of it follows from what the ledger has. A stage that is stored stays so when the call is tried
again, so the percentage goes back only where stages are made anew.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from callpipeline.domain.call import CallState, Stage

WEIGHTS: Mapping[Stage, int] = {
    Stage.CHANNEL_AUDIO: 10,
    Stage.CALL_METRICS: 5,
    Stage.TRANSCRIPTS: 60,
    Stage.COMPETITOR_MENTIONS: 10,
    Stage.COMPETITOR_SENTIMENT: 14,
}
"""Per cent of a call's work, about; the last one is that the call is complete."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`percentage` is 0..100, `step` in the words of the API, also of a call that has ended."""

    percentage: int
    step: str


def progress(
    state: CallState,
    stored: Collection[Stage],
    *,
    channels: Collection[str] = (),
    competitors: tuple[str, ...] = (),
    judged: int = 0,
    error_stage: str | None = None,
) -> Progress:
    """Of a call with these stages stored. `competitors` are those named in it, as they come, of
    which `judged` are."""
    percentage = sum(WEIGHTS[stage] for stage in set(stored))
    doing = _doing(stored, channels, competitors, judged)
    match state:
        case CallState.COMPLETED:
            return Progress(100, "completed")
        case CallState.FAILED:
            return Progress(percentage, f"failed at {_words_of(error_stage, channels)}")
        case CallState.PROCESSING:
            return Progress(percentage, doing)
        case CallState.PENDING:
            return Progress(percentage, f"waiting, then {doing}" if stored else "waiting")
        case CallState.DUPLICATE:
            return Progress(100, "the same recording as another call")
        case CallState.ERASED:
            return Progress(100, "erased")


def _doing(
    stored: Collection[Stage], channels: Collection[str], competitors: tuple[str, ...], judged: int
) -> str:
    """What is done with the stages that are stored, or is next."""
    missing = next((stage for stage in Stage if stage not in stored), None)
    if missing is None:
        return "finalising"
    if missing is Stage.COMPETITOR_SENTIMENT and competitors:
        place = min(judged, len(competitors) - 1)
        return f"sentiment for {competitors[place]} ({place + 1}/{len(competitors)})"
    return _words_of(missing, channels)


def _words_of(stage: str | None, channels: Collection[str]) -> str:
    """Channels are transcribed at the same time, so it is one step of both."""
    match stage:
        case Stage.CHANNEL_AUDIO:
            return "split"
        case Stage.CALL_METRICS | Stage.TRANSCRIPTS:
            sides = [side for side in ("left", "right") if side in channels]
            return f"transcribing {' and '.join(sides)}".rstrip()
        case Stage.COMPETITOR_MENTIONS:
            return "analysing for competitors"
        case Stage.COMPETITOR_SENTIMENT:
            return "sentiment"
        case None:
            return "an unknown stage"
        case _:
            return stage


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast recent calls were: those ended in the last hour, and seconds of work by stage."""

    ended_last_hour: int
    took_s: Mapping[Stage, float]

    def remaining_s(self, stored: Collection[Stage]) -> float | None:
        """Seconds of work that is left of a call; None where no call tells."""
        if not self.took_s:
            return None
        return sum(took for stage, took in self.took_s.items() if stage not in stored)


def estimate_s(
    state: CallState, stored: Collection[Stage], pace: Pace, *, ahead: int = 0, waits_s: float = 0
) -> float | None:
    """Seconds until a call may be done; None where nothing tells, or it has ended.

    `ahead` calls are taken before it, and it is not taken for `waits_s` seconds. Calls go through
    one by one at worst, and no slower than those of the last hour did; that hour was perhaps a
    quiet one, so the shorter of the two counts.
    """
    own_s = pace.remaining_s(stored)
    if state.is_final or own_s is None:
        return None
    if state is CallState.PROCESSING:
        return own_s
    one_by_one_s = ahead * sum(pace.took_s.values())
    as_before_s = ahead * 3600 / pace.ended_last_hour if pace.ended_last_hour else one_by_one_s
    return max(waits_s, min(one_by_one_s, as_before_s)) + own_s
