"""Second decodes of passages: speech that no word covers, and words that may be misheard names.

A decoder may end before its audio does, or skip a sentence. Speech without words nearby is decoded
again on its own. See `hints` for the names.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from callpipeline.domain.audio import Interval, merge_intervals
from callpipeline.domain.competitors.spellings import normalise
from callpipeline.domain.transcripts import Word, unheard_speech
from callpipeline.engines.transcribe.chunks import RATE_HZ, AudioPiece, pack_windows
from callpipeline.engines.transcribe.hints import adopt_names, candidate_spans, resembling_names

Decode = Callable[[Sequence[AudioPiece], Sequence[str]], list[tuple[Word, ...]]]
"""Returns the words of each piece of a window, given names as hints."""

THIN_S, MIN_LETTERS_PER_S = (1.2, 6.0), 3.0
"""Duration of pieces that other pieces of a window may swallow, and the least letters a second;
people speak 12 to 15."""
MIN_LOST_S = 0.2
"""Shortest remainder of speech, more than a second from any word, to decode again."""
LOST_CONTEXT_S = 1.0
MAX_WORD_S, MAX_LETTER_S = 0.6, 0.25
"""Longest duration of a word: a base and a share per letter. A decoder that skips speech stretches
the word before or after it."""
MIN_ECHO_WORDS = 3
NAME_CONTEXT_S = 3.0
"""Audio before and after words that may be a name: Whisper needs a sentence to spell it."""
MAX_PASSAGE_S = 28.0


class DecodedPassage(NamedTuple):
    """Part of a piece (by index) to decode again, with the names it may contain."""

    piece: int
    audio: AudioPiece
    names: tuple[str, ...] = ()


def recover_lost_speech(
    pieces: Sequence[AudioPiece], words: Sequence[tuple[Word, ...]], decode: Decode
) -> list[tuple[Word, ...]]:
    """Decode speech far from any word, and pieces with hardly any text, again on their own."""
    complete = list(words)
    for index, piece in enumerate(pieces):
        if _is_thin(piece, complete[index]):
            alone = decode([piece], ())[0]
            if _letters(alone) > _letters(complete[index]) and not _is_echo(alone, complete):
                complete[index] = alone
        for gap in _lost(piece, complete[index]):
            passage = _part(piece, gap.start_s - LOST_CONTEXT_S, gap.end_s + LOST_CONTEXT_S)
            found = decode([passage], ())[0]
            if not _is_echo(found, complete):
                new = _near(found, gap, complete[index])
                complete[index] = _insert(complete[index], new)
    return complete


def adopt_hinted_names(
    pieces: Sequence[AudioPiece],
    words: Sequence[tuple[Word, ...]],
    names: Sequence[str],
    decode: Decode,
) -> list[tuple[Word, ...]]:
    """Decode words that sound like a name again with such names as hints, and adopt the names."""
    adopted = list(words)
    passages = [
        passage
        for index, piece in enumerate(pieces)
        for passage in _name_passages(index, piece, words[index], names)
    ]
    waiting = iter(passages)
    for window in pack_windows(passage.audio for passage in passages):
        group = [next(waiting) for _ in window]
        hints = tuple(dict.fromkeys(name for passage in group for name in passage.names))
        for passage, hinted in zip(group, decode(window, hints), strict=True):
            adopted[passage.piece] = adopt_names(adopted[passage.piece], hinted, names)
    return adopted


def _is_thin(piece: AudioPiece, words: Sequence[Word]) -> bool:
    """Return whether a piece has far less text than its duration of speech makes likely.

    Among other pieces in a window, a short one may be skipped, and get a word of the next one.
    """
    rate = _letters(words) / piece.duration_s
    return THIN_S[0] <= piece.duration_s <= THIN_S[1] and rate < MIN_LETTERS_PER_S


def _letters(words: Sequence[Word]) -> int:
    return sum(len(word.text) for word in words)


def _lost(piece: AudioPiece, words: Sequence[Word]) -> list[Interval]:
    """Return the parts of a piece that are far from any word; stretched words cover their ends."""
    ends = [end for word in words for end in _credible_ends(word)]
    whole = Interval(piece.at_s, piece.at_s + piece.duration_s)
    return [gap for gap in unheard_speech([whole], ends) if gap.duration_s >= MIN_LOST_S]


def _credible_ends(word: Word) -> tuple[Interval, ...]:
    longest_s = MAX_WORD_S + MAX_LETTER_S * len(word.text)
    if word.end_s - word.start_s <= longest_s:
        return (Interval(word.start_s, word.end_s),)
    return (
        Interval(word.start_s, word.start_s + longest_s),
        Interval(word.end_s - longest_s, word.end_s),
    )


def _near(found: Sequence[Word], gap: Interval, words: Sequence[Word]) -> list[Word]:
    """Return the words found around a gap, without those that stand there already."""
    return [word for word in found if _reaches(word, gap) and not _is_repeated(word, words)]


def _insert(words: Sequence[Word], new: Sequence[Word]) -> tuple[Word, ...]:
    """Add words in order of time, shortening words that were stretched over them."""
    if not new:
        return tuple(words)
    start_s, end_s = new[0].start_s, new[-1].end_s
    before = [
        replace(word, end_s=min(word.end_s, max(word.start_s, start_s)))
        for word in words
        if word.start_s < start_s
    ]
    after = [
        replace(word, start_s=min(max(word.start_s, end_s), word.end_s))
        for word in words
        if word.start_s >= start_s
    ]
    return (*before, *new, *after)


def _reaches(word: Word, gap: Interval) -> bool:
    return word.end_s > gap.start_s - LOST_CONTEXT_S and word.start_s < gap.end_s + LOST_CONTEXT_S


def _is_repeated(word: Word, words: Sequence[Word]) -> bool:
    """Return whether a word stands in the words already, at about the same time."""
    middle_s = (word.start_s + word.end_s) / 2
    return any(
        other.start_s - 0.1 <= middle_s <= other.end_s + 0.1
        and other.end_s - other.start_s <= MAX_WORD_S + MAX_LETTER_S * len(other.text)
        for other in words
    )


def _is_echo(found: Sequence[Word], pieces: Sequence[Sequence[Word]]) -> bool:
    """Return whether several words repeat words nearby: a hallucination."""
    echo = normalise(" ".join(word.text for word in found))
    text = normalise(" ".join(word.text for words in pieces for word in words))
    return len(found) >= MIN_ECHO_WORDS and f" {echo} " in f" {text} "


def _name_passages(
    index: int, piece: AudioPiece, words: Sequence[Word], names: Sequence[str]
) -> list[DecodedPassage]:
    """Return the passages around words that may be names, each with the names they resemble."""
    spans = candidate_spans(words, names)
    around = [
        Interval(
            words[span.first].start_s - NAME_CONTEXT_S, words[span.end - 1].end_s + NAME_CONTEXT_S
        )
        for span in spans
    ]
    passages: list[DecodedPassage] = []
    for area in merge_intervals(around):
        inside = [
            words[span.first : span.end]
            for span, each in zip(spans, around, strict=True)
            if area.start_s <= each.start_s < area.end_s
        ]
        found = dict.fromkeys(name for heard in inside for name in resembling_names(heard, names))
        passages.append(DecodedPassage(index, _part(piece, area.start_s, area.end_s), tuple(found)))
    return passages


def _part(piece: AudioPiece, start_s: float, end_s: float) -> AudioPiece:
    """Return the part of a piece between two times of the call, as far as it has them."""
    first = max(0, round((start_s - piece.at_s) * RATE_HZ))
    return AudioPiece(
        piece.at_s + first / RATE_HZ,
        piece.samples[first : max(first, round((end_s - piece.at_s) * RATE_HZ))],
    )
