"""Finding card, bank and phone numbers and email addresses, and masking them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from callpipeline.domain.audio import Channel, Interval, Speaker
from callpipeline.domain.calls.legacy import IMPORTED_REASON
from callpipeline.domain.redaction.imported import StoredTexts, mask_texts
from callpipeline.domain.redaction.masking import (
    MaskedSpan,
    RedactionPolicy,
    count_kinds,
    find_personal_numbers,
    mute_intervals,
    redact,
)
from callpipeline.domain.redaction.tokens import Kind
from callpipeline.domain.transcripts import Segment, Transcript, Word
from tests.builders import a_judgement, a_mention

DATA = Path(__file__).parents[1] / "data" / "redaction"
ALL = RedactionPolicy(frozenset(Kind))
MARK = re.compile(r"\{(\w+):([^}]*)\}(\S*)")
CHANNELS = {"agent": Channel.LEFT, "customer": Channel.RIGHT}
Place = tuple[str, int, int]


class LabelledCall(NamedTuple):
    transcripts: tuple[Transcript, ...]
    labels: list[tuple[Kind, frozenset[Place]]]


def labelled_call(lines: Sequence[str], *, timed: bool = True) -> LabelledCall:
    """Build the call of some lines, one segment each, from `{kind:words}` in them."""
    segments: dict[str, list[Segment]] = {"agent": [], "customer": []}
    labels: list[tuple[Kind, frozenset[Place]]] = []
    at_s = 0.0
    for line in lines:
        who, _, text = line.partition(": ")
        index, channel = len(segments[who]), CHANNELS[who]
        words: list[str] = []
        end = 0
        for mark in MARK.finditer(text):
            words += text[end : mark.start()].split()
            first = len(words)
            words += (mark[2] + mark[3]).split()
            places = frozenset((channel.value, index, at) for at in range(first, len(words)))
            labels.append((Kind(mark[1]), places))
            end = mark.end()
        words += text[end:].split()
        times = [at_s + 0.35 * number for number in range(len(words))]
        given = tuple(Word(w, s, s + 0.3) for w, s in zip(words, times, strict=True))
        segment = Segment(
            index,
            at_s,
            given[-1].end_s,
            channel,
            Speaker(who),
            " ".join(words),
            given if timed else (),
        )
        segments[who].append(segment)
        at_s = given[-1].end_s + 0.5
    spoken = {who: found for who, found in segments.items() if found}
    transcripts = tuple(
        Transcript(CHANNELS[who], Speaker(who), "script", tuple(found))
        for who, found in spoken.items()
    )
    return LabelledCall(transcripts, labels)


class Score(NamedTuple):
    precision: float
    recall: float
    labels: int


def score(calls: Sequence[LabelledCall]) -> Score:
    """Count a label as found if each of its words is masked, and a mask beyond labels as wrong."""
    found = wrong = total = 0
    for call in calls:
        masked = find_personal_numbers(call.transcripts, ALL)
        kinds = {token.place: each.kind for each in masked for token in each.tokens}
        total += len(call.labels)
        found += sum(
            all(kinds.get(place) == kind for place in places) for kind, places in call.labels
        )
        labelled = {place for _, places in call.labels for place in places}
        wrong += sum(any(t.place not in labelled for t in each.tokens) for each in masked)
    return Score(found / (found + wrong), found / total, total)


def labelled_calls(part: str) -> list[LabelledCall]:
    return [labelled_call(lines) for lines in yaml.safe_load((DATA / f"{part}.yaml").read_text())]


@pytest.mark.parametrize(
    ("part", "least_precision", "least_recall"),
    [("development", 1.0, 1.0), ("held_out", 0.97, 0.95)],
)
def test_precision_and_recall(part: str, least_precision: float, least_recall: float) -> None:
    measured = score(labelled_calls(part))
    print(f"{part}: {measured}")
    assert measured.precision >= least_precision
    assert measured.recall >= least_recall


@pytest.mark.parametrize("part", ["development", "held_out"])
def test_transcripts_without_word_times_are_masked_as_well(part: str) -> None:
    lines = yaml.safe_load((DATA / f"{part}.yaml").read_text())
    measured = score([labelled_call(call, timed=False) for call in lines])
    print(f"{part}, without word times: {measured}")
    assert measured.recall >= 0.9
    assert measured.precision >= 0.95


def redacted(*lines: str, policy: RedactionPolicy = ALL) -> tuple[str, dict[str, int]]:
    transcripts, spans = redact(labelled_call(lines).transcripts, policy)
    texts = [segment.text for transcript in transcripts for segment in transcript.segments]
    return " / ".join(texts), count_kinds(spans)


def test_a_number_becomes_one_word_and_keeps_the_end_of_the_sentence() -> None:
    said = redacted("customer: it's four one one one 1111 1111 1111. We're with Three now.")
    assert said == ("it's [card]. We're with Three now.", {"card": 1})


def test_a_number_over_segments_is_counted_once_and_masked_in_each() -> None:
    said = redacted("customer: it is 4111 1111", "agent: yes", "customer: 1111 1111, Three knows")
    assert said == ("yes / it is [card] / [card], Three knows", {"card": 1})


def test_a_name_outside_a_number_survives_although_it_is_a_digit() -> None:
    said = redacted("customer: I'm on Three three, call me on 07700 900123, not with O2")
    assert said == ("I'm on Three three, call me on [phone], not with O2", {"phone": 1})


@pytest.mark.parametrize(
    "said",
    [
        "customer: My account is with Barclays bank since two thousand and twenty one",
        "agent: The direct debit on your account is one thousand two hundred and fifty pounds",
        "agent: Your bank account is fine. Your order number is 48213377",
        "agent: Your bank account is in arrears since 2021 and 450 pounds are due",
        "agent: Your security code has been sent. You joined in 2019 and pay 450 a year",
        "customer: our email is better at three dot com",
        "customer: the email said it is cheaper at three dot co dot uk",
        "agent: Your security code has been sent. You joined in twenty nineteen for 450",
    ],
)
def test_amounts_years_and_other_numbers_stay(said: str) -> None:
    assert redacted(said) == (said.partition(": ")[2], {})


def test_only_the_first_number_after_talk_of_a_security_code_is_one() -> None:
    said = redacted(
        "agent: the security code?", "customer: 737", "agent: 737, and you pay 450 a year"
    )
    assert said == ("the security code? / [card], and you pay 450 a year / [card]", {"card": 2})


def test_a_competitor_beside_an_account_number_stays() -> None:
    said = redacted("customer: The bank account number is 12 34 56 78 and Three charged 200 pounds")
    assert said == (
        "The bank account number is [bank] and Three charged 200 pounds",
        {"bank": 1},
    )


def test_kinds_that_are_not_wanted_stay() -> None:
    policy = RedactionPolicy(frozenset({Kind.EMAIL}))
    said = redacted("customer: 4111 1111 1111 1111 or ann at gmail dot com", policy=policy)
    assert said == ("4111 1111 1111 1111 or [email]", {"email": 1})


def test_the_digits_of_a_card_are_no_phone_number() -> None:
    policy = RedactionPolicy(frozenset({Kind.PHONE}))
    said = redacted("customer: call the number on my card, 4111 1111 1111 1111", policy=policy)
    assert said == ("call the number on my card, 4111 1111 1111 1111", {})


def test_a_misheard_digit_of_a_card_is_no_way_out() -> None:
    said = redacted("agent: the card number?", "customer: 4111 1111 1111 1112")
    assert said == ("the card number? / [card]", {"card": 1})


def test_the_interruption_of_another_voice_on_the_same_channel_does_not_hide_a_number() -> None:
    segments = [
        Segment(0, 0.0, 2.0, Channel.MIXED, Speaker.UNKNOWN, "4111 1111", voice=1),
        Segment(1, 2.0, 4.0, Channel.MIXED, Speaker.UNKNOWN, "let me type that", voice=2),
        Segment(2, 4.0, 6.0, Channel.MIXED, Speaker.UNKNOWN, "1111 1111", voice=1),
    ]
    transcript = Transcript(Channel.MIXED, Speaker.UNKNOWN, "x", tuple(segments))
    [masked], spans = redact([transcript], ALL)
    assert [segment.text for segment in masked.segments] == ["[card]", "let me type that", "[card]"]
    assert count_kinds(spans) == {"card": 1}


def test_words_keep_their_times_and_a_mask_has_those_of_the_number() -> None:
    [transcript], [span] = redact(labelled_call(["customer: it is 4111111111111111 ok"])[0], ALL)
    words = transcript.segments[0].words
    assert [word.text for word in words] == ["it", "is", "[card]", "ok"]
    assert [word.start_s for word in words] == pytest.approx([0.0, 0.35, 0.7, 1.05])
    assert (span.start_s, span.end_s) == (words[2].start_s, words[2].end_s)


def test_speech_is_muted_with_a_margin_and_across_short_pauses() -> None:
    spans = [
        MaskedSpan(0, Kind.CARD, Channel.RIGHT, 1.0, 2.0),
        MaskedSpan(0, Kind.CARD, Channel.RIGHT, 3.0, 4.0),
        MaskedSpan(1, Kind.PHONE, Channel.LEFT, 0.1, 0.2),
    ]
    first, second = mute_intervals(spans)
    assert first.start_s == 0.0
    assert (first.end_s, second) == (pytest.approx(0.4), Interval(0.8, 4.2))


def test_a_new_transcript_says_where_earlier_audio_was_muted() -> None:
    earlier = [MaskedSpan(0, Kind.CARD, Channel.RIGHT, 5.0, 6.0)]
    given = labelled_call(["customer: call me on 07700 900123"]).transcripts
    [transcript], spans = redact(given, ALL, earlier)
    assert [segment.text for segment in transcript.segments] == ["call me on [phone]", "[card]"]
    assert count_kinds(spans) == {"card": 1, "phone": 1}
    again, same = redact([transcript], ALL, spans)
    assert again == (transcript,)
    assert count_kinds(same) == count_kinds(spans)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["4111", "1111", "double", "four", "Three", "oh", "at", "dot", "com", "yes", "gmail",
             "07700", "900123", "card", "number", "ok", "20-00-00", "sort", "code", "[card]", "-"]
        ),
        min_size=1,
        max_size=40,
    )
)  # fmt: skip
def test_only_masked_words_change(words: list[str]) -> None:
    given = labelled_call([f"customer: {' '.join(words)}"]).transcripts
    [transcript], spans = redact(given, ALL)
    [segment] = transcript.segments
    assert segment.text == " ".join(word.text for word in segment.words)
    starts = {word.start_s: word.text for word in given[0].segments[0].words}
    masked = {span.start_s for span in spans}
    for word in segment.words:
        if word.start_s not in masked:
            assert word.text == starts[word.start_s]


PIECES = ("vodafone", "is", "at", "4111 1111 1111 1111", "07700 900123", "one", "a@b.com", "please")


@given(
    pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=12),
    gap=st.sampled_from((" ", "  ")),
    is_timed=st.booleans(),
)
def test_mentions_stay_on_their_words_between_masks(
    pieces: list[str], gap: str, is_timed: bool
) -> None:
    text = gap.join(pieces)
    words = tuple(Word(word, float(at), at + 0.9) for at, word in enumerate(text.split()))
    speaker = Speaker.CUSTOMER
    segment = Segment(0, 0.0, 60.0, Channel.RIGHT, speaker, text, words if is_timed else ())
    transcript = Transcript(Channel.RIGHT, speaker, "imported", (segment,))
    found = tuple(
        replace(a_mention(char_start=each.start()), char_end=each.end(), text="vodafone")
        for each in re.finditer("vodafone", text)
    )
    judged = tuple(replace(a_judgement(each), quote=text) for each in found)
    stored = StoredTexts((transcript,), found, judged, f"failed at {text}")
    masked = mask_texts(stored, ALL)
    if masked is None:
        assert redact((transcript,), ALL)[1] == ()
        return
    [after] = masked.transcripts[0].segments
    assert after.text == redact((transcript,), ALL)[0][0].segments[0].text
    places = [each.start() for each in re.finditer("vodafone", after.text)]
    assert [masked.mentions[each.mention_id].char_start for each in found] == places
    for mention in masked.mentions.values():
        assert after.text[mention.char_start : mention.char_end] == "vodafone"
        [judgement] = [j for j in masked.judgements.values() if j.mention_id == mention.mention_id]
        assert judgement.quote == after.text
    for secret in ("4111", "900123", "a@b.com"):
        assert secret not in repr(masked)
    assert mask_texts(
        StoredTexts(
            masked.transcripts, tuple(masked.mentions.values()),
            tuple(masked.judgements.values()), masked.error_message,
        ),
        ALL,
    ) is None  # fmt: skip


def test_a_mention_that_a_number_covers_goes_and_one_of_the_old_system_stays() -> None:
    text = "it is 4111 1111 double one eleven 1111 thanks"
    words = tuple(Word(word, float(at), at + 0.9) for at, word in enumerate(text.split()))
    segment = Segment(0, 0.0, 60.0, Channel.RIGHT, Speaker.CUSTOMER, text, words)
    at = text.index("one")
    found = replace(a_mention("One", char_start=at), char_end=at + 3, text="one")
    of_old = replace(found, competitor="Old One", reason=IMPORTED_REASON)
    transcript = Transcript(Channel.RIGHT, Speaker.CUSTOMER, "imported", (segment,))
    stored = StoredTexts((transcript,), (found, of_old), (), None)
    masked = mask_texts(stored, ALL)
    assert masked
    assert [each.competitor for each in masked.mentions.values()] == ["Old One"]


def test_a_number_in_the_quoted_reason_of_a_mention_is_gone() -> None:
    text = "three 4111 1111 1111 1111"
    segment = Segment(0, 0.0, 9.0, Channel.RIGHT, Speaker.CUSTOMER, text)
    mention = replace(
        a_mention("Three", char_start=0, reason='"three 4111" suggests the ordinary word'),
        char_end=5, text="three", phrase="three 4111",
    )  # fmt: skip
    transcript = Transcript(Channel.RIGHT, Speaker.CUSTOMER, "imported", (segment,))
    masked = mask_texts(StoredTexts((transcript,), (mention,), (), None), ALL)
    assert masked
    assert "4111" not in repr(masked)
