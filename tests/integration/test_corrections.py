"""Corrections of sentiment hold, whatever judges find later, and become labels."""

from dataclasses import replace

import pytest

from callpipeline.domain.competitors.mentions import Decision
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import ReviewOutdated, UnknownCall, UnknownMention
from callpipeline.pipeline.quality.sentiment_evaluation import utterance_rows, utterances_of_rows
from callpipeline.storage.postgres.sql import query
from callpipeline.wiring import Storage
from tests.builders import a_judgement, a_write
from tests.integration.test_reviews import KNOWN, PENDING, SENTIMENT, complete


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def call_id(storage: Storage) -> str:
    return complete(storage, "call.wav")


def sentiment(storage: Storage, call_id: str) -> tuple[Sentiment, float, float | None]:
    [judgement] = storage.results.judgements(call_id)
    return judgement.sentiment, judgement.score, judgement.confidence


def correct(storage: Storage, call_id: str, to: Sentiment | None, **more: Sentiment) -> None:
    storage.corrections.correct(call_id, KNOWN.mention_id, to, "anna", **more)


def judge_again(storage: Storage, call_id: str, found: Sentiment) -> None:
    """Store another judgement, as a run that a person launched does."""
    storage.claims.claim([call_id], "run-2", recompute=[SENTIMENT])
    write = replace(a_write(call_id, SENTIMENT), run_id="run-2")
    storage.results.save_sentiment(write, [a_judgement(KNOWN, found)])
    storage.claims.complete(call_id, "run-2")


def test_a_correction_applies_at_once_and_can_be_taken_back(storage: Storage, call_id: str) -> None:
    before = sentiment(storage, call_id)
    correct(storage, call_id, Sentiment.NEGATIVE)
    assert sentiment(storage, call_id) == (Sentiment.NEGATIVE, -1.0, None)
    correct(storage, call_id, Sentiment.MIXED)
    detail = storage.calls.find(call_id)
    assert detail
    [mention] = [m for m in detail.mentions if m.sentiment]
    assert (mention.sentiment, mention.judged_sentiment) == (Sentiment.MIXED, before[0])
    correct(storage, call_id, None)
    assert sentiment(storage, call_id) == before


def test_numbers_follow_a_correction(storage: Storage, call_id: str) -> None:
    correct(storage, call_id, Sentiment.NEGATIVE)
    [vodafone] = storage.analytics.by_competitor()
    assert (vodafone.counts.negative, vodafone.counts.positive) == (1, 0)


def test_a_correction_survives_another_judgement(storage: Storage, call_id: str) -> None:
    correct(storage, call_id, Sentiment.NEGATIVE)
    judge_again(storage, call_id, Sentiment.POSITIVE)
    assert sentiment(storage, call_id)[0] is Sentiment.NEGATIVE
    correct(storage, call_id, None)
    assert sentiment(storage, call_id)[0] is Sentiment.POSITIVE


def test_a_correction_outlives_the_dismissal_of_its_mention(storage: Storage, call_id: str) -> None:
    correct(storage, call_id, Sentiment.NEGATIVE)
    storage.reviews.decide(call_id, KNOWN.mention_id, Decision.DISMISSED)
    assert storage.results.judgements(call_id) == ()
    storage.reviews.decide(call_id, KNOWN.mention_id, Decision.CONFIRMED)
    judge_again(storage, call_id, Sentiment.NEUTRAL)
    assert sentiment(storage, call_id)[0] is Sentiment.NEGATIVE


def test_another_word_under_the_same_id_is_not_corrected(storage: Storage, call_id: str) -> None:
    correct(storage, call_id, Sentiment.NEGATIVE)
    with storage.database.transaction() as connection:
        connection.execute("UPDATE mentions SET start_s = start_s + 60")
    judge_again(storage, call_id, Sentiment.POSITIVE)
    assert sentiment(storage, call_id)[0] is Sentiment.POSITIVE


def test_two_people_do_not_override_each_other(storage: Storage, call_id: str) -> None:
    seen = sentiment(storage, call_id)[0]
    correct(storage, call_id, Sentiment.NEGATIVE, seen=seen)
    with pytest.raises(ReviewOutdated, match="Meanwhile anna corrected it to negative"):
        correct(storage, call_id, Sentiment.MIXED, seen=seen)
    assert sentiment(storage, call_id)[0] is Sentiment.NEGATIVE


def test_only_judged_mentions_can_be_corrected(storage: Storage, call_id: str) -> None:
    for mention_id in (PENDING.mention_id, "none"):
        with pytest.raises(UnknownMention):
            storage.corrections.correct(call_id, mention_id, Sentiment.NEGATIVE)
    with pytest.raises(UnknownCall):
        storage.corrections.correct("2020-01-01-000000000000", "x", Sentiment.NEGATIVE)


def test_corrections_become_labels(storage: Storage, call_id: str) -> None:
    assert list(utterance_rows(storage.corrections.corrected(), storage.calls.segments)) == []
    correct(storage, call_id, Sentiment.NEGATIVE)
    [row] = utterance_rows(storage.corrections.corrected(), storage.calls.segments)
    assert row["text"] == "sky is what i want and [[vodafone]] and three"
    assert row["label"] == "negative"
    [utterance] = utterances_of_rows([row])
    assert utterance.label is Sentiment.NEGATIVE
    correct(storage, call_id, None)
    assert storage.corrections.corrected() == []


def test_erasure_deletes_corrections(storage: Storage, call_id: str) -> None:
    correct(storage, call_id, Sentiment.NEGATIVE)
    assert storage.erasures.begin([call_id], keep_recording=True) == [call_id]
    with storage.database.transaction() as connection:
        row = connection.execute("SELECT count(*) AS n FROM sentiment_corrections").fetchone()
    assert row == {"n": 0}


def test_retention_of_the_transcript_deletes_what_a_corrected_judgement_quotes(
    storage: Storage, call_id: str
) -> None:
    with storage.database.transaction() as connection:
        connection.execute("UPDATE sentiment SET rule = 'praise: they are great'")
    correct(storage, call_id, Sentiment.NEGATIVE)
    execute_named(storage, "erasure/delete_segments", call_id)
    correct(storage, call_id, None)
    [judgement] = storage.results.judgements(call_id)
    assert judgement.rule == "praise:"


def execute_named(storage: Storage, name: str, call_id: str) -> None:
    with storage.database.transaction() as connection:
        connection.execute(query(name), {"call_id": call_id})
