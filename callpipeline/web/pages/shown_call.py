"""A call as its page shows it: what is known, what it sounds like, and what is missing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from callpipeline.domain.audio import QualityFlag
from callpipeline.domain.call import Stage
from callpipeline.domain.metrics import CallMetrics
from callpipeline.domain.review import Review
from callpipeline.domain.transcript import SUPPLIED, UNRELIABLE_BELOW, Segment
from callpipeline.storage.reading.one_call import CallSeen, ChannelSeen
from callpipeline.web.pages.rendering import clock, moment, shown
from callpipeline.web.pages.shown_lines import lines
from callpipeline.web.pages.shown_mentions import SPEAKERS, shown_mentions

STAGES = {
    Stage.CHANNEL_AUDIO: "Taken apart",
    Stage.CALL_METRICS: "Measured",
    Stage.TRANSCRIPTS: "Transcribed",
    Stage.COMPETITOR_MENTIONS: "Mentions found",
    Stage.COMPETITOR_SENTIMENT: "Mentions judged",
}
Facts = Sequence[tuple[str, object]]


@dataclass(frozen=True, slots=True)
class Sound:
    """What the player needs: lanes are the speakers of the channels, in the order of the file."""

    url: str
    peaks_url: str
    duration_s: float
    lanes: Sequence[str]


@dataclass(frozen=True, slots=True)
class TalkPart:
    """How much of the call somebody speaks, or nobody does."""

    name: str
    look: str
    seconds: float
    share: float


def shown_call(
    seen: CallSeen,
    said: Sequence[Segment],
    deleted: Mapping[Stage, datetime],
    decided: Mapping[str, Review],
) -> dict[str, Any]:
    """All that the template is given. `deleted` says since when stages are not kept any more,
    `decided` what people decided of mentions."""
    mentions = shown_mentions(seen.mentions, decided)
    call = seen.call
    return {
        "here": call.call_id,
        "shows_results": bool(seen.stages or seen.mentions or deleted),
        "sound": _sound(seen),
        "no_sound": _no_sound(seen, deleted),
        "lines": lines(said, mentions.all),
        "no_lines": _no_lines(seen, deleted),
        "words_url": f"/calls/{call.call_id}/words" if said else "",
        "warnings": list(_warnings(seen)),
        "talk": list(_talk(seen.metrics)) if seen.metrics else [],
        "facts": list(_facts(seen)),
        "flags": [_flag(flag) for flag in seen.flags],
        "downloads": list(_downloads(call.call_id, is_heard=_is_kept(seen), is_read=bool(said))),
        "speaker_names": SPEAKERS,
        **of_mentions(seen, decided),
    }


def of_mentions(seen: CallSeen, decided: Mapping[str, Review]) -> dict[str, Any]:
    """What the list of mentions is given, which also stands alone after a decision."""
    mentions = shown_mentions(seen.mentions, decided)
    return {
        "here": seen.call.call_id,
        "to_review": mentions.to_review,
        "groups": mentions.groups,
        "rejected": mentions.rejected,
        "no_mentions": _no_mentions(seen),
        "speaker_names": SPEAKERS,
        "trouble": None,
        "opened": False,
    }


def _is_kept(seen: CallSeen) -> bool:
    return any(stage.stage is Stage.CHANNEL_AUDIO for stage in seen.stages)


def _sound(seen: CallSeen) -> Sound | None:
    if not _is_kept(seen):
        return None
    channels = sorted(seen.channels, key=lambda c: c.channel)
    base = f"/calls/{seen.call.call_id}"
    kept_at = next(s.stored_at for s in seen.stages if s.stage is Stage.CHANNEL_AUDIO)
    version = f"{kept_at.timestamp():.0f}"  # the sound is another one when it is made anew
    return Sound(
        url=f"{base}/audio.wav?v={version}",
        peaks_url=f"{base}/peaks?v={version}",
        duration_s=round(max(channel.duration_s for channel in channels), 3),
        lanes=[str(channel.speaker) for channel in channels],
    )


def _no_sound(seen: CallSeen, deleted: Mapping[Stage, datetime]) -> str | None:
    if _is_kept(seen):
        return None
    if at := deleted.get(Stage.CHANNEL_AUDIO):
        return (
            f"The sound was deleted on {at:%Y-%m-%d}, when its time was over. "
            "What was said and found is kept."
        )
    return "There is no sound to play: the recording was not taken apart."


def _no_lines(seen: CallSeen, deleted: Mapping[Stage, datetime]) -> str:
    if at := deleted.get(Stage.TRANSCRIPTS):
        return f"What was said was deleted on {at:%Y-%m-%d}, when its time was over."
    if any(stage.stage is Stage.TRANSCRIPTS for stage in seen.stages):
        return "Nobody says anything in this call."
    return "The call is not transcribed."


def _no_mentions(seen: CallSeen) -> str:
    if any(stage.stage is Stage.COMPETITOR_MENTIONS for stage in seen.stages):
        return "No competitor is named."
    return "The call was not searched for competitors."


def _warnings(seen: CallSeen) -> Iterator[str]:
    """What a person should know before believing the words."""
    for channel in seen.channels:
        if channel.is_reliable is False:
            who = SPEAKERS[channel.speaker].lower()
            yield (
                f"The transcript of the {who} is not reliable: its words are "
                f"{channel.confidence or 0:.0%} sure on average, below {UNRELIABLE_BELOW:.0%}. "
                "Listen before you rely on it."
            )


def _talk(metrics: CallMetrics) -> Iterator[TalkPart]:
    whole = metrics.duration_s or 1.0
    parts = (
        ("Agent", "agent", metrics.agent_talk_s),
        ("Customer", "customer", metrics.customer_talk_s),
        ("Speakers", "unknown", metrics.unknown_talk_s),
        ("Both at once", "overlap", metrics.overlap_s),
        ("Silence", "silence", metrics.silence_s),
    )
    is_mono = metrics.unknown_talk_s > 0
    wanted = ("unknown", "silence") if is_mono else ("agent", "customer", "overlap", "silence")
    for name, look, seconds in parts:
        if look in wanted:
            yield TalkPart(name, look, seconds, min(1.0, seconds / whole))


def _facts(seen: CallSeen) -> Iterator[tuple[str, object]]:
    yield "Took place", moment(seen.call.took_place_at)
    for name, value in seen.metadata.items():
        yield name.replace("_", " ").capitalize(), shown(value)
    if seen.metrics:
        yield "Length", clock(seen.metrics.duration_s)
        yield "Longest silence", clock(seen.metrics.longest_silence_s)
        yield "Speech found by", seen.metrics.speech_detector
    if seen.codec:
        rate = f"{(seen.sample_rate_hz or 0) / 1000:g} kHz"
        many = f"{seen.channel_count} channel{'' if seen.channel_count == 1 else 's'}"
        yield "Format", f"{seen.container}, {seen.codec}, {rate}, {many}"
    for channel in seen.channels:
        yield f"{SPEAKERS[channel.speaker]} channel", _of_channel(channel)
    for stage in seen.stages:
        yield STAGES[stage.stage], _of_stage(stage.engine, moment(stage.stored_at))
    yield "Call", seen.call.call_id


def _of_channel(channel: ChannelSeen) -> str:
    parts = [str(channel.channel), f"{channel.rms_dbfs:.0f} dBFS"]
    if channel.word_count is not None:
        parts.append(f"{channel.word_count:,} words")
    if channel.confidence is not None:
        parts.append(f"{channel.confidence:.0%} sure")
    return ", ".join(parts)


def _of_stage(engine: str | None, at: str) -> object:
    if engine is None:
        return at
    by = "as supplied beside the recording" if engine == SUPPLIED else f"by {engine}"
    return type(at)(f"{at} ") + by  # Markup escapes what is added to it


def _flag(flag: QualityFlag) -> str:
    where = f" ({flag.channel})" if flag.channel else ""
    return f"{flag.flag.replace('_', ' ').capitalize()}{where}: {flag.detail}"


def _downloads(call_id: str, *, is_heard: bool, is_read: bool) -> Iterator[tuple[str, str, str]]:
    base = f"/calls/{call_id}"
    yield f"{base}/call.json", "JSON", "all that is known"
    if is_read:
        yield f"{base}/segments.csv", "CSV", "what was said, by time"
        yield f"{base}/transcript.json", "Transcript", "words with times, JSON"
        yield f"{base}/transcript.srt", "SRT", "subtitles"
        yield f"{base}/transcript.vtt", "VTT", "subtitles for the web"
    if is_heard:
        yield f"{base}/audio.wav?download=true", "WAV", "the sound, a channel each"
