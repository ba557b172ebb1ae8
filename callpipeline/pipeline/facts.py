"""What a person wants to see at a glance of what a stage made.

Counts and names of competitors, and never a word of what was said: it goes to Dagster's event log,
which is no place for that.
"""

from collections.abc import Mapping, Sequence

from callpipeline.domain.audio import SplitRecording
from callpipeline.domain.sentiment import Judgement, Unjudged, overall
from callpipeline.domain.transcript import Transcript

Fact = str | int | float | bool
Facts = Mapping[str, Fact]


def sentiment_facts(made: Sequence[Judgement], missing: Sequence[Unjudged]) -> Facts:
    """The stance towards each competitor, and how many mentions could not be judged."""
    facts: dict[str, Fact] = {
        name: str(overall(j.sentiment for j in made if j.competitor == name))
        for name in sorted({judgement.competitor for judgement in made})
    }
    return facts | ({"not_judged": len(missing)} if missing else {})


def audio_facts(split: SplitRecording) -> Facts:
    return {
        "duration_s": round(split.format.duration_s, 1),
        "format": f"{split.format.container} {split.format.codec} {split.format.sample_rate_hz} Hz",
        "channels": ", ".join(f"{c.channel} ({c.speaker})" for c in split.channels),
        "flags": "; ".join(flag.detail for flag in split.flags) or "none",
    }


def transcript_facts(transcripts: Sequence[Transcript]) -> Facts:
    sure = [t.confidence for t in transcripts if t.confidence is not None]
    facts: dict[str, Fact] = {
        "words": sum(transcript.word_count for transcript in transcripts),
        "engine": transcripts[0].engine,
        "reliable": all(transcript.is_reliable for transcript in transcripts),
    }
    return facts | ({"lowest_confidence": round(min(sure), 2)} if sure else {})
