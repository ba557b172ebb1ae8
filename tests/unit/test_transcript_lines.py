"""Lines of a transcript, the lines visible to a language model, and batches of mentions."""

from callpipeline.domain.audio import Channel
from callpipeline.engines.sentiment.openai_prompt import MAX_PROMPT_CHARS, batches
from callpipeline.engines.sentiment.transcript_lines import (
    LINES_AFTER,
    LINES_BEFORE,
    MAX_LINE_WORDS,
    MentionPosition,
    TranscriptLine,
    locate_mentions,
    split_lines,
    visible_lines,
)
from tests.builders import a_mention, a_segment


def texts(lines: tuple[TranscriptLine, ...]) -> list[str]:
    return [" ".join(token.text for token in line.tokens) for line in lines]


def test_a_line_is_a_sentence() -> None:
    lines = split_lines([a_segment("Hello. Is it you? “Yes!” I said")], [])
    assert texts(lines) == ["Hello.", "Is it you?", "“Yes!”", "I said"]


def test_a_mention_with_a_sentence_end_in_it_is_not_split() -> None:
    mention = a_mention("Yahoo! Mail", char_start=4, channel=Channel.LEFT)
    lines = split_lines([a_segment("I use Yahoo! Mail. Always.")], [mention])
    assert texts(lines) == ["I use Yahoo! Mail.", "Always."]


def test_lines_without_punctuation_are_limited() -> None:
    lines = split_lines([a_segment("word " * 150)], [])
    assert [len(line.tokens) for line in lines] == [MAX_LINE_WORDS, MAX_LINE_WORDS, 30]
    assert len(split_lines([a_segment(f"{'x' * 500} y")], [])) == 2


def test_a_mention_is_located_at_its_words() -> None:
    mention = a_mention("Virgin Media", char_start=17, channel=Channel.LEFT)
    lines = split_lines([a_segment("Hello. I am with Virgin Media's mail.")], [mention])
    assert locate_mentions(lines, [mention]) == {mention.mention_id: MentionPosition(1, 3, 4)}


def test_a_mention_of_another_transcript_has_no_position() -> None:
    mention = a_mention(char_start=900, channel=Channel.LEFT)
    assert locate_mentions(split_lines([a_segment("Hello")], [mention]), [mention]) == {}


def test_only_lines_near_a_mention_are_visible() -> None:
    lines = split_lines([a_segment("Hello", index=n) for n in range(50)], [])
    assert visible_lines(lines, MentionPosition(20, 0, 0)) == set(
        range(20 - LINES_BEFORE, 21 + LINES_AFTER)
    )
    assert visible_lines(lines, MentionPosition(1, 0, 0)) == set(range(2 + LINES_AFTER))


def test_only_lines_of_the_mentions_speaker_are_visible() -> None:
    sides = [Channel.RIGHT, Channel.LEFT] * 20
    lines = split_lines([a_segment("Hi", index=n, channel=c) for n, c in enumerate(sides)], [])
    assert visible_lines(lines, MentionPosition(10, 0, 0)) == set(
        range(10 - 2 * LINES_BEFORE, 11 + 2 * LINES_AFTER, 2)
    )


def test_a_batch_has_one_speaker() -> None:
    sides = [Channel.RIGHT, Channel.LEFT] * 2
    lines = split_lines([a_segment("Hi", index=n, channel=c) for n, c in enumerate(sides)], [])
    windows = {name: {at} for at, name in enumerate("abcd")}
    assert list(batches(list("abcd"), windows, lines, 20)) == [["a", "c"], ["b", "d"]]


def test_batches_have_a_maximum_size() -> None:
    lines = split_lines([a_segment("Hello", index=n) for n in range(9)], [])
    windows = {name: {at} for at, name in enumerate("abcde")}
    assert list(batches(list("abcde"), windows, lines, 2)) == [["a", "b"], ["c", "d"], ["e"]]


def test_batches_fit_in_the_context_of_a_model() -> None:
    lines = split_lines([a_segment("x" * 5000, index=n) for n in range(9)], [])
    windows = {name: {at} for at, name in enumerate("abcde")}
    assert MAX_PROMPT_CHARS == 12_000
    assert list(batches(list("abcde"), windows, lines, 20)) == [["a", "b"], ["c", "d"], ["e"]]


def test_lines_visible_for_two_mentions_count_once() -> None:
    lines = split_lines([a_segment("x" * 9000)], [])
    assert list(batches(["a", "b"], {"a": {0}, "b": {0}}, lines, 20)) == [["a", "b"]]
