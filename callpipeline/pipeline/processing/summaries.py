"""Summaries of stages for Dagster's event log: counts and names, never what was said."""

from collections.abc import Iterable, Mapping, Sequence

from callpipeline.domain.audio import Speaker, SplitRecording
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import Judgement, UnjudgedMention, call_stance
from callpipeline.domain.transcripts import Transcript

SummaryValue = str | int | float | bool
StageSummary = Mapping[str, SummaryValue]


def summarize_sentiment(
    judgements: Sequence[Judgement],
    missing: Sequence[UnjudgedMention],
    mentions: Iterable[Mention],
) -> StageSummary:
    """Return the stance towards each competitor and the number of unjudged mentions."""
    speakers = {mention.mention_id: mention.speaker for mention in mentions}
    summary: dict[str, SummaryValue] = {
        name: call_stance(
            (speakers.get(j.mention_id, Speaker.UNKNOWN), j.sentiment)
            for j in judgements
            if j.competitor == name
        ).describe()
        for name in sorted({judgement.competitor for judgement in judgements})
    }
    return summary | ({"not_judged": len(missing)} if missing else {})


def summarize_audio(split: SplitRecording) -> StageSummary:
    return {
        "duration_s": round(split.format.duration_s, 1),
        "format": f"{split.format.container} {split.format.codec} {split.format.sample_rate_hz} Hz",
        "channels": ", ".join(f"{c.channel} ({c.speaker})" for c in split.channels),
        "flags": "; ".join(flag.detail for flag in split.flags) or "none",
    }


def summarize_transcripts(transcripts: Sequence[Transcript]) -> StageSummary:
    confidences = [t.confidence for t in transcripts if t.confidence is not None]
    summary: dict[str, SummaryValue] = {
        "words": sum(transcript.word_count for transcript in transcripts),
        "engine": transcripts[0].engine,
        "reliable": all(transcript.is_reliable for transcript in transcripts),
    }
    if voices := sum(len(transcript.voices) for transcript in transcripts):
        summary["voices"] = voices
    if unheard_s := sum(transcript.unheard_s or 0.0 for transcript in transcripts):
        summary["unheard_s"] = round(unheard_s, 1)
    return summary | ({"lowest_confidence": round(min(confidences), 2)} if confidences else {})
