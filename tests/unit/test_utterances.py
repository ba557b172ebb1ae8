"""Utterances: segments joined across pauses inside a sentence."""

from dataclasses import replace

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.transcripts import Segment, Transcript, Word
from callpipeline.domain.utterances import MAX_PAUSE_S, MAX_UTTERANCE_S, form_utterances

WORD_S = 0.3
MATCHER = Matcher(Catalog((Competitor("Virgin Media"), Competitor("GoDaddy"))))


def a_segment(
    start_s: float, text: str, channel: Channel = Channel.LEFT, voice: int | None = None
) -> Segment:
    words = tuple(
        Word(word, start_s + WORD_S * i, start_s + WORD_S * (i + 1), 0.9)
        for i, word in enumerate(text.split())
    )
    speaker = Speaker.AGENT if channel is Channel.LEFT else Speaker.CUSTOMER
    return Segment(0, start_s, words[-1].end_s, channel, speaker, text, words, voice)


def texts(*segments: Segment) -> dict[Channel, list[str]]:
    """Return the texts of the utterances of each channel."""
    transcripts = [
        Transcript(
            channel, Speaker.UNKNOWN, "test", tuple(s for s in segments if s.channel is channel)
        )
        for channel in dict.fromkeys(segment.channel for segment in segments)
    ]
    formed = form_utterances(transcripts, MATCHER.splits_name)
    for transcript in formed:
        assert [s.index for s in transcript.segments] == [*range(len(transcript.segments))]
        for segment in transcript.segments:
            assert segment.text == " ".join(word.text for word in segment.words)
            assert segment.end_s == segment.words[-1].end_s
    return {each.channel: [segment.text for segment in each.segments] for each in formed}


def test_a_sentence_is_joined_across_a_pause_and_ends_at_its_full_stop():
    heard = texts(
        a_segment(0, "I built my website, we"),
        a_segment(3, "are with GoDaddy."),
        a_segment(6, "What about you?"),
    )
    assert heard[Channel.LEFT] == ["I built my website, we are with GoDaddy.", "What about you?"]


def test_words_keep_their_times():
    first, second = a_segment(0, "we"), a_segment(2, "are here.")
    transcript = Transcript(Channel.LEFT, Speaker.AGENT, "test", (first, second))
    (formed,) = form_utterances([transcript], MATCHER.splits_name)
    assert formed.segments[0].words == (*first.words, *second.words)
    assert (formed.segments[0].start_s, formed.segments[0].end_s) == (0, second.end_s)


def test_a_fragment_is_merged_with_its_sentence():
    heard = texts(a_segment(0, "So"), a_segment(1, "that is it."), a_segment(3, "and please call."))
    assert heard[Channel.LEFT] == ["So that is it. and please call."]


def test_a_sentence_of_one_word_stays_alone():
    assert texts(a_segment(0, "Yes."), a_segment(2, "No."))[Channel.LEFT] == ["Yes.", "No."]


def test_a_long_pause_ends_an_utterance():
    later_s = 0.6 + MAX_PAUSE_S + 0.1
    heard = texts(a_segment(0, "we are"), a_segment(later_s, "here. Thanks."))
    assert heard[Channel.LEFT] == ["we are", "here. Thanks."]


def test_the_turn_of_the_other_speaker_ends_an_utterance():
    heard = texts(
        a_segment(0, "I wanted to"),
        a_segment(1, "Can I help you?", Channel.RIGHT),
        a_segment(2.5, "ask something."),
    )
    assert heard[Channel.LEFT] == ["I wanted to", "ask something."]


def test_a_backchannel_of_the_other_speaker_does_not():
    heard = texts(
        a_segment(0, "I wanted to"),
        a_segment(1, "Uh-huh.", Channel.RIGHT),
        a_segment(2.5, "ask something."),
    )
    assert heard[Channel.LEFT] == ["I wanted to ask something."]
    assert heard[Channel.RIGHT] == ["Uh-huh."]


def test_a_name_is_never_split_by_a_border():
    heard = texts(a_segment(0, "We are with Virgin."), a_segment(2.5, "Media is what I said."))
    assert heard[Channel.LEFT] == ["We are with Virgin Media is what I said."]


def test_two_voices_of_a_mono_recording_are_not_joined():
    heard = texts(
        a_segment(0, "we are", Channel.MIXED, 1), a_segment(1, "who is it.", Channel.MIXED, 2)
    )
    assert heard[Channel.MIXED] == ["we are", "who is it."]


def test_transcripts_without_punctuation_are_left_as_they_are():
    heard = texts(a_segment(0, "we are with"), a_segment(2, "them now"))
    assert heard[Channel.LEFT] == ["we are with", "them now"]


def test_a_monologue_is_cut_at_ends_of_sentences():
    sentence = " ".join(["word"] * 9) + " end."
    heard = texts(a_segment(0, " ".join([sentence] * 30)))[Channel.LEFT]
    assert len(heard) > 1
    assert all(text.endswith("end.") for text in heard)
    assert all(len(text.split()) * WORD_S <= MAX_UTTERANCE_S for text in heard)


def test_segments_without_words_are_joined_by_their_text():
    first, second = a_segment(0, "we"), a_segment(2, "are here.")
    transcript = Transcript(
        Channel.LEFT, Speaker.AGENT, "t", (replace(first, words=()), replace(second, words=()))
    )
    (formed,) = form_utterances([transcript], MATCHER.splits_name)
    assert [(s.text, s.words) for s in formed.segments] == [("we are here.", ())]
