"""Words with times under the text that they are the words of."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from callpipeline.domain.audio import ChannelAudio
from callpipeline.domain.transcript import Word


@dataclass(frozen=True, slots=True)
class GivenWord:
    """A word as a recogniser gives it; times in seconds, None where it gives none."""

    text: str
    start_s: float | None
    end_s: float | None
    confidence: float | None = None


def timed_words(written: str, given: Sequence[GivenWord]) -> tuple[Word, ...]:
    """The words with times; none where one has no times, as words and text must stay the same.

    Many recognisers give words without the punctuation that the text has: where there are as many,
    the text's are taken.
    """
    spoken = [word for word in given if word.text.strip()]
    texts = written.split()
    if len(texts) != len(spoken):
        texts = [word.text.strip() for word in spoken]
    words = (_timed(word, text) for word, text in zip(spoken, texts, strict=True))
    timed = [word for word in words if word is not None]
    return tuple(timed) if len(timed) == len(spoken) else ()


def text_of(written: str, words: Sequence[Word]) -> str:
    """What is said: the words joined by spaces where there are any, else what is written."""
    return " ".join(word.text for word in words) or " ".join(written.split())


def words_within(words: Iterable[Word], about: ChannelAudio) -> Iterator[Word]:
    """The words, none of which begins or ends outside of the channel."""
    for word in words:
        yield replace(word, start_s=within(word.start_s, about), end_s=within(word.end_s, about))


def within(at_s: float, about: ChannelAudio) -> float:
    """The time (seconds), or the channel's edge where it lies beyond."""
    return min(max(at_s, 0.0), about.duration_s)


def _timed(word: GivenWord, text: str) -> Word | None:
    if word.start_s is None or word.end_s is None:
        return None
    return Word(text, word.start_s, max(word.start_s, word.end_s), word.confidence)
