"""Contract of result stores: the fake and Postgres."""

from dataclasses import asdict
from pathlib import Path

import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.competitors.mentions import MentionStatus
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import ClaimLost, MissingObject
from callpipeline.storage.ports.results import StageWrite
from tests.builders import (
    CATALOG,
    a_channel,
    a_flag,
    a_judgement,
    a_mention,
    a_split,
    a_transcript,
    a_write,
    channel_files,
    some_metrics,
)
from tests.contracts.conftest import Backend

UNHEARD = "2026-03-02-000000000000"


class Call:
    """A claimed call, and writes to it on behalf of a run."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        self.backend, self.results, self.folder = backend, backend.results, folder
        self.call = backend.claimed()
        self.id = self.call.call_id
        self.results.save_catalog(CATALOG)

    def write(self, stage: Stage, run_id: str = "run-1") -> StageWrite:
        return a_write(self.id, stage, run_id, catalog=CATALOG)

    def save_audio(self, *channels: Channel, content: str = "sound of", run_id: str = "run-1"):
        split = a_split(*map(a_channel, channels), flags=[a_flag(), a_flag(Channel.LEFT)])
        files = channel_files(split, self.folder, content)
        self.results.save_audio(self.write(Stage.CHANNEL_AUDIO, run_id), split, files)
        return split

    def save_all(self, run_id: str = "run-1") -> None:
        self.save_audio(Channel.LEFT, Channel.RIGHT, run_id=run_id)
        results = self.results
        results.save_metrics(self.write(Stage.CALL_METRICS, run_id), some_metrics())
        said = [a_transcript("hello", "there"), a_transcript("hi", channel=Channel.RIGHT)]
        results.save_transcripts(self.write(Stage.TRANSCRIPTS, run_id), said)
        mentions = [a_mention(), a_mention("Sky", segment_index=1)]
        results.save_mentions(self.write(Stage.COMPETITOR_MENTIONS, run_id), mentions)
        judged = list(map(a_judgement, mentions))
        results.save_sentiment(self.write(Stage.COMPETITOR_SENTIMENT, run_id), judged)

    def everything(self) -> list[object]:
        results = self.results
        return [
            results.audio(self.id), results.metrics(self.id), results.transcripts(self.id),
            results.mentions(self.id), results.judgements(self.id),
        ]  # fmt: skip


@pytest.fixture
def call(backend: Backend, tmp_path: Path) -> Call:
    return Call(backend, tmp_path)


def test_audio_survives_a_round_trip(call: Call, tmp_path: Path):
    split = call.save_audio(Channel.LEFT, Channel.RIGHT)
    assert call.results.audio(call.id) == split
    call.results.fetch_channel(call.id, Channel.RIGHT, tmp_path / "back")
    assert (tmp_path / "back").read_text() == "sound of right"


def test_speech_survives_a_round_trip(call: Call, tmp_path: Path):
    split = a_split(a_channel(Channel.MIXED, (0.1, 0.30000000000000004), (7.0, 8.0)))
    files = channel_files(split, tmp_path)
    call.results.save_audio(call.write(Stage.CHANNEL_AUDIO), split, files)
    assert call.results.audio(call.id) == split


def test_metrics_survive_a_round_trip(call: Call):
    assert call.results.metrics(call.id) is None
    call.results.save_metrics(call.write(Stage.CALL_METRICS), some_metrics())
    assert call.results.metrics(call.id) == {"call_id": call.id} | asdict(some_metrics())


def test_transcripts_are_returned_with_words_in_order_of_channels(call: Call):
    left = a_transcript("größer\tthan \\N, 'quoted' \"twice\"\nand {braces}", "second")
    right = a_transcript(channel=Channel.RIGHT)
    call.results.save_transcripts(call.write(Stage.TRANSCRIPTS), [right, left])
    assert call.results.transcripts(call.id) == (left, right)


def test_mentions_are_returned_in_order_of_time(call: Call):
    late = a_mention(
        segment_index=2, status=MentionStatus.DISMISSED, reason="the word sky's meaning"
    )
    early = a_mention("Sky", channel=Channel.LEFT)
    call.results.save_mentions(call.write(Stage.COMPETITOR_MENTIONS), [late, early])
    assert call.results.mentions(call.id) == (early, late)


def test_judgements_survive_a_round_trip(call: Call):
    call.save_all()
    judged = [a_judgement(a_mention()), a_judgement(a_mention("Sky", segment_index=1))]
    assert sorted(call.results.judgements(call.id), key=lambda j: j.competitor) == sorted(
        judged, key=lambda j: j.competitor
    )


def test_saving_is_idempotent(call: Call):
    call.save_all()
    once = call.everything()
    call.save_all()
    assert call.everything() == once


def test_a_recomputed_stage_replaces_its_results(call: Call, tmp_path: Path):
    call.save_all()
    mono = call.save_audio(Channel.MIXED, content="new")
    said = [a_transcript("only this", channel=Channel.MIXED)]
    call.results.save_transcripts(call.write(Stage.TRANSCRIPTS), said)
    assert call.results.audio(call.id) == mono
    assert call.results.transcripts(call.id) == tuple(said)
    call.results.fetch_channel(call.id, Channel.MIXED, tmp_path / "back")
    assert (tmp_path / "back").read_text() == "new mixed"


def test_loading_reports_the_missing_stage(call: Call, tmp_path: Path):
    with pytest.raises(MissingObject, match="channel_audio"):
        call.results.audio(call.id)
    with pytest.raises(MissingObject, match="transcripts"):
        call.results.transcripts(call.id)
    with pytest.raises(MissingObject):
        call.results.fetch_channel(call.id, Channel.LEFT, tmp_path / "back")
    assert call.results.mentions(call.id) == call.results.judgements(call.id) == ()


def test_a_mention_that_is_found_again_keeps_its_sentiment_and_gets_its_new_reason(call: Call):
    call.save_all()
    again = a_mention(reason="full name")
    call.results.save_mentions(call.write(Stage.COMPETITOR_MENTIONS), [again])
    assert call.results.mentions(call.id) == (again,)
    assert call.results.judgements(call.id) == (a_judgement(again),)


def test_a_mention_that_is_not_found_again_is_deleted_with_its_sentiment(call: Call):
    call.save_all()
    call.results.save_mentions(call.write(Stage.COMPETITOR_MENTIONS), [])
    assert call.results.mentions(call.id) == call.results.judgements(call.id) == ()


def test_a_new_judgement_replaces_the_old_one(call: Call):
    call.save_all()
    sour = a_judgement(a_mention(), Sentiment.NEGATIVE)
    call.results.save_sentiment(call.write(Stage.COMPETITOR_SENTIMENT), [sour])
    assert call.results.judgements(call.id) == (sour,)


def test_a_run_without_its_claim_changes_nothing(call: Call, tmp_path: Path):
    call.save_all()
    before = call.everything()
    call.backend.take_over(call.call, "run-2")
    results, write = call.results, call.write
    late = {
        Stage.CALL_METRICS: lambda w: results.save_metrics(w, some_metrics()),
        Stage.TRANSCRIPTS: lambda w: results.save_transcripts(w, []),
        Stage.COMPETITOR_MENTIONS: lambda w: results.save_mentions(w, []),
        Stage.COMPETITOR_SENTIMENT: lambda w: results.save_sentiment(w, []),
    }
    for stage, save in late.items():
        with pytest.raises(ClaimLost):
            save(write(stage))
    with pytest.raises(ClaimLost):
        call.save_audio(Channel.MIXED)
    assert call.everything() == before


def test_an_unclaimed_call_cannot_be_written(call: Call):
    call.backend.states.complete(call.id, "run-1")
    with pytest.raises(ClaimLost):
        call.save_all()
    with pytest.raises(ClaimLost):
        call.results.save_metrics(a_write(UNHEARD, Stage.CALL_METRICS), some_metrics())


def test_other_calls_are_not_changed(call: Call, backend: Backend):
    other = backend.claimed("other.wav")
    call.save_all()
    before = call.everything()
    results = backend.results
    results.save_metrics(a_write(other.call_id, Stage.CALL_METRICS), some_metrics())
    results.save_mentions(a_write(other.call_id, Stage.COMPETITOR_MENTIONS), [])
    results.save_transcripts(a_write(other.call_id, Stage.TRANSCRIPTS), [a_transcript("x")])
    results.save_sentiment(a_write(other.call_id, Stage.COMPETITOR_SENTIMENT), [])
    assert call.everything() == before
