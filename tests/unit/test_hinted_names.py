"""Names of a decode with hints: adopted only where the words without hints sound like them."""

from itertools import pairwise

import pytest

from callpipeline.domain.transcripts import Word
from callpipeline.engines.transcribe.hints import (
    adopt_names,
    candidate_spans,
    fit_hints,
    hints_prompt,
    resemblance,
    resembling_names,
)

NAMES = ("Vodafone", "Virgin Media", "T-Mobile", "Lebara", "Plusnet", "Wix", "Voxi", "BT")


def words(text: str, *, confidence: float = 0.3, start_s: float = 0.0) -> tuple[Word, ...]:
    """Return the words of a text, one a second."""
    return tuple(
        Word(word, start_s + i, start_s + i + 0.9, confidence)
        for i, word in enumerate(text.split())
    )


def adopted(heard: str, hinted: str, *, sure: float = 0.3, hinted_confidence: float = 0.2) -> str:
    plain, second = words(heard, confidence=sure), words(hinted, confidence=hinted_confidence)
    return " ".join(word.text for word in adopt_names(plain, second, NAMES))


@pytest.mark.parametrize(
    ("heard", "hinted", "result"),
    [
        ("from plus net now", "from Plusnet it now", "from Plusnet now"),
        ("at la barra.", "at Lebara. now", "at Lebara."),
        ("sergeant media never", "Virgin Media never", "Virgin Media never"),
        ("I looked at boxy, but", "I looked at Voxi, but", "I looked at Voxi, but"),
    ],
)
def test_a_name_replaces_the_words_that_sound_like_it(heard: str, hinted: str, result: str):
    assert adopted(heard, hinted) == result


@pytest.mark.parametrize(
    ("heard", "hinted"),
    [
        ("please boot the plus", "please Wix the plus"),
        ("I looked at hockey but", "I looked at Vodafone but"),
        ("you would have sent", "BT would have sent"),
        ("what is the weather", "what is Vodafone like"),
    ],
)
def test_a_name_that_sounds_like_nothing_said_is_not_adopted(heard: str, hinted: str):
    assert adopted(heard, hinted) == heard


def test_a_name_is_not_adopted_where_another_one_sounds_more_alike():
    assert adopted("with plus nut now", "with Lebara it now") == "with plus nut now"


def test_everything_but_the_name_is_as_without_hints():
    heard = words("we looked at boxy for two years")
    second = words("he cooked at Voxi four blue ears")
    result = adopt_names(heard, second, NAMES)
    assert " ".join(word.text for word in result) == "we looked at Voxi for two years"
    assert [*result[:3], *result[4:]] == [*heard[:3], *heard[4:]]


def test_a_name_has_the_time_of_what_was_heard():
    (name,) = adopt_names(words("la barra"), words("Lebara", start_s=0.4), NAMES)
    assert (name.start_s, name.end_s) == (0.0, 1.9)


def test_a_name_that_the_words_hardly_confirm_is_marked():
    sure = adopt_names(words("plus net"), words("Plusnet"), NAMES)
    unsure = adopt_names(words("team oval"), words("T-Mobile"), NAMES)
    assert [word.only_with_hints for word in sure] == [False]
    assert [(word.text, word.only_with_hints) for word in unsure] == [("T-Mobile", True)]


def test_the_two_decodes_must_agree_on_the_time():
    heard = words("plus net is what we had there")
    assert adopt_names(heard, words("Plusnet", start_s=5.0), NAMES) == heard


def test_words_of_which_the_recogniser_was_sure_are_no_candidates():
    assert candidate_spans(words("with plus net", confidence=0.95), NAMES) == []
    (span, *_) = candidate_spans(words("with plus net", confidence=0.3), NAMES)
    assert (span.first, span.end, span.score) == (1, 3, 100.0)


def test_candidates_do_not_overlap():
    spans = candidate_spans(words("virgin mary and team oval and plus net"), NAMES)
    assert all(a.end <= b.first for a, b in pairwise(spans))


def test_the_most_similar_names_become_hints():
    assert resembling_names(words("boxy"), NAMES)[0] == "Voxi"
    assert resembling_names(words("zoological"), NAMES) == []


def test_resemblance_is_of_letters_or_sounds():
    assert resemblance("plus net", "Plusnet") == 100.0
    assert resemblance("Foxy", "Voxi") == 100.0
    assert resemblance("3 mobile", "Three Mobile") == 100.0
    assert resemblance("hello", "Vodafone") < 50.0


def test_the_prompt_is_a_sentence_of_names():
    assert hints_prompt(["Vodafone", "BT"]) == "Vodafone, BT."
    assert hints_prompt([]) == ""
    assert fit_hints(NAMES, len, 24) == ("Vodafone", "Virgin Media")
