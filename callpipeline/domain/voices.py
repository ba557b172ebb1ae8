"""Voices of a mono recording: turns found by diarization, and the segments they belong to."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice, pairwise, takewhile

from callpipeline.domain.audio import Speaker
from callpipeline.domain.transcripts import (
    Segment,
    Transcript,
    Voice,
    Word,
    number_segments,
)

VOICES: tuple[int, ...] = (1, 2)
MIN_RUN_WORDS = 2
"""Fewer words of another voice are cut from a segment only if they are a sentence."""
SNAP_WORDS = 2
"""A change of voice moves by up to this many words, to the end of a sentence."""
_SENTENCE_ENDS = (".", "?", "!")


@dataclass(frozen=True, slots=True)
class VoiceTurn:
    """Continuous speech of one voice, in seconds from the start of the call.

    `voice` is 1 or 2, in order of first appearance, and `confidence` its probability.
    """

    start_s: float
    end_s: float
    voice: int
    confidence: float


def label_voices(transcript: Transcript, turns: Sequence[VoiceTurn]) -> Transcript:
    """Give each segment its voice, and cut segments where the voice changes between words."""
    if not turns:
        return transcript
    pieces = (piece for segment in transcript.segments for piece in _pieces(segment, turns))
    talk_s = {
        voice: sum(turn.end_s - turn.start_s for turn in turns if turn.voice == voice)
        for voice in VOICES
    }
    voices = tuple(Voice(number, seconds) for number, seconds in talk_s.items())
    labelled = tuple(_with_voice(piece, turns) for piece in pieces)
    return replace(transcript, segments=number_segments(labelled), voices=voices)


def assign_roles(transcript: Transcript, agent_voice: int | None) -> Transcript:
    """Make one voice the agent and the other one the customer; None: both are unknown."""
    if not transcript.voices:
        return transcript
    segments = tuple(
        replace(segment, speaker=role_of(segment.voice, agent_voice))
        for segment in transcript.segments
    )
    voices = tuple(
        replace(voice, speaker=role_of(voice.number, agent_voice)) for voice in transcript.voices
    )
    return replace(transcript, segments=segments, voices=voices)


def role_of(voice: int | None, agent_voice: int | None) -> Speaker:
    """Return the role of a voice, given the agent's."""
    if voice is None or agent_voice is None:
        return Speaker.UNKNOWN
    return Speaker.AGENT if voice == agent_voice else Speaker.CUSTOMER


def _pieces(segment: Segment, turns: Sequence[VoiceTurn]) -> Iterator[Segment]:
    """Cut a segment at the words where its voice changes."""
    words = segment.words
    cuts = [0, *_cuts(words, _voices_of(words, turns)), len(words)]
    runs = [words[start:end] for start, end in pairwise(cuts)]
    if len(runs) < 2:
        yield segment
        return
    for number, run in enumerate(runs):
        start_s = run[0].start_s if number else segment.start_s
        end_s = run[-1].end_s if number < len(runs) - 1 else segment.end_s
        text = " ".join(word.text for word in run)
        yield replace(segment, start_s=start_s, end_s=end_s, text=text, words=run)


def _voices_of(words: Sequence[Word], turns: Sequence[VoiceTurn]) -> list[int]:
    """Return the voice of each word; words outside of turns have that of the word before."""
    found = [_voice_between(word.start_s, word.end_s, turns) for word in words]
    voice = next((each for each in found if each), 0)
    voices: list[int] = []
    for each in found:
        voice = each or voice
        voices.append(voice)
    return voices


def _cuts(words: Sequence[Word], voices: Sequence[int]) -> list[int]:
    """Return the indexes of the words that begin a new piece."""
    cuts: list[int] = []
    start, current = 0, None
    for voice, run in groupby(voices):
        end = start + sum(1 for _ in run)
        if current is None:
            current = voice
        elif voice != current and _is_utterance(words, start, end):
            cut = _sentence_start(words, start)
            if _is_utterance(words, cuts[-1] if cuts else 0, cut):
                cuts.append(cut)
            current = voice
        start = end
    return cuts


def _is_utterance(words: Sequence[Word], start: int, end: int) -> bool:
    """Return true for several words, or a sentence of one."""
    if end - start >= MIN_RUN_WORDS:
        return True
    starts_sentence = start == 0 or words[start - 1].text.endswith(_SENTENCE_ENDS)
    return start < end and starts_sentence and words[end - 1].text.endswith(_SENTENCE_ENDS)


def _sentence_start(words: Sequence[Word], at: int) -> int:
    """Return the start of a sentence near word `at`, or `at` if there is none."""
    starts = (
        start
        for start in range(max(1, at - SNAP_WORDS), min(len(words) - 1, at + SNAP_WORDS) + 1)
        if words[start - 1].text.endswith(_SENTENCE_ENDS)
    )
    return min(starts, key=lambda start: abs(start - at), default=at)


def _with_voice(segment: Segment, turns: Sequence[VoiceTurn]) -> Segment:
    voice, confidence = _voice_of_segment(segment, turns)
    return replace(segment, voice=voice, voice_confidence=confidence)


def _voice_of_segment(
    segment: Segment, turns: Sequence[VoiceTurn]
) -> tuple[int | None, float | None]:
    """Return the voice of most of the time of the words, since segments may contain pauses."""
    spans = [(word.start_s, word.end_s) for word in segment.words]
    spans = spans or [(segment.start_s, segment.end_s)]
    confident_s = dict.fromkeys(VOICES, 0.0)
    covered_s = dict.fromkeys(VOICES, 0.0)
    for start_s, end_s in spans:
        for turn in _overlapping(turns, start_s, end_s):
            seconds = min(end_s, turn.end_s) - max(start_s, turn.start_s)
            confident_s[turn.voice] += seconds * turn.confidence
            covered_s[turn.voice] += seconds
    voice = max(VOICES, key=lambda number: covered_s[number])
    total_s = sum(covered_s.values())
    return (voice, confident_s[voice] / total_s) if total_s > 0 else (None, None)


def _voice_between(start_s: float, end_s: float, turns: Sequence[VoiceTurn]) -> int | None:
    """Return the voice of the turn with the longest overlap."""
    longest = max(
        _overlapping(turns, start_s, end_s),
        key=lambda turn: min(end_s, turn.end_s) - max(start_s, turn.start_s),
        default=None,
    )
    return longest.voice if longest else None


def _overlapping(turns: Sequence[VoiceTurn], start_s: float, end_s: float) -> Iterator[VoiceTurn]:
    """Yield the turns that overlap an interval; turns are in order."""
    first = bisect_right(turns, start_s, key=lambda turn: turn.end_s)
    return takewhile(lambda turn: turn.start_s < end_s, islice(turns, first, None))
