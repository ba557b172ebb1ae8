"""Whisper's hallucinations are removed, and real speech stays."""

import pytest

from callpipeline.domain.transcripts import Word
from callpipeline.engines.transcribe.hallucinations import (
    is_hint_echo,
    is_speechless,
    remove_loops,
    remove_repeated_windows,
)
from callpipeline.engines.transcribe.hints import fit_hints, hints_prompt

HINTS = ("Vodafone", "BT", "Virgin Media", "T-Mobile", "giffgaff", "voda phone")


def words(text: str) -> tuple[Word, ...]:
    return tuple(Word(each, float(at), at + 0.5, 0.9) for at, each in enumerate(text.split()))


def without_loops(text: str) -> str:
    return " ".join(word.text for word in remove_loops(words(text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes. Yes. Yes.", "Yes."),
        ("Yes. yes! Yes. Yes. and Vodafone", "Yes. and Vodafone"),
        ("so you you you you you know", "so you know"),
        ("I see. I see. I see. Goodbye.", "I see. Goodbye."),
        ("we are with EE we are with EE we are with EE now", "we are with EE now"),
        ("a b a b a b a", "a b a"),
        ("one two. " * 40, "one two."),
        (" ".join(f"w{i}" for i in range(30)) + " ", " ".join(f"w{i}" for i in range(30))),
    ],
)
def test_a_loop_is_reduced_to_its_first_turn(text: str, expected: str):
    assert without_loops(text) == expected.strip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Yes. Yes. We are.",
        "no no no no I want Three",
        "0 3 3 3 4 4",
        "thank you thank you very much",
        "we compare Three with Three and EE with EE",
    ],
)
def test_natural_repetitions_stay(text: str):
    assert without_loops(text) == text


def test_the_first_turn_of_a_loop_and_the_words_after_it_keep_their_times():
    first, after = remove_loops(words("Yes. Yes. Yes. fine"))
    assert (first.start_s, after.start_s) == (0.0, 3.0)


def test_a_loop_of_thirty_words_is_detected_and_one_of_thirty_one_is_not():
    turn = [f"w{i}" for i in range(30)]
    assert len(remove_loops(words(" ".join(turn * 3)))) == 30
    assert len(remove_loops(words(" ".join([*turn, "x"] * 3)))) == 93


def test_of_three_windows_with_the_same_words_only_the_first_keeps_them():
    thanks, other, silence = words("Thank you."), words("It is cheaper."), ()
    text = [thanks, thanks, thanks, other, thanks, thanks, silence, silence, silence]
    assert remove_repeated_windows(text) == [thanks, (), (), other, thanks, thanks, (), (), ()]


@pytest.mark.parametrize(
    ("text", "is_echo"),
    [
        ("Vodafone, BT, Virgin Media, T-Mobile", True),
        ("BT, Virgin Media, t mobile, giffgaff, voda phone.", True),
        ("Vodafone, BT, Virgin Media", False),
        ("Vodafone, Virgin Media, BT, T-Mobile", False),
        ("Vodafone, BT, Virgin Media, T-Mobile, which one?", False),
        ("I had Vodafone, BT, Virgin Media, T-Mobile", False),
        ("Vodafone, BT, Virgin Media, T-", False),
        ("", False),
    ],
)
def test_only_hints_read_out_in_order_are_an_echo(text: str, is_echo: bool):
    assert is_hint_echo(words(text), HINTS) is is_echo
    assert not is_hint_echo(words(text), ())


@pytest.mark.parametrize(
    ("no_speech", "likely", "window_s", "doubted"),
    [
        (0.9, -1.5, 30.0, True),
        (0.9, -0.8, 30.0, False),
        (0.5, -1.5, 30.0, False),
        (0.6, -1.0, 30.0, False),
        (0.8, -0.9, 0.4, True),
        (0.8, -0.2, 0.4, False),
    ],
)
def test_a_window_is_speechless_only_if_both_probabilities_say_so(
    no_speech: float, likely: float, window_s: float, doubted: bool
):
    assert is_speechless(no_speech, likely, window_s) is doubted


def test_hints_that_do_not_fit_are_skipped_and_shorter_ones_still_used():
    chosen = fit_hints(HINTS, len, 25)
    assert chosen == ("Vodafone", "BT", "T-Mobile")
    assert len(hints_prompt(chosen)) == 23
    assert fit_hints(HINTS, len, 10_000) == HINTS
    assert fit_hints(HINTS, len, 1) == ()
