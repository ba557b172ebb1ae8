"""Corrections of words in transcripts by people, which hold by their time."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import pairwise

from callpipeline.domain.audio import Channel
from callpipeline.domain.transcripts import Segment, Transcript, Word


@dataclass(frozen=True, slots=True)
class WordCorrection:
    """Words of a person in place of those between two times of a channel."""

    channel: Channel
    start_s: float
    end_s: float
    original: str
    text: str


def correct_words(transcript: Transcript, corrections: Iterable[WordCorrection]) -> Transcript:
    """Apply corrections of a transcript's channel, in their order.

    Each replaces the words whose middle lies between its times, in the segment with most of them;
    in a segment whose words have no times, all of the text. Where there is none, it is left out.
    """
    segments = list(transcript.segments)
    for correction in corrections:
        if correction.channel != transcript.channel:
            continue
        found = [(len(_covered(each, correction)), -i) for i, each in enumerate(segments)]
        count, at = max(found, default=(0, 0))
        if count:
            segments[-at] = _corrected(segments[-at], correction)
    return replace(transcript, segments=tuple(segments))


def _covered(segment: Segment, correction: WordCorrection) -> list[int]:
    """Return the words that a correction replaces; [-1] for a segment without words."""
    timed: list[tuple[int, float, float]] = [
        (i, word.start_s, word.end_s) for i, word in enumerate(segment.words)
    ] or [(-1, segment.start_s, segment.end_s)]
    return [
        i for i, start, end in timed if correction.start_s <= (start + end) / 2 <= correction.end_s
    ]


def _corrected(segment: Segment, correction: WordCorrection) -> Segment:
    if not segment.words:
        return replace(segment, text=correction.text)
    covered = _covered(segment, correction)
    first, last = segment.words[covered[0]], segment.words[covered[-1]]
    texts = correction.text.split()
    step_s = (last.end_s - first.start_s) / len(texts)
    new = [
        Word(text, first.start_s + i * step_s, first.start_s + (i + 1) * step_s)
        for i, text in enumerate(texts)
    ]
    words = (*segment.words[: covered[0]], *new, *segment.words[covered[-1] + 1 :])
    return replace(segment, words=words, text=" ".join(word.text for word in words))


def find_corrections(segment: Segment, text: str) -> list[WordCorrection]:
    """Return the smallest corrections that give a segment another text; none if it is the same.

    A word that is added or removed is corrected together with the one beside it, so that each
    correction has words and a time.
    """
    new, old = text.split(), [word.text for word in segment.words] or segment.text.split()
    if new == old:
        return []
    if not segment.words:
        return [_correction(segment, segment.start_s, segment.end_s, segment.text, new)]
    spans = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    found = list[tuple[int, int, int, int]]()
    for kind, i, i_end, j, j_end in spans:
        if kind == "equal":
            continue
        is_replaced = i < i_end and j < j_end
        before, after = int(not is_replaced and i > 0), int(not is_replaced and i == 0)
        found.append((i - before, i_end + after, j - before, j_end + after))
    if any(one[1] > other[0] for one, other in pairwise(found)):
        found = [(0, len(old), 0, len(new))]
    return [
        _correction(
            segment,
            segment.words[i].start_s,
            segment.words[i_end - 1].end_s,
            " ".join(old[i:i_end]),
            new[j:j_end],
        )
        for i, i_end, j, j_end in found
    ]


def _correction(
    segment: Segment, start_s: float, end_s: float, original: str, words: list[str]
) -> WordCorrection:
    return WordCorrection(segment.channel, start_s, end_s, original, " ".join(words))
