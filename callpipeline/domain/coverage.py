"""Coverage of speech by words: the detected speech that a transcript has no words for."""

from collections.abc import Iterable
from dataclasses import replace

from callpipeline.domain.audio import Interval, subtract_intervals
from callpipeline.domain.transcripts import Transcript

WORD_REACH_S = 1.0
"""Speech up to this far from a word counts as heard: recognisers' times are rough."""
MAX_UNHEARD_S = 2.0
"""Longest unheard speech of a channel that is not worth a warning: a cough, a laugh, a "hm"."""


def unheard_speech(speech: Iterable[Interval], words: Iterable[Interval]) -> tuple[Interval, ...]:
    """Return the speech that is more than `WORD_REACH_S` from any of the words' intervals."""
    reach = (Interval(w.start_s - WORD_REACH_S, w.end_s + WORD_REACH_S) for w in words)
    return subtract_intervals(speech, reach)


def measure_unheard(transcript: Transcript, speech: Iterable[Interval]) -> Transcript:
    """Return the transcript with the seconds of detected speech that it has no word for.

    Segments without word times count as heard from their start to their end.
    """
    parts = (part for segment in transcript.segments for part in segment.words or (segment,))
    heard = [Interval(part.start_s, part.end_s) for part in parts]
    missing_s = sum(gap.duration_s for gap in unheard_speech(speech, heard))
    return replace(transcript, unheard_s=round(missing_s, 2))
