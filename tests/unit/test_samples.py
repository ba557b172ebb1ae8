"""The sample calls are complete, agree with their truth, and hold the hard cases they are for."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
import soundfile as sf
import yaml

SAMPLES = Path(__file__).parents[2] / "samples"
AUDIO = {".flac", ".mp3", ".wav", ".m4a", ".opus", ".3gp", ".amr"}
RECORDINGS = sorted(path for path in SAMPLES.iterdir() if path.suffix in AUDIO)
TRUTHS: dict[str, dict[str, Any]] = {
    path.name.removesuffix(".truth.json"): json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(SAMPLES.glob("*.truth.json"))
}
CALLS = [truth for truth in TRUTHS.values() if truth["expected"] == "COMPLETED"]
PHONE_CALLS = [call for call in CALLS if call["group"] == "phone quality"]
MENTIONS = [mention for call in CALLS for mention in call["mentions"]]


def layouts(call: dict[str, Any]) -> set[str]:
    return {turn["channel"] for turn in call["turns"]}


def words(call: dict[str, Any]) -> str:
    return " ".join(turn["text"] for turn in call["turns"]).lower()


def mentioned(name: str, sentiment: str) -> bool:
    return any(
        mention["competitor"] == name and mention["sentiment"] == sentiment for mention in MENTIONS
    )


def test_every_recording_has_its_truth() -> None:
    assert [path.stem for path in RECORDINGS] == list(TRUTHS)
    assert [path.name for path in RECORDINGS] == [t["recording"] for t in TRUTHS.values()]


def test_every_sample_has_its_script() -> None:
    assert sorted(path.stem for path in (SAMPLES / "scripts").glob("*.yaml")) == list(TRUTHS)


def test_every_named_competitor_is_in_the_catalog() -> None:
    catalog = yaml.safe_load((SAMPLES / "competitors.yaml").read_text(encoding="utf-8"))
    names = {competitor["name"] for competitor in catalog["competitors"]}
    assert {mention["competitor"] for mention in MENTIONS} <= names


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call["recording"])
def test_turns_are_ordered_and_end_before_the_recording(call: dict[str, Any]) -> None:
    starts = [turn["start_s"] for turn in call["turns"]]
    assert starts == sorted(starts)
    assert all(turn["start_s"] < turn["end_s"] <= call["duration_s"] for turn in call["turns"])
    assert 25 <= call["duration_s"] <= 120


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call["recording"])
def test_every_mention_lies_in_a_turn_of_its_speaker(call: dict[str, Any]) -> None:
    for mention in call["mentions"]:
        assert mention["start_s"] < mention["end_s"]
        assert any(
            turn["speaker"] == mention["speaker"]
            and turn["channel"] == mention["channel"]
            and turn["start_s"] <= mention["start_s"]
            and mention["end_s"] <= turn["end_s"]
            and mention["said"] in turn["text"]
            for turn in call["turns"]
        )


def test_the_samples_are_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) < 5_200_000


def test_at_least_eight_calls_are_stereo() -> None:
    assert sum(layouts(call) <= {"left", "right"} for call in CALLS) >= 8


def test_every_audio_format_occurs() -> None:
    assert {Path(call["recording"]).suffix for call in CALLS} == AUDIO


def test_two_calls_are_mu_law_wav_files() -> None:
    infos = [sf.info(path) for path in RECORDINGS if path.suffix == ".wav"]
    assert sum(info.subtype == "ULAW" and info.samplerate == 8000 for info in infos) == 2


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call["recording"])
def test_a_call_is_mono_if_its_turns_share_a_channel(call: dict[str, Any]) -> None:
    with av.open(str(SAMPLES / call["recording"])) as container:
        channels = container.streams.audio[0].channels
    assert channels == (1 if layouts(call) == {"mixed"} else 2)


@pytest.mark.parametrize("call", PHONE_CALLS, ids=lambda call: call["recording"])
def test_phone_calls_are_recorded_at_8_khz(call: dict[str, Any]) -> None:
    with av.open(str(SAMPLES / call["recording"])) as container:
        stream = container.streams.audio[0]
        decoded = sum(frame.samples for frame in container.decode(stream))
        assert stream.rate == 8000
    assert decoded / 8000 == pytest.approx(call["duration_s"], abs=0.15)
    assert 60 <= call["duration_s"] <= 120


def test_phone_calls_come_in_the_codecs_of_telephony() -> None:
    codecs: list[str] = []
    for call in PHONE_CALLS:
        with av.open(str(SAMPLES / call["recording"])) as container:
            codecs.append(container.streams.audio[0].codec_context.name)
    assert codecs == ["pcm_mulaw", "mp3float", "amrnb", "amrnb"]


@pytest.mark.parametrize(
    ("call", "ordinary"),
    list(
        zip(
            PHONE_CALLS,
            ("whole sky is grey", "one more time", "the sky is the limit", "an orange light"),
            strict=True,
        )
    ),
    ids=lambda value: value["recording"] if isinstance(value, dict) else value,
)
def test_phone_calls_name_competitors_and_say_such_names_as_ordinary_words(
    call: dict[str, Any], ordinary: str
) -> None:
    assert len(call["mentions"]) >= 4
    assert ordinary in words(call)


@pytest.mark.parametrize("call", PHONE_CALLS, ids=lambda call: call["recording"])
def test_the_speakers_of_phone_calls_talk_at_once(call: dict[str, Any]) -> None:
    turns = call["turns"]
    together_s = [
        first["end_s"] - second["start_s"]
        for first, second in pairwise(turns)
        if first["speaker"] != second["speaker"]
    ]
    assert max(together_s) >= 0.45


def test_phone_calls_hold_what_disturbs_recognition() -> None:
    kinds = {event["kind"] for call in PHONE_CALLS for event in call["events"]}
    assert kinds == {"ringing", "keys", "hold_music", "warning", "cut"}


@pytest.mark.parametrize("call", PHONE_CALLS, ids=lambda call: call["recording"])
def test_no_mention_is_cut(call: dict[str, Any]) -> None:
    cut = [event for event in call["events"] if event["kind"] == "cut"]
    for mention in call["mentions"]:
        assert all(
            mention["end_s"] <= event["start_s"] or event["end_s"] <= mention["start_s"]
            for event in cut
        )


def test_nothing_is_said_during_hold_music() -> None:
    (call,) = [c for c in CALLS if any(e["kind"] == "hold_music" for e in c["events"])]
    (music,) = [event for event in call["events"] if event["kind"] == "hold_music"]
    assert music["end_s"] - music["start_s"] >= 10
    assert all(
        turn["end_s"] <= music["start_s"] or music["end_s"] <= turn["start_s"]
        for turn in call["turns"]
    )


def test_a_call_starts_in_the_middle_of_the_greeting() -> None:
    starts = [event for call in CALLS for event in call["events"] if event["start_s"] == 0]
    assert [event["said"] for event in starts if event["kind"] == "cut"] == [
        "Good afternoon, and thank you for"
    ]


def test_one_call_has_a_silent_customer() -> None:
    silent = [call for call in CALLS if layouts(call) == {"left"}]
    assert len(silent) == 1
    audio, _ = sf.read(SAMPLES / silent[0]["recording"])
    assert abs(audio[:, 0]).max() > 0.1
    assert abs(audio[:, 1]).max() < 1e-4


def test_one_call_names_no_competitor_but_ordinary_words_that_are_names() -> None:
    silent_on_rivals = [call for call in CALLS if not call["mentions"]]
    assert len(silent_on_rivals) == 1
    text = " ".join(turn["text"] for turn in silent_on_rivals[0]["turns"]).lower()
    assert all(re.search(rf"\b{word}\b", text) for word in ("three", "id", "orange", "sky", "one"))


def test_one_call_names_competitors_only_by_the_agent_while_the_customer_speaks() -> None:
    assert any(
        {mention["speaker"] for mention in call["mentions"]} == {"agent"}
        and {turn["speaker"] for turn in call["turns"]} == {"agent", "customer"}
        for call in CALLS
    )


def test_customers_leave_us_and_come_to_us() -> None:
    said = {call["recording"]: " ".join(turn["text"] for turn in call["turns"]) for call in CALLS}
    assert any("switching to Three" in text for text in said.values())
    assert any("leave Virgin and come to you" in text for text in said.values())


def test_comparisons_and_negations_occur() -> None:
    texts = " ".join(turn["text"] for call in CALLS for turn in call["turns"])
    assert "Vodafone is cheaper than you" in texts
    assert "better than Sky" in texts
    assert "Virgin was not reliable" in texts
    assert "never had a problem with Orange" in texts


@pytest.mark.parametrize("name", ["Three", "Sky", "Orange", "iD Mobile"])
def test_ambiguous_names_are_meant_as_competitors_too(name: str) -> None:
    assert any(mention["competitor"] == name for mention in MENTIONS)


def test_every_sentiment_occurs_often_enough_to_be_measured() -> None:
    count = dict.fromkeys(("positive", "negative", "neutral"), 0)
    for mention in MENTIONS:
        count[mention["sentiment"]] += 1
    assert min(count.values()) >= 8
    assert mentioned("Vodafone", "positive")
    assert mentioned("Vodafone", "negative")


def test_one_sample_is_no_audio_and_has_to_fail() -> None:
    failed = [truth for truth in TRUTHS.values() if truth["expected"] == "FAILED"]
    assert len(failed) == 1
    assert (SAMPLES / failed[0]["recording"]).read_bytes().startswith(b"<!DOCTYPE html>")
