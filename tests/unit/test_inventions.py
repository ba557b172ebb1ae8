"""What Whisper invents is found, and what people say stays."""

import pytest

from callpipeline.domain.transcript import Word
from callpipeline.engines.transcribe.inventions import (
    fitted,
    is_echo,
    is_speechless,
    prompt_of,
    without_loops,
    without_repeats,
)

HINTS = ("Vodafone", "BT", "Virgin Media", "T-Mobile", "giffgaff", "voda phone")


def words(text: str) -> tuple[Word, ...]:
    return tuple(Word(each, float(at), at + 0.5, 0.9) for at, each in enumerate(text.split()))


def kept(text: str) -> str:
    return " ".join(word.text for word in without_loops(words(text)))


@pytest.mark.parametrize(
    ("heard", "left"),
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
def test_what_repeats_itself_too_often_stands_once(heard: str, left: str):
    assert kept(heard) == left.strip()


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Yes. Yes. We are.",
        "no no no no I want Three",
        "0 3 3 3 4 4",
        "thank you thank you very much",
        "we compare Three with Three and EE with EE",
    ],
)
def test_what_people_repeat_stays(said: str):
    assert kept(said) == said


def test_the_first_of_a_loop_keeps_its_times_and_what_follows_too():
    first, after = without_loops(words("Yes. Yes. Yes. fine"))
    assert (first.start_s, after.start_s) == (0.0, 3.0)


def test_a_loop_of_thirty_words_is_found_and_thirty_one_are_not():
    turn = [f"w{i}" for i in range(30)]
    assert len(without_loops(words(" ".join(turn * 3)))) == 30
    assert len(without_loops(words(" ".join([*turn, "x"] * 3)))) == 93


def test_windows_that_say_the_same_three_times_say_it_once():
    thanks, other, silence = words("Thank you."), words("It is cheaper."), ()
    said = [thanks, thanks, thanks, other, thanks, thanks, silence, silence, silence]
    assert without_repeats(said) == [thanks, (), (), other, thanks, thanks, (), (), ()]


@pytest.mark.parametrize(
    ("heard", "invented"),
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
def test_only_the_hints_read_out_in_their_order_are_an_echo(heard: str, invented: bool):
    assert is_echo(words(heard), HINTS) is invented
    assert not is_echo(words(heard), ())


@pytest.mark.parametrize(
    ("no_speech", "likely", "doubted"),
    [(0.9, -1.5, True), (0.9, -0.5, False), (0.5, -1.5, False), (0.6, -1.0, False)],
)
def test_a_window_is_dropped_only_where_model_and_text_both_speak_against_it(
    no_speech: float, likely: float, doubted: bool
):
    assert is_speechless(no_speech, likely) is doubted


def test_hints_are_cut_at_names_and_shorter_ones_may_still_fit():
    chosen = fitted(HINTS, len, 24)
    assert chosen == ("Vodafone", "BT", "T-Mobile")
    assert len(prompt_of(chosen)) == 22
    assert fitted(HINTS, len, 10_000) == HINTS
    assert fitted(HINTS, len, 1) == ()
