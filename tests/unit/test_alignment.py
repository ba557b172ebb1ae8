"""Recognised words are aligned with the written text."""

from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.audio import Interval
from callpipeline.domain.transcripts import Word
from callpipeline.engines.transcribe.alignment import (
    Passage,
    assign_words,
    passages_at_pauses,
    spread_over_speech,
    with_words,
)


def recognised(text: str, start_s: float = 0.0, step_s: float = 0.5) -> list[Word]:
    """Return words at intervals of half a second, each 0.4 s long."""
    return [
        Word(word, round(start_s + at * step_s, 3), round(start_s + at * step_s + 0.4, 3), 0.8)
        for at, word in enumerate(text.split())
    ]


def times(words: tuple[Word, ...]) -> dict[str, tuple[float, float]]:
    return {word.text: (word.start_s, word.end_s) for word in words}


def test_words_take_the_punctuation_of_the_text() -> None:
    passage = with_words(Passage(0, 3, "Well, T-Mobile's good."), recognised("well tmobiles good"))
    assert passage.text == "Well, T-Mobile's good."
    assert [word.text for word in passage.words] == ["Well,", "T-Mobile's", "good."]
    assert passage.words[1] == Word("T-Mobile's", 0.5, 0.9, 0.8)


def test_a_name_recognised_as_two_words_has_the_time_of_both() -> None:
    passage = with_words(
        Passage(0, 3, "I like T-Mobile, really."), recognised("i like t mobile really")
    )
    assert times(passage.words)["T-Mobile,"] == (1.0, 1.9)
    assert times(passage.words)["really."] == (2.0, 2.4)


def test_an_amount_written_in_figures_shares_the_time_of_its_words() -> None:
    text = "They charge £12.50 a month."
    passage = with_words(Passage(0, 5, text), recognised("they charge twelve pounds fifty a month"))
    assert passage.text == text
    assert times(passage.words)["£12.50"] == (1.0, 2.4)
    assert times(passage.words)["month."] == (3.0, 3.4)


def test_written_words_without_counterpart_lie_between_their_neighbours() -> None:
    passage = with_words(Passage(0, 4, "I would never go back."), recognised("i would go back"))
    found = times(passage.words)
    assert (found["would"][1], found["go"][0]) == (0.9, 1.0)
    assert found["never"] == (0.9, 1.0)
    assert passage.words[2].confidence is None


def test_written_words_before_the_first_recognised_one_lie_just_before_it() -> None:
    passage = with_words(Passage(0, 20, "So anyway goodbye"), recognised("goodbye", 10.0))
    assert times(passage.words) == {
        "So": (9.0, 9.25),
        "anyway": (9.25, 10.0),
        "goodbye": (10.0, 10.4),
    }


def test_recognised_words_that_are_not_written_are_dropped() -> None:
    passage = with_words(Passage(0, 4, "I want Vodafone"), recognised("i um want uh vodafone"))
    assert passage.text == "I want Vodafone"
    assert times(passage.words)["Vodafone"] == (2.0, 2.4)


def test_words_become_the_text_if_there_is_none() -> None:
    assert with_words(Passage(0, 1, " "), recognised("hello there")).text == "hello there"


def test_a_text_without_words_stays_as_it_was() -> None:
    passage = Passage(0, 1, "Hello there.")
    assert with_words(passage, []) is passage


def test_a_word_belongs_to_the_passage_with_its_middle() -> None:
    passages = [Passage(0, 1.1, "Hello."), Passage(1.1, 3, "Goodbye.")]
    first, second = assign_words(passages, [Word("hello", 0.1, 0.4), Word("goodbye", 1.0, 1.8)])
    assert times(first.words) == {"Hello.": (0.1, 0.4)}
    assert times(second.words) == {"Goodbye.": (1.0, 1.8)}


def test_a_word_between_passages_belongs_to_the_nearer_one() -> None:
    passages = [Passage(0, 1, "Hello there."), Passage(5, 6, "Goodbye.")]
    first, second = assign_words(
        passages, [*recognised("hello"), Word("there", 1.5, 1.9), Word("goodbye", 4, 5)]
    )
    assert [len(first.words), len(second.words)] == [2, 1]
    assert times(first.words)["there."] == (1.5, 1.9)


def test_passages_and_words_may_be_in_any_order() -> None:
    passages = [Passage(2, 3, "Two."), Passage(0, 1, "One.")]
    found = assign_words(passages, [Word("two", 2.1, 2.5), Word("one", 0.1, 0.5)])
    assert [passage.text for passage in found] == ["One.", "Two."]
    assert [len(passage.words) for passage in found] == [1, 1]


def test_words_without_segments_are_split_at_pauses_and_keep_the_punctuation() -> None:
    words = [*recognised("hello there"), *recognised("i want vodafone", 5.0)]
    found = list(passages_at_pauses("Hello there! I want Vodafone.", words))
    assert [passage.text for passage in found] == ["Hello there!", "I want Vodafone."]
    assert (found[1].start_s, found[1].end_s) == (5.0, 6.4)


def test_a_text_without_times_is_spread_over_the_speech_by_length() -> None:
    speech = [Interval(2, 4), Interval(10, 12)]
    found = list(spread_over_speech("I am with EE now. I am with O2 now.", speech))
    assert [(p.start_s, p.end_s) for p in found] == [(2, 4), (10, 12)]
    assert all(not passage.words for passage in found)


def test_a_text_without_punctuation_is_one_passage_over_all_the_speech() -> None:
    [found] = spread_over_speech("i am with ee now", [Interval(2, 4), Interval(10, 12)])
    assert (found.start_s, found.end_s) == (2, 12)


WORDS = st.lists(
    st.sampled_from(["a", "b", "I'd", "T-Mobile", "£5", "—", "no,", "EE.", "ﬁ"]), max_size=12
)


@given(WORDS, WORDS)
def test_the_text_never_changes_and_times_never_go_back(
    written: list[str], said: list[str]
) -> None:
    passage = Passage(0, 10, " ".join(written))
    found = with_words(passage, recognised(" ".join(said)))
    if said and written:
        assert found.text == passage.text == " ".join(word.text for word in found.words)
    edges = [edge for word in found.words for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges)
