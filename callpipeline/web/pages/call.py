"""The page of a call (`/calls/{call_id}`): status, player, transcript, mentions and metrics."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from callpipeline.domain.audio import CallMetrics, QualityFlag, Speaker
from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.domain.competitors.mentions import Review
from callpipeline.domain.redaction.masking import count_kinds
from callpipeline.domain.transcripts import (
    MAX_UNHEARD_S,
    MIN_RELIABLE_CONFIDENCE,
    SUPPLIED_ENGINE,
    Segment,
    Voice,
)
from callpipeline.http_server.responses import gzip_response
from callpipeline.storage.reading.call_detail import CallDetail, ChannelDetail
from callpipeline.web.pages.corrections import corrections_view
from callpipeline.web.pages.mentions_view import SPEAKER_LABELS, mention_list, transcript_lines
from callpipeline.web.pages.rendering import clock, in_page_zone, link_person, page, timestamp
from callpipeline.web.pages.status_view import call_header
from callpipeline.web.state import AppState, CallId, State, call_detail

router = APIRouter()

NO_STORE = {"Cache-Control": "no-store"}
STAGE_LABELS = {
    Stage.CHANNEL_AUDIO: "Split",
    Stage.CALL_METRICS: "Measured",
    Stage.TRANSCRIPTS: "Transcribed",
    Stage.COMPETITOR_MENTIONS: "Mentions found",
    Stage.COMPETITOR_SENTIMENT: "Sentiment judged",
}
Details = Sequence[tuple[str, object]]


@dataclass(frozen=True, slots=True)
class PlayerView:
    """Sources of the audio player; `lanes` are the speakers, in the order of the channels."""

    url: str
    peaks_url: str
    duration_s: float
    lanes: Sequence[str]


@dataclass(frozen=True, slots=True)
class TalkTime:
    """Time that one speaker talks, that both talk, or that is silent."""

    name: str
    kind: str
    seconds: float
    share: float


KIND_LABELS: Mapping[str, str] = {
    "card": "card number",
    "bank": "bank details",
    "phone": "phone number",
    "email": "email address",
}


@dataclass(frozen=True, slots=True)
class VoicesView:
    """A question about the roles of a mono call's voices, and its answers: voice and label."""

    question: str
    choices: Sequence[tuple[int, str]]


@router.get("/calls/{call_id}")
def call(state: State, request: Request, call_id: CallId, t: str = "") -> Response:
    detail = call_detail(state, call_id)
    [tracked] = state.tracker.track([detail])
    context = {"start_s": _start_s(t), **_results(state, detail)}
    html = page(request, "call.html", header=call_header(tracked, state.links), **context)
    return gzip_response(request, bytes(html.body), "text/html; charset=utf-8", NO_STORE)


def _start_s(t: str) -> float | None:
    """Parse the start position in seconds; None for the beginning and for invalid values."""
    try:
        second = float(t)
    except ValueError:
        return None
    return round(second, 3) if 0 < second < 1e7 else None


def _results(state: AppState, detail: CallDetail) -> dict[str, Any]:
    call_id = detail.call_id
    segments = state.storage.calls.segments(call_id)
    reviews = state.storage.reviews.in_force(call_id)
    masked = count_kinds(state.storage.results.redactions(call_id))
    deletions = state.storage.calls.deletions(call_id)
    context = results_context(detail, segments, deletions, reviews, masked)
    voices = state.storage.speakers.voices(call_id) if segments else ()
    is_outdated = has_older_list(state, detail)
    context |= {"voices": voices_view(voices), "is_outdated": is_outdated}
    decision = state.storage.speakers.decision(call_id) if voices else None
    context |= {"voices_version": decision.decision_id if decision else 0}
    context |= {"is_correctable": detail.state is CallState.COMPLETED}
    context |= {"corrected_words": len(state.storage.words.history(call_id))}
    return context | {"corrections": corrections_view(state.storage.descriptions, detail)}


def has_older_list(state: AppState, detail: CallDetail) -> bool:
    """Return true if another competitor list than that in force made the mentions."""
    current = state.storage.catalogs.current()
    version = _catalog_version(detail)
    return current is not None and version is not None and version != current.version


def _catalog_version(detail: CallDetail) -> str | None:
    stages = (each for each in detail.stage_records if each.stage is Stage.COMPETITOR_MENTIONS)
    return next((each.catalog_version for each in stages), None)


def voices_view(voices: Sequence[Voice]) -> VoicesView | None:
    """Return the choices for the roles of voices; None if there are no voices."""
    if not voices:
        return None
    agent = next((voice.number for voice in voices if voice.speaker is Speaker.AGENT), None)
    if agent is None:
        choices = [(voice.number, f"Speaker {voice.number} is the agent") for voice in voices]
        return VoicesView("Two speakers were found. Which of them is the agent?", choices)
    swapped = next(voice.number for voice in voices if voice.number != agent)
    return VoicesView("Are agent and customer the wrong way round?", [(swapped, "Swap speakers")])


def results_context(
    detail: CallDetail,
    segments: Sequence[Segment],
    deletions: Mapping[Stage, datetime],
    reviews: Mapping[str, Review],
    masked: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the template context for everything below the header.

    `deletions` are stages deleted by retention, `reviews` the decisions in force by mention, and
    `masked` the numbers that were masked by kind.
    """
    call_id = detail.call_id
    mentions = mention_list(detail.mentions, reviews)
    has_audio, has_transcript = _has_audio(detail), bool(segments)
    return {
        "has_results": bool(detail.stage_records or detail.mentions or deletions),
        "player": _player(detail),
        "no_audio": _no_audio(detail, deletions),
        "lines": transcript_lines(segments, mentions.all),
        "no_transcript": _no_transcript(detail, deletions),
        "words_url": f"/calls/{call_id}/words" if has_transcript else "",
        "warnings": list(_warnings(detail)),
        "talk_times": list(_talk_times(detail.metrics)) if detail.metrics else [],
        "details": [*_details(detail), *_masked(masked)],
        "flags": [_flag(flag) for flag in detail.flags],
        "downloads": list(_downloads(call_id, has_audio=has_audio, has_transcript=has_transcript)),
        **mentions_context(detail, reviews),
    }


def mentions_context(
    detail: CallDetail,
    reviews: Mapping[str, Review],
    problem: str | None = None,
    *,
    is_outdated: bool = False,
) -> dict[str, Any]:
    """Return the context of `call/mentions.html`, which a decision re-renders on its own."""
    mentions = mention_list(detail.mentions, reviews)
    return {
        "call_id": detail.call_id,
        "to_review": mentions.to_review,
        "groups": mentions.groups,
        "dismissed": mentions.dismissed,
        "no_mentions": _no_mentions(detail),
        "speaker_labels": SPEAKER_LABELS,
        "problem": problem,
        "is_outdated": is_outdated,
    }


def _has_audio(detail: CallDetail) -> bool:
    return _has_stage(detail, Stage.CHANNEL_AUDIO)


def _has_stage(detail: CallDetail, stage: Stage) -> bool:
    return any(each.stage is stage for each in detail.stage_records)


def _player(detail: CallDetail) -> PlayerView | None:
    if not _has_audio(detail):
        return None
    channels = sorted(detail.channels, key=lambda c: c.channel.position)
    base = f"/calls/{detail.call_id}"
    # Splitting again changes the audio, and numbers are muted when it is transcribed.
    changing = (Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS)
    stored_at = max(s.stored_at for s in detail.stage_records if s.stage in changing)
    version = f"{stored_at.timestamp():.0f}"
    return PlayerView(
        url=f"{base}/audio.wav?v={version}",
        peaks_url=f"{base}/peaks?v={version}",
        duration_s=round(max(channel.duration_s for channel in channels), 3),
        lanes=[str(channel.speaker) for channel in channels],
    )


def _no_audio(detail: CallDetail, deletions: Mapping[Stage, datetime]) -> str | None:
    if _has_audio(detail):
        return None
    if at := deletions.get(Stage.CHANNEL_AUDIO):
        return (
            f"Audio deleted on {in_page_zone(at):%Y-%m-%d} under your retention policy. "
            "The transcript and results are kept."
        )
    return "No audio: the recording couldn't be split."


def _no_transcript(detail: CallDetail, deletions: Mapping[Stage, datetime]) -> str:
    if at := deletions.get(Stage.TRANSCRIPTS):
        return f"Transcript deleted on {in_page_zone(at):%Y-%m-%d} under your retention policy."
    if _has_stage(detail, Stage.TRANSCRIPTS):
        is_unheard = any(map(_has_unheard_speech, detail.channels))
        return "No words recognised." if is_unheard else "No speech detected."
    return "Not transcribed yet."


def _no_mentions(detail: CallDetail) -> str:
    if _has_stage(detail, Stage.COMPETITOR_MENTIONS):
        return "No competitor mentions."
    return "Not checked for competitors yet."


def _warnings(detail: CallDetail) -> Iterator[str]:
    """Warn about transcripts with low confidence, and about speech without words."""
    for channel in detail.channels:
        if channel.is_reliable is False:
            speaker = SPEAKER_LABELS[channel.speaker].lower()
            yield (
                f"The {speaker}'s transcript may be unreliable: average confidence is "
                f"{channel.confidence or 0:.0%}, below {MIN_RELIABLE_CONFIDENCE:.0%}. "
                "Listen to the recording to check it."
            )
        if _has_unheard_speech(channel):
            yield (
                f"{channel.unheard_s:.0f} s of speech{_on_channel(channel.speaker)} have no words: "
                "the recogniser may have missed them. Listen where the transcript has a gap."
            )


def _has_unheard_speech(channel: ChannelDetail) -> bool:
    return (channel.unheard_s or 0.0) > MAX_UNHEARD_S


def _on_channel(speaker: Speaker) -> str:
    """Return which channel is meant; nothing for a mono recording."""
    is_mono = speaker is Speaker.UNKNOWN
    return "" if is_mono else f" on the {SPEAKER_LABELS[speaker].lower()}'s channel"


def _talk_times(metrics: CallMetrics) -> Iterator[TalkTime]:
    whole = metrics.duration_s or 1.0
    parts = (
        ("Agent", "agent", metrics.agent_talk_s),
        ("Customer", "customer", metrics.customer_talk_s),
        ("Speakers", "unknown", metrics.unknown_talk_s),
        ("Overlap", "overlap", metrics.overlap_s),
        ("Silence", "silence", metrics.silence_s),
    )
    for name, kind, seconds in parts:
        if kind in _shown_parts(metrics):
            yield TalkTime(name, kind, seconds, min(1.0, seconds / whole))


def _shown_parts(metrics: CallMetrics) -> Sequence[str]:
    """Return the parts to show; in a mono recording, overlap can't be measured."""
    if not metrics.unknown_talk_s:
        return ("agent", "customer", "overlap", "silence")
    has_roles = metrics.agent_talk_s or metrics.customer_talk_s
    return ("agent", "customer", "unknown", "silence") if has_roles else ("unknown", "silence")


def _details(detail: CallDetail) -> Iterator[tuple[str, object]]:
    yield "Date", timestamp(detail.took_place_at)
    for name, value in detail.metadata.items():
        yield name.replace("_", " ").capitalize(), link_person(name, value)
    if detail.metrics:
        yield "Length", clock(detail.metrics.duration_s)
        yield "Longest silence", clock(detail.metrics.longest_silence_s)
        yield "Speech detection", detail.metrics.speech_detector
    if detail.codec:
        rate = f"{(detail.sample_rate_hz or 0) / 1000:g} kHz"
        channels = f"{detail.channel_count} channel{'' if detail.channel_count == 1 else 's'}"
        yield "Format", f"{detail.container}, {detail.codec}, {rate}, {channels}"
    for channel in detail.channels:
        yield f"{SPEAKER_LABELS[channel.speaker]} channel", _channel(channel)
    for stage in detail.stage_records:
        yield STAGE_LABELS[stage.stage], _stage(stage.engine, timestamp(stage.stored_at))
    if version := _catalog_version(detail):
        yield "Competitor list", f"version {version}"
    yield "Call ID", detail.call_id


def _masked(counts: Mapping[str, int]) -> Iterator[tuple[str, object]]:
    if counts:
        listed = ", ".join(f"{count} × {KIND_LABELS[kind]}" for kind, count in counts.items())
        yield "Masked and muted", listed


def _channel(channel: ChannelDetail) -> str:
    parts = [str(channel.channel), f"{channel.rms_dbfs:.0f} dBFS"]
    if channel.word_count is not None:
        parts.append(f"{channel.word_count:,} words")
    if channel.confidence is not None:
        parts.append(f"confidence {channel.confidence:.0%}")
    if channel.unheard_s:
        parts.append(f"{channel.unheard_s:.1f} s of speech without words")
    return ", ".join(parts)


def _stage(engine: str | None, at: str) -> object:
    if engine is None:
        return at
    source = "from a supplied transcript" if engine == SUPPLIED_ENGINE else f"by {engine}"
    return type(at)(f"{at} ") + source  # Markup escapes what is added to it


def _flag(flag: QualityFlag) -> str:
    channel = f" ({flag.channel})" if flag.channel else ""
    return f"{flag.flag.replace('_', ' ').capitalize()}{channel}: {flag.detail}"


def _downloads(
    call_id: str, *, has_audio: bool, has_transcript: bool
) -> Iterator[tuple[str, str, str]]:
    """Yield URL, label and description of each file."""
    base = f"/calls/{call_id}"
    yield f"{base}/call.json", "JSON", "all details and results"
    if has_transcript:
        yield f"{base}/segments.csv", "CSV", "transcript with times"
        yield f"{base}/transcript.json", "Transcript", "words with times, as JSON"
        yield f"{base}/transcript.srt", "SRT", "subtitles"
        yield f"{base}/transcript.vtt", "VTT", "subtitles for the web"
    if has_audio:
        yield f"{base}/audio.wav?download=true", "WAV", "audio, one channel per speaker"
