"""What of a call is shown to a model: lines around the mentions."""

from callpipeline.domain.audio import Channel
from callpipeline.engines.sentiment.lines import (
    AFTER,
    BEFORE,
    MOST_LETTERS_SHOWN,
    MOST_WORDS,
    Line,
    Place,
    batches,
    lines_of,
    places_of,
    window,
)
from tests.builders import a_mention, a_segment


def texts(lines: tuple[Line, ...]) -> list[str]:
    return [" ".join(token.text for token in line.tokens) for line in lines]


def test_a_line_is_a_sentence() -> None:
    lines = lines_of([a_segment("Hello. Is it you? “Yes!” I said")], [])
    assert texts(lines) == ["Hello.", "Is it you?", "“Yes!”", "I said"]


def test_a_name_with_an_end_of_sentence_in_it_is_on_one_line() -> None:
    mention = a_mention("Yahoo! Mail", char_start=4, channel=Channel.LEFT)
    lines = lines_of([a_segment("I use Yahoo! Mail. Always.")], [mention])
    assert texts(lines) == ["I use Yahoo! Mail.", "Always."]


def test_speech_without_punctuation_is_cut_into_lines_that_have_an_end() -> None:
    lines = lines_of([a_segment("word " * 150)], [])
    assert [len(line.tokens) for line in lines] == [MOST_WORDS, MOST_WORDS, 30]
    assert len(lines_of([a_segment(f"{'x' * 500} y")], [])) == 2


def test_a_mention_is_at_its_words() -> None:
    mention = a_mention("Virgin Media", char_start=17, channel=Channel.LEFT)
    lines = lines_of([a_segment("Hello. I am with Virgin Media's mail.")], [mention])
    assert places_of(lines, [mention]) == {mention.mention_id: Place(1, 3, 4)}


def test_a_mention_of_other_words_has_no_place() -> None:
    mention = a_mention(char_start=900, channel=Channel.LEFT)
    assert places_of(lines_of([a_segment("Hello")], [mention]), [mention]) == {}


def test_only_what_is_near_a_mention_is_shown() -> None:
    lines = lines_of([a_segment("Hello", index=n) for n in range(50)], [])
    assert window(lines, Place(20, 0, 0)) == set(range(20 - BEFORE, 21 + AFTER))
    assert window(lines, Place(1, 0, 0)) == set(range(2 + AFTER))


def test_only_what_the_speaker_of_a_mention_says_is_shown() -> None:
    sides = [Channel.RIGHT, Channel.LEFT] * 20
    lines = lines_of([a_segment("Hi", index=n, channel=c) for n, c in enumerate(sides)], [])
    assert window(lines, Place(10, 0, 0)) == set(range(10 - 2 * BEFORE, 11 + 2 * AFTER, 2))


def test_no_request_is_of_two_speakers() -> None:
    sides = [Channel.RIGHT, Channel.LEFT] * 2
    lines = lines_of([a_segment("Hi", index=n, channel=c) for n, c in enumerate(sides)], [])
    windows = {name: {at} for at, name in enumerate("abcd")}
    assert list(batches(list("abcd"), windows, lines, 20)) == [["a", "c"], ["b", "d"]]


def test_mentions_are_asked_for_in_lots() -> None:
    lines = lines_of([a_segment("Hello", index=n) for n in range(9)], [])
    windows = {name: {at} for at, name in enumerate("abcde")}
    assert list(batches(list("abcde"), windows, lines, 2)) == [["a", "b"], ["c", "d"], ["e"]]


def test_a_request_does_not_grow_beyond_what_a_model_takes() -> None:
    lines = lines_of([a_segment("x" * 5000, index=n) for n in range(9)], [])
    windows = {name: {at} for at, name in enumerate("abcde")}
    assert MOST_LETTERS_SHOWN == 12_000
    assert list(batches(list("abcde"), windows, lines, 20)) == [["a", "b"], ["c", "d"], ["e"]]


def test_lines_shown_for_two_mentions_count_once() -> None:
    lines = lines_of([a_segment("x" * 9000)], [])
    assert list(batches(["a", "b"], {"a": {0}, "b": {0}}, lines, 20)) == [["a", "b"]]
