"""Transcripts: words with times in segments, one per channel; subtitles made from them."""

import html
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from statistics import fmean

from callpipeline.domain.audio import Channel, Interval, QualityFlag, Speaker, subtract_intervals

MIN_RELIABLE_CONFIDENCE = 0.55
"""Minimum mean word confidence of a reliable transcript.

With pocketsphinx, clean speech scores 0.7 or more, and misrecognised phone calls under 0.5.
"""

SUPPLIED_ENGINE = "supplied"
"""`engine` of a transcript that was supplied with its recording."""


FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")
"""Characters that start a formula in spreadsheets, which may execute it."""

MAX_LINE_CHARS = 42
"""Limits of a subtitle cue, as broadcasters agree on."""
MAX_LINES = 2
MAX_CUE_S = 7.0
MAX_PAUSE_S = 1.5
_LOOKS_LIKE_SPEAKER = re.compile(r"-?\s*\w+\s*:")


@dataclass(frozen=True, slots=True)
class Word:
    """A recognised word; times in seconds, `confidence` in 0..1 or None if unavailable.

    `only_with_hints` marks a word that was heard only when names were given as hints.
    """

    text: str
    start_s: float
    end_s: float
    confidence: float | None = None
    only_with_hints: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """An utterance of one speaker; `text` is its words, if any, joined by spaces.

    In a mono recording, `voice` is 1 or 2 if diarization found two voices, and `voice_confidence`
    the probability that the segment is of that voice.
    """

    index: int
    start_s: float
    end_s: float
    channel: Channel
    speaker: Speaker
    text: str
    words: tuple[Word, ...] = ()
    voice: int | None = None
    voice_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of a mono recording, numbered from 1 by first appearance, and its role."""

    number: int
    talk_s: float
    speaker: Speaker = Speaker.UNKNOWN


@dataclass(frozen=True, slots=True)
class Transcript:
    """The transcript of one channel; without segments if there is no speech.

    `voices` are those of a mono recording, if there are two. `unheard_s` is the detected speech
    without a word nearby; None if it was not measured. `flags` say what was repaired or ignored in
    a supplied transcript; they concern all channels, and are with the first.
    """

    channel: Channel
    speaker: Speaker
    engine: str
    segments: tuple[Segment, ...] = ()
    language: str = "en"
    voices: tuple[Voice, ...] = ()
    unheard_s: float | None = None
    flags: tuple[QualityFlag, ...] = ()

    @property
    def word_count(self) -> int:
        return sum(len(segment.text.split()) for segment in self.segments)

    @property
    def confidence(self) -> float | None:
        """Return the mean word confidence; None if the engine gives none."""
        scores = [w.confidence for w in self._words() if w.confidence is not None]
        return fmean(scores) if scores else None

    @property
    def is_reliable(self) -> bool:
        """Return true if the confidence is high enough, or unavailable."""
        return self.confidence is None or self.confidence >= MIN_RELIABLE_CONFIDENCE

    def _words(self) -> Iterator[Word]:
        return (word for segment in self.segments for word in segment.words)


def is_storable(text: str) -> bool:
    """Return false for NUL and lone surrogates, which JSON allows but Postgres and UTF-8 don't."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def number_segments(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Sort the segments by time and index them from 0."""
    ordered = sorted(segments, key=lambda segment: (segment.start_s, segment.end_s))
    return tuple(replace(segment, index=index) for index, segment in enumerate(ordered))


def interleave(transcripts: Iterable[Transcript]) -> tuple[Segment, ...]:
    """Merge the segments of all channels into one conversation, ordered by start time."""
    segments = (segment for transcript in transcripts for segment in transcript.segments)
    return tuple(sorted(segments, key=lambda segment: (segment.start_s, segment.channel)))


def speaker_label(segment: Segment) -> str:
    """Return the role of the speaker, else the voice ("Speaker 1"); empty if neither is known."""
    if segment.speaker is not Speaker.UNKNOWN:
        return segment.speaker.capitalize()
    return f"Speaker {segment.voice}" if segment.voice else ""


@dataclass(frozen=True, slots=True)
class SubtitleCue:
    """A subtitle cue: text shown at one time; `label` names its speaker, if known."""

    start_s: float
    end_s: float
    label: str
    text: str


def subtitle_cues(conversation: Iterable[Segment]) -> Iterator[SubtitleCue]:
    """Yield the cues of a conversation in order.

    Long segments with word times become several cues of up to two lines each. Other segments stay
    whole, since the times within them would be invented.
    """
    for segment in conversation:
        if not segment.words or segment.text != " ".join(word.text for word in segment.words):
            text = _one_line(segment.text)
            yield SubtitleCue(segment.start_s, segment.end_s, speaker_label(segment), text)
            continue
        pieces = list(_pieces(segment))
        for number, words in enumerate(pieces):
            start_s = words[0].start_s if number else segment.start_s
            end_s = words[-1].end_s if number < len(pieces) - 1 else segment.end_s
            text = _one_line(" ".join(word.text for word in words))
            yield SubtitleCue(start_s, max(start_s, end_s), speaker_label(segment), text)


def as_srt(conversation: Iterable[Segment]) -> Iterator[str]:
    """Yield the lines of an SRT file, with speaker labels before the text."""
    for number, cue in enumerate(subtitle_cues(conversation), start=1):
        yield f"{number}\n"
        yield f"{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n"
        yield _wrapped(_prefix(cue.label) + cue.text) + "\n\n"


def as_vtt(conversation: Iterable[Segment]) -> Iterator[str]:
    """Yield the lines of a WebVTT file, with speakers as voices.

    Source: https://www.w3.org/TR/webvtt1/
    """
    yield "WEBVTT\n\n"
    for cue in subtitle_cues(conversation):
        yield f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n"
        text = html.escape(_wrapped(cue.text), quote=False)
        voice = f"<v {cue.label}>" if cue.label else ""
        yield f"{voice}{text}\n\n"


def _pieces(segment: Segment) -> Iterator[list[Word]]:
    """Split the words into cues, each as long as space and time allow."""
    label = _prefix(speaker_label(segment))
    piece: list[Word] = []
    for word in segment.words:
        if piece and not _fits(label, piece, word):
            yield piece
            piece = []
        piece.append(word)
    yield piece


def _fits(label: str, piece: list[Word], word: Word) -> bool:
    if word.start_s - piece[-1].end_s > MAX_PAUSE_S or word.end_s - piece[0].start_s > MAX_CUE_S:
        return False
    text = " ".join([*(each.text for each in piece), word.text])
    return len(_lines(label + _one_line(text))) <= MAX_LINES


def _prefix(label: str) -> str:
    return f"{label}: " if label else ""


def _wrapped(text: str) -> str:
    return "\n".join(_lines(text))


def _lines(text: str) -> list[str]:
    lines: list[str] = []
    for line in textwrap.wrap(text, MAX_LINE_CHARS, break_long_words=False, break_on_hyphens=False):
        # A parser would take such a line for the words of another speaker.
        if lines and _LOOKS_LIKE_SPEAKER.match(line):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return lines


def _one_line(text: str) -> str:
    """Remove line breaks, since a blank line ends a cue, and arrows, which start one."""
    return " ".join(text.split()).replace("-->", "->")


def _clock(seconds: float, point: str) -> str:
    """Format as hh:mm:ss with milliseconds."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, rest = divmod(milliseconds, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{point}{rest:03}"


def escape_formula(value: object) -> object:
    """Prefix text that a spreadsheet would execute as a formula with an apostrophe.

    Source: https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_PREFIXES) else value


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
