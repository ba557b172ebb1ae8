"""Voices of segments, where segments are cut, and roles from what the voices say."""

import pytest

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.speaker_roles import agent_voice
from callpipeline.domain.transcripts import Segment, Transcript, Word
from callpipeline.domain.voices import VoiceTurn, assign_roles, label_voices

WORD_S = 0.5


def a_segment(text: str, start_s: float = 0.0, *, with_words: bool = True) -> Segment:
    """Build a segment with a word every half second."""
    words = tuple(
        Word(word, start_s + at * WORD_S, start_s + (at + 1) * WORD_S)
        for at, word in enumerate(text.split())
    )
    end_s = start_s + len(words) * WORD_S
    found = words if with_words else ()
    return Segment(0, start_s, end_s, Channel.MIXED, Speaker.UNKNOWN, text, found)


def labelled(turns: list[VoiceTurn], *segments: Segment) -> list[tuple[int | None, str]]:
    transcript = Transcript(Channel.MIXED, Speaker.UNKNOWN, "engine", segments)
    return [(each.voice, each.text) for each in label_voices(transcript, turns).segments]


def turns(*edges: tuple[float, float, int]) -> list[VoiceTurn]:
    return [VoiceTurn(start_s, end_s, voice, 0.9) for start_s, end_s, voice in edges]


def said(*lines: tuple[int, str]) -> list[Segment]:
    return [
        Segment(n, n, n + 1, Channel.MIXED, Speaker.UNKNOWN, text, (), voice, 0.9)
        for n, (voice, text) in enumerate(lines)
    ]


def test_a_segment_has_the_voice_of_its_turn() -> None:
    found = labelled(turns((0, 2, 1), (2, 4, 2)), a_segment("hello there", 0), a_segment("hi", 2.5))
    assert found == [(1, "hello there"), (2, "hi")]


def test_a_segment_is_cut_where_the_voice_changes() -> None:
    segment = a_segment("how can I help? I want to leave you")
    assert labelled(turns((0, 2, 1), (2, 5, 2)), segment) == [
        (1, "how can I help?"),
        (2, "I want to leave you"),
    ]


def test_a_cut_moves_to_the_end_of_a_sentence() -> None:
    segment = a_segment("how can I help? I want to leave you")
    assert labelled(turns((0, 2.6, 1), (2.6, 5, 2)), segment) == [
        (1, "how can I help?"),
        (2, "I want to leave you"),
    ]


def test_one_word_is_not_cut_from_a_sentence() -> None:
    segment = a_segment("my brother is with Three since May")
    assert labelled(turns((0, 1.5, 1), (1.5, 2, 2), (2, 5, 1)), segment) == [(1, segment.text)]


def test_a_sentence_of_one_word_is_cut() -> None:
    segment = a_segment("Is that right? Yes. Good, I will do it")
    assert labelled(turns((0, 1.5, 1), (1.5, 2, 2), (2, 5, 1)), segment) == [
        (1, "Is that right?"),
        (2, "Yes."),
        (1, "Good, I will do it"),
    ]


def test_words_between_turns_have_the_voice_before_them() -> None:
    segment = a_segment("one two three four five six")
    assert labelled(turns((0, 1, 1), (2, 3, 2)), segment) == [
        (1, "one two three four"),
        (2, "five six"),
    ]


def test_pieces_keep_words_times_and_order() -> None:
    segment = a_segment("how can I help? I want to leave you", 10.0)
    transcript = Transcript(Channel.MIXED, Speaker.UNKNOWN, "engine", (segment,))
    one, other = label_voices(transcript, turns((10, 12, 1), (12, 15, 2))).segments
    assert (one.index, one.start_s, one.end_s) == (0, 10.0, 12.0)
    assert (other.index, other.start_s, other.end_s) == (1, 12.0, segment.end_s)
    assert one.words + other.words == segment.words
    assert one.voice_confidence == pytest.approx(0.9)


def test_a_segment_without_words_has_the_voice_of_most_of_it() -> None:
    segment = a_segment("how can I help? I want to", with_words=False)
    assert labelled(turns((0, 1, 1), (1, 5, 2)), segment) == [(2, segment.text)]


def test_a_segment_outside_of_all_turns_has_no_voice() -> None:
    assert labelled(turns((0, 1, 1), (1, 2, 2)), a_segment("hello", 10.0)) == [(None, "hello")]


def test_without_turns_a_transcript_stays_as_it_is() -> None:
    transcript = Transcript(Channel.MIXED, Speaker.UNKNOWN, "engine", (a_segment("hello"),))
    assert label_voices(transcript, ()) is transcript
    assert assign_roles(transcript, 1) is transcript


def test_roles_go_to_voices_and_their_segments() -> None:
    transcript = label_voices(
        Transcript(
            Channel.MIXED, Speaker.UNKNOWN, "e", (a_segment("hello there", 0), a_segment("hi", 2))
        ),
        turns((0, 1.5, 1), (2, 3, 2)),
    )
    customer_first = assign_roles(transcript, 2)
    assert [each.speaker for each in customer_first.segments] == [Speaker.CUSTOMER, Speaker.AGENT]
    assert [(each.number, each.talk_s, each.speaker) for each in customer_first.voices] == [
        (1, 1.5, Speaker.CUSTOMER),
        (2, 1.0, Speaker.AGENT),
    ]
    assert assign_roles(customer_first, None) == transcript


@pytest.mark.parametrize(
    ("agent", "customer"),
    [
        ("Thank you for calling Acme. How can I help you?", "Hi, I'm calling about my bill."),
        ("Can I take your account number please?", "Yes, it is four three one nine."),
        ("Is there anything else I can do for you?", "No, thank you for your help."),
        ("Hello, I am calling on behalf of Acme.", "Who is this?"),
        ("One moment. I'll transfer you.", "I want to cancel my subscription."),
        ("For security, what is your date of birth?", "The first of May."),
    ],
)
def test_the_agent_is_known_by_what_agents_say(agent: str, customer: str) -> None:
    assert agent_voice(said((1, agent), (2, customer))) == 1
    assert agent_voice(said((1, customer), (2, agent))) == 2


def test_small_talk_decides_nothing() -> None:
    assert agent_voice(said((1, "Hello, are you there?"), (2, "Yes, the weather is nice."))) is None


def test_an_introduction_alone_decides_nothing() -> None:
    assert agent_voice(said((1, "Hello, this is John."), (2, "Hello John."))) is None


def test_a_repeated_phrase_is_not_proof() -> None:
    habit = "sir " * 40
    helpful = "thank you for calling, how can i help you"
    assert agent_voice(said((2, f"thank you {habit}"), (1, helpful))) == 1


def test_one_voice_has_no_role() -> None:
    assert agent_voice(said((1, "Thank you for calling. How can I help?"))) is None
