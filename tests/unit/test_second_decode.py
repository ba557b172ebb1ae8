"""Passages decoded again: lost speech, and names that were misheard."""

from collections.abc import Sequence

import numpy as np

from callpipeline.domain.transcripts import Word
from callpipeline.engines.transcribe.chunks import RATE_HZ, AudioPiece
from callpipeline.engines.transcribe.second_decode import adopt_hinted_names, recover_lost_speech


class Decoder:
    """Fake that returns the words of a script that lie in the piece, and records its calls."""

    def __init__(self, *words: Word) -> None:
        self._words = words
        self.passages: list[tuple[float, float]] = []
        self.hints: list[tuple[str, ...]] = []

    def __call__(
        self, window: Sequence[AudioPiece], hints: Sequence[str]
    ) -> list[tuple[Word, ...]]:
        self.passages += [(p.at_s, round(p.at_s + p.duration_s, 2)) for p in window]
        self.hints.append(tuple(hints))
        return [
            tuple(w for w in self._words if p.at_s <= w.start_s < p.at_s + p.duration_s)
            for p in window
        ]


def a_piece(start_s: float, end_s: float) -> AudioPiece:
    return AudioPiece(start_s, np.zeros(round((end_s - start_s) * RATE_HZ), np.float32))


def said(text: str, start_s: float, confidence: float = 0.3) -> tuple[Word, ...]:
    """Return the words of a text, two a second."""
    return tuple(
        Word(word, start_s + i / 2, start_s + i / 2 + 0.4, confidence)
        for i, word in enumerate(text.split())
    )


def text_of(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def test_speech_without_words_is_decoded_again_on_its_own_and_without_hints():
    decode = Decoder(*said("how can I help", 5))
    (words,) = recover_lost_speech([a_piece(0, 10)], [said("hello there", 0)], decode)
    assert text_of(words) == "hello there how can I help"
    assert decode.passages == [(0.9, 10.0)]
    assert decode.hints == [()]


def test_a_piece_with_hardly_any_text_is_decoded_again_alone():
    decode = Decoder(*said("how can I help you", 0))
    (words,) = recover_lost_speech([a_piece(0, 2.4)], [said("God,", 1)], decode)
    assert text_of(words) == "how can I help you"
    assert decode.passages == [(0, 2.4)]


def test_a_second_decode_with_less_text_changes_nothing():
    words = [said("Yes.", 0.5)]
    assert recover_lost_speech([a_piece(0, 2)], words, Decoder()) == words


def test_covered_speech_is_not_decoded_again():
    decode = Decoder()
    words = [said("one two three four five six", 10)]
    assert recover_lost_speech([a_piece(9.5, 13)], words, decode) == words
    assert decode.passages == []


def test_a_word_that_is_stretched_over_lost_speech_does_not_hide_it():
    decode = Decoder(*said("thank you for calling", 2))
    stretched = (Word("dot", 0.0, 14.0, 0.2), *said("com", 14.0))
    (words,) = recover_lost_speech([a_piece(0, 15)], [stretched], decode)
    assert text_of(words) == "dot thank you for calling com"
    assert words[0].end_s <= words[1].start_s


def test_words_that_stand_there_already_are_not_inserted_twice():
    decode = Decoder(*said("hello there how", 0))
    (words,) = recover_lost_speech([a_piece(0, 8)], [said("hello there", 0)], decode)
    assert text_of(words) == "hello there how"


def test_words_that_sound_like_a_name_are_decoded_with_it_as_a_hint():
    heard = said("my brother is at la barra now", 20)
    decode = Decoder(*said("my brother is at Lebara now", 20))
    names = ("Vodafone", "Lebara", "Microsoft Azure")
    (words,) = adopt_hinted_names([a_piece(15, 40)], [heard], names, decode)
    assert text_of(words) == "my brother is at Lebara now"
    assert "Lebara" in decode.hints[0] and "Vodafone" not in decode.hints[0]
    assert words[4].start_s == heard[4].start_s and words[4].end_s == heard[5].end_s


def test_nothing_is_decoded_again_where_the_recogniser_was_sure():
    decode = Decoder()
    heard = [said("the mobile works well", 0, confidence=0.95)]
    assert adopt_hinted_names([a_piece(0, 5)], heard, ("T-Mobile",), decode) == heard
    assert decode.passages == []


def test_without_names_nothing_is_decoded_again():
    decode = Decoder()
    heard = [said("my brother is at la barra now", 0)]
    assert adopt_hinted_names([a_piece(0, 5)], heard, (), decode) == heard
    assert decode.passages == []
