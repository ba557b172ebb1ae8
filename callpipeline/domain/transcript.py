"""Words with times, grouped into segments, one transcript per channel."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from statistics import fmean

from callpipeline.domain.audio import Channel, Speaker

UNRELIABLE_BELOW = 0.55
"""Mean word confidence under which a transcript is not to be trusted (pocketsphinx: clean speech
scores 0.7 and more, real telephone calls that it gets wrong score under 0.5)."""

SUPPLIED = "supplied"
"""The engine of a transcript that came beside its recording."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word as heard; times in seconds, `confidence` in 0..1 or None where the engine has none."""

    text: str
    start_s: float
    end_s: float
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one speaker's speech; `text` is its words joined by spaces, if known."""

    index: int
    start_s: float
    end_s: float
    channel: Channel
    speaker: Speaker
    text: str
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """What one channel says; no segments means that nothing was said."""

    channel: Channel
    speaker: Speaker
    engine: str
    segments: tuple[Segment, ...] = ()
    language: str = "en"

    @property
    def word_count(self) -> int:
        return sum(len(segment.text.split()) for segment in self.segments)

    @property
    def confidence(self) -> float | None:
        """Mean confidence of the words, None where the engine gives none."""
        known = [w.confidence for w in self._words() if w.confidence is not None]
        return fmean(known) if known else None

    @property
    def is_reliable(self) -> bool:
        """Whether the words are sure enough; engines without confidence are believed."""
        return self.confidence is None or self.confidence >= UNRELIABLE_BELOW

    def _words(self) -> Iterator[Word]:
        return (word for segment in self.segments for word in segment.words)


def is_storable(text: str) -> bool:
    """NUL and lone surrogates can be written in JSON, but no database or UTF-8 file takes them."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def numbered(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """The segments in order of time, indexed from 0."""
    in_order = sorted(segments, key=lambda segment: (segment.start_s, segment.end_s))
    return tuple(replace(segment, index=index) for index, segment in enumerate(in_order))


def interleave(transcripts: Iterable[Transcript]) -> tuple[Segment, ...]:
    """The segments of all channels as one conversation, ordered by start time (seconds)."""
    segments = (segment for transcript in transcripts for segment in transcript.segments)
    return tuple(sorted(segments, key=lambda segment: (segment.start_s, segment.channel)))
