"""Corrections of words in transcripts by people, which hold for later transcripts by their time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import pairwise
from math import isclose

from callpipeline.domain.audio import Channel
from callpipeline.domain.transcripts import Segment, Transcript, Word

SAME_TIME_S = 1e-6
"""Times of one transcript are equal but for rounding."""
MAX_OVERHANG_S = 0.5
"""A correction may be so much shorter than the segment that it replaces as a whole."""


@dataclass(frozen=True, slots=True)
class WordPlace:
    """Words `start` to `end` (excluded) of a segment, after all earlier corrections."""

    segment_index: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WordCorrection:
    """Words of a person in place of `original`, which was said between two times of a channel.

    `place` is exact in the transcript that was corrected. Corrections of earlier versions have
    none.
    """

    channel: Channel
    start_s: float
    end_s: float
    original: str
    text: str
    place: WordPlace | None = None


def correct_words(transcript: Transcript, corrections: Iterable[WordCorrection]) -> Transcript:
    """Apply corrections of a transcript's channel, in their order.

    Each applies at its place if its original words are there at their time. In another transcript
    it replaces the same words nearest to its time, or else the words whose middle lies between its
    times, in the segment with most of them. Where there are none, it is left out.
    """
    segments = list(transcript.segments)
    for correction in corrections:
        if correction.channel != transcript.channel:
            continue
        found = _exact(segments, correction) or _same(segments, correction)
        found = found or _covered(segments, correction)
        if found:
            at, start, end = found
            segments[at] = _corrected(segments[at], start, end, correction.text)
    return replace(transcript, segments=tuple(segments))


def find_corrections(segment: Segment, text: str) -> list[WordCorrection]:
    """Return the smallest corrections that give a segment another text; none if it is the same.

    A word that is added or removed is corrected together with the one beside it, so that each
    correction has words and a time.
    """
    new, old = text.split(), _words(segment)
    if new == old or new == segment.text.split():
        return []
    if not _timed(segment):
        return [_correction(segment, (0, len(old)), segment.text, new, 0)]
    found = list[tuple[int, int, int, int]]()
    for kind, i, i_end, j, j_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        is_replaced = i < i_end and j < j_end
        before, after = int(not is_replaced and i > 0), int(not is_replaced and i == 0)
        found.append((i - before, i_end + after, j - before, j_end + after))
    if any(one[1] > other[0] for one, other in pairwise(found)):
        found = [(0, len(old), 0, len(new))]
    corrections: list[WordCorrection] = []
    moved = 0
    for i, i_end, j, j_end in found:
        original = " ".join(old[i:i_end])
        corrections.append(_correction(segment, (i, i_end), original, new[j:j_end], moved))
        moved += (j_end - j) - (i_end - i)
    return corrections


Found = tuple[int, int, int]
"""Number of a segment in its transcript, and the words of it to replace: start, end (excluded)."""


def _exact(segments: Sequence[Segment], correction: WordCorrection) -> Found | None:
    """Return the place of a correction if its original words are there at their time."""
    place = correction.place
    if place is None:
        return None
    for at, segment in enumerate(segments):
        if segment.index != place.segment_index:
            continue
        said = _words(segment)[place.start : place.end]
        is_same = " ".join(said).split() == correction.original.split()
        if not is_same or place.end > len(_words(segment)):
            return None
        start_s, end_s = _times(segment, place.start, place.end)
        is_same = isclose(start_s, correction.start_s, abs_tol=SAME_TIME_S)
        is_same = is_same and isclose(end_s, correction.end_s, abs_tol=SAME_TIME_S)
        return (at, place.start, place.end) if is_same else None
    return None


def _same(segments: Sequence[Segment], correction: WordCorrection) -> Found | None:
    """Return the original words nearest to the time of a correction, of those that overlap it."""
    original = correction.original.split()
    if not original or correction.end_s <= 0:
        return None  # without times, the same words elsewhere may be others
    found: list[tuple[float, Found]] = []
    for at, segment in enumerate(segments):
        words = _words(segment)
        for start in range(len(words) - len(original) + 1):
            end = start + len(original)
            if words[start:end] != original:
                continue
            start_s, end_s = _times(segment, start, end)
            if start_s <= correction.end_s and end_s >= correction.start_s:
                away_s = abs(start_s - correction.start_s) + abs(end_s - correction.end_s)
                found.append((away_s, (at, start, end)))
    return min(found)[1] if found else None


def _covered(segments: Sequence[Segment], correction: WordCorrection) -> Found | None:
    """Return the words between the times of a correction, in the segment with most of them."""
    if correction.start_s == correction.end_s:
        return None
    found: list[tuple[int, int, Found]] = []
    for at, segment in enumerate(segments):
        timed = _timed(segment)
        if not timed and _is_covered_whole(segment, correction):
            found.append((-1, at, (at, 0, len(_words(segment)))))
        covered = [i for i, word in enumerate(timed) if _is_covered(word, correction)]
        if covered:
            start, end = _longest_run(covered)
            found.append((start - end, at, (at, start, end)))
    return min(found)[2] if found else None


def _is_covered(word: Word, correction: WordCorrection) -> bool:
    """Return whether the middle of a word lies between the times; a point on them does not."""
    middle_s = (word.start_s + word.end_s) / 2
    if word.start_s == word.end_s:
        return correction.start_s < middle_s < correction.end_s
    return correction.start_s <= middle_s <= correction.end_s


def _is_covered_whole(segment: Segment, correction: WordCorrection) -> bool:
    """Return whether all of a segment without times of words lies between the times."""
    return (
        segment.end_s > segment.start_s
        and correction.start_s <= segment.start_s + MAX_OVERHANG_S
        and correction.end_s >= segment.end_s - MAX_OVERHANG_S
        and correction.start_s <= (segment.start_s + segment.end_s) / 2 <= correction.end_s
    )


def _longest_run(places: Sequence[int]) -> tuple[int, int]:
    """Return start and end (excluded) of the longest run of consecutive numbers."""
    runs = [[places[0], places[0] + 1]]
    for place in places[1:]:
        if place == runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([place, place + 1])
    start, end = max(runs, key=lambda run: run[1] - run[0])
    return start, end


def _timed(segment: Segment) -> Sequence[Word]:
    """Return the words of a segment with their times; none if they are not those of its text."""
    said = " ".join(word.text for word in segment.words)
    return segment.words if said.split() == segment.text.split() else ()


def _words(segment: Segment) -> list[str]:
    return [word.text for word in _timed(segment)] or segment.text.split()


def _times(segment: Segment, start: int, end: int) -> tuple[float, float]:
    """Return when words of a segment begin and end: some may lie within others."""
    words: Sequence[Word | Segment] = _timed(segment)[start:end] or (segment,)
    return min(word.start_s for word in words), max(word.end_s for word in words)


def _corrected(segment: Segment, start: int, end: int, text: str) -> Segment:
    timed, texts = _timed(segment), text.split()
    if not timed:
        words = _words(segment)
        said = " ".join((*words[:start], *texts, *words[end:]))
        return replace(segment, text=said, words=())
    start_s, end_s = _times(segment, start, end)
    step_s = (end_s - start_s) / len(texts)
    new = [
        Word(each, start_s + i * step_s, start_s + (i + 1) * step_s) for i, each in enumerate(texts)
    ]
    words = (*timed[:start], *new, *timed[end:])
    return replace(segment, words=words, text=" ".join(word.text for word in words))


def _correction(
    segment: Segment, words: tuple[int, int], original: str, new: list[str], moved: int
) -> WordCorrection:
    """Return a correction of words, which earlier ones of the segment have `moved`."""
    start, end = words
    start_s, end_s = _times(segment, start, end)
    place = WordPlace(segment.index, start + moved, end + moved)
    return WordCorrection(segment.channel, start_s, end_s, original, " ".join(new), place)
